#include "storage/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace skerry {
namespace {

TemporaryDirectory MakeDirectory() { return TemporaryDirectory::Create("skerry-file").value(); }

TEST(WriteFileDurably, ReplacesTheWholeFileWithItsModeAndLeavesNoTemporary) {
  const auto directory = MakeDirectory();
  const auto path = directory.path() / "key";
  ASSERT_TRUE(WriteFileDurably(path, "first, and longer", 0644));
  ASSERT_TRUE(WriteFileDurably(path, "second", 0600));
  EXPECT_EQ(ReadFile(path, 100).value(), "second");
  struct stat facts{};
  ASSERT_EQ(stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0600U);
  const std::filesystem::directory_iterator entries(directory.path());
  EXPECT_EQ(std::distance(begin(entries), end(entries)), 1);
}

TEST(WriteFileDurably, PutsNoFileInThePlaceOfAPipeOrALinkToADevice) {
  const auto directory = MakeDirectory();
  const auto pipe = directory.path() / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  std::filesystem::create_symlink(pipe, directory.path() / "link");
  for (const auto& path :
       {pipe, directory.path() / "link", std::filesystem::path("/proc/self/fd/0")}) {
    const auto status = WriteFileDurably(path, "x");
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code(), ErrorCode::kInvalidArgument);
  }
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
  EXPECT_TRUE(std::filesystem::is_symlink(directory.path() / "link"));
}

TEST(WriteFileDurably, FailureLeavesTheOldFileAndSaysWhere) {
  const auto directory = MakeDirectory();
  const auto path = directory.path() / "taken";
  ASSERT_TRUE(CreateDirectories(path / "inside"));
  const auto status = WriteFileDurably(path, "x");
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message().find(path.string()), std::string::npos);
  const std::filesystem::directory_iterator entries(directory.path());
  EXPECT_EQ(std::distance(begin(entries), end(entries)), 1);
}

TEST(ReadFile, RefusesMoreThanTheLimitAndNamesWhatIsAbsent) {
  const auto directory = MakeDirectory();
  ASSERT_TRUE(WriteFileDurably(directory.path() / "f", "12345"));
  EXPECT_EQ(ReadFile(directory.path() / "f", 5).value(), "12345");
  EXPECT_EQ(ReadFile(directory.path() / "f", 4).error().code(), ErrorCode::kTooLarge);
  EXPECT_EQ(ReadFile(directory.path() / "g", 4).error().code(), ErrorCode::kNotFound);
}

TEST(CheckPrivateFile, RefusesWhatOthersMayReadOrWriteAndSaysHowToCloseIt) {
  const auto directory = MakeDirectory();
  const auto path = directory.path() / "keys";
  EXPECT_EQ(CheckPrivateFile(path).error().code(), ErrorCode::kNotFound);
  ASSERT_TRUE(WriteFileDurably(path, "x", 0600));
  EXPECT_TRUE(CheckPrivateFile(path));
  for (const mode_t mode : {0640, 0604, 0620, 0602}) {
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
    const auto status = CheckPrivateFile(path);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code(), ErrorCode::kPermissionDenied);
    EXPECT_NE(status.error().message().find("chmod 600 " + path.string()), std::string::npos);
  }
}

// As in a pod: root's, and the group is the process' own.
TEST(CheckPrivateFile, TakesRootsFileThatOnlyOurGroupMayRead) {
  if (geteuid() != 0) GTEST_SKIP() << "skipped: only root can give a file to another group";
  constexpr gid_t kGroup = 65'532;
  const auto directory = MakeDirectory();
  ASSERT_EQ(chmod(directory.path().c_str(), 0755), 0);
  const auto path = directory.path() / "keys";
  ASSERT_TRUE(WriteFileDurably(path, "x", 0600));
  ASSERT_EQ(chown(path.c_str(), 0, kGroup), 0);
  const auto as_user = [&](mode_t mode, gid_t group) {
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    const pid_t child = fork();
    if (child == 0)
      _exit(setegid(group) == 0 && seteuid(kGroup) == 0 ? CheckPrivateFile(path) ? 1 : 2 : 3);
    int status = 0;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status) == 1;
  };
  EXPECT_TRUE(as_user(0440, kGroup));
  EXPECT_TRUE(as_user(0640, kGroup));
  EXPECT_FALSE(as_user(0440, kGroup + 1));
  EXPECT_FALSE(as_user(0460, kGroup));
  EXPECT_FALSE(as_user(0444, kGroup));
}

TEST(ReadFileState, TellsAFileFromOneThatGrewAndOneThatTookItsPlace) {
  const auto directory = TemporaryDirectory::Create("state");
  ASSERT_TRUE(directory);
  const std::filesystem::path path = directory->path() / "f";
  EXPECT_EQ(ReadFileState(path).error().code(), ErrorCode::kNotFound);
  ASSERT_TRUE(WriteFileDurably(path, "one"));
  const FileState first = ReadFileState(path).value();
  EXPECT_EQ(first.bytes, 3U);
  EXPECT_EQ(ReadFileState(path).value(), first);
  ASSERT_TRUE(WriteFileDurably(path, "two"));
  EXPECT_NE(ReadFileState(path).value(), first);
}

TEST(PublishFileDurably, MovesAWrittenFileIntoPlace) {
  const auto directory = MakeDirectory();
  ASSERT_TRUE(WriteFileDurably(directory.path() / "a", "x"));
  ASSERT_TRUE(PublishFileDurably(directory.path() / "a", directory.path() / "b"));
  EXPECT_EQ(ReadFile(directory.path() / "b", 5).value(), "x");
  EXPECT_FALSE(std::filesystem::exists(directory.path() / "a"));
}

TEST(DirectoryLock, SecondHolderIsRefusedWithTheFirstOnesProcess) {
  const auto directory = MakeDirectory();
  {
    const auto first = DirectoryLock::Acquire(directory.path());
    ASSERT_TRUE(first);
    const auto second = DirectoryLock::Acquire(directory.path());
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code(), ErrorCode::kFailedPrecondition);
    EXPECT_NE(second.error().message().find(std::to_string(getpid())), std::string::npos);
  }
  EXPECT_TRUE(DirectoryLock::Acquire(directory.path()));
}

TEST(TemporaryDirectory, IsPrivateAndGoneAfterwards) {
  std::filesystem::path path;
  {
    const auto directory = MakeDirectory();
    path = directory.path();
    struct stat facts{};
    ASSERT_EQ(stat(path.c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777U, 0700U);
    ASSERT_TRUE(WriteFileDurably(path / "f", "x"));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace skerry
