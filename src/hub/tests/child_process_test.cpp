#include "base/child_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "hub/tests/fake_site.h"
#include "storage/file.h"

namespace skerry {
namespace {

class ChildProcessTest : public testing::Test {
 protected:
  Status Run(const std::string& script, const std::filesystem::path& program = "/bin/sh") {
    const auto go_on = [] { return true; };
    return RunProcessGroup(program, {"-c", script}, log_, go_on, std::chrono::seconds(1));
  }
  std::string Log() const {
    std::ostringstream text;
    text << std::ifstream(log_).rdbuf();
    return text.str();
  }

  TemporaryDirectory directory_ = Must(TemporaryDirectory::Create("hub-child"));
  std::filesystem::path log_ = directory_.path() / "log.txt";
};

TEST_F(ChildProcessTest, OutputOfBothStreamsIsInTheLog) {
  EXPECT_TRUE(Run("echo one; echo two >&2"));
  EXPECT_EQ(Log(), "one\ntwo\n");
}

TEST_F(ChildProcessTest, SaysHowItEnded) {
  EXPECT_THAT(Run("exit 3").error().message(), testing::HasSubstr("exit status 3"));
  EXPECT_THAT(Run("kill -9 $$").error().message(), testing::HasSubstr("signal 9"));
  EXPECT_THAT(Run("true", "/nowhere/program").error().message(),
              testing::HasSubstr("could not be started"));
}

// A process that is gone, or dead and not yet collected by whoever inherited it.
bool IsDead(const std::string& pid) {
  std::ifstream stat("/proc/" + pid + "/stat");
  std::string text;
  std::getline(stat, text);
  const std::size_t state = text.rfind(')');
  return state == std::string::npos || text[state + 2] == 'Z' || text[state + 2] == 'X';
}

TEST_F(ChildProcessTest, ChildEndsWhenItsParentIsKilled) {
  const std::filesystem::path file = directory_.path() / "pid";
  std::string program = "hub_tests";
  std::string word = "__parent";
  std::string path = file.string();
  char* const arguments[] = {program.data(), word.data(), path.data(), nullptr};
  pid_t parent = 0;
  ASSERT_EQ(posix_spawn(&parent, "/proc/self/exe", nullptr, nullptr, arguments, environ), 0);
  while (!std::filesystem::exists(file)) std::this_thread::yield();
  const std::string child = Must(ReadFile(file, 64));
  EXPECT_FALSE(IsDead(child));
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  while (!IsDead(child)) std::this_thread::yield();
}

TEST_F(ChildProcessTest, AParentThatIsProcessOneOfItsContainerHasChildren) {
  if (!Run("unshare --pid --fork true"))
    GTEST_SKIP() << "no namespace of processes can be made here: unshare, and root";
  const std::string file = (directory_.path() / "pid").string();
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const Status ran = Run(fmt::format(
      "unshare --pid --fork --kill-child '{0}' __parent '{1}' & for i in $(seq 400); do test -s "
      "'{1}' && break; sleep 0.05; done; kill $!; test -s '{1}'",
      self, file));
  EXPECT_TRUE(ran) << Log();
}

// The process id that a script wrote into the log, once it is there.
std::string FirstLine(const std::string& log) { return log.substr(0, log.find('\n')); }

TEST_F(ChildProcessTest, AGroupEndsWithItsLeaderAndWhenItIsAskedTo) {
  const auto run = [this](const std::string& script, bool until_it_speaks) {
    return RunProcessGroup(
        "/bin/sh", {"-c", script}, log_,
        [&] { return !until_it_speaks || Log().find('\n') == std::string::npos; },
        std::chrono::milliseconds(200));
  };
  EXPECT_TRUE(run("sleep 600 & echo $!", false));
  const std::string left_behind = FirstLine(Log());
  while (!IsDead(left_behind)) std::this_thread::yield();

  std::filesystem::remove(log_);
  EXPECT_THAT(run("exit 3", false).error().message(), testing::HasSubstr("exit status 3"));
  EXPECT_EQ(run("sleep 600 & echo $!; wait", true).error().code(), ErrorCode::kUnavailable);
  const std::string asked = FirstLine(Log());
  while (!IsDead(asked)) std::this_thread::yield();

  std::filesystem::remove(log_);  // one that does not want to
  EXPECT_EQ(run("trap '' TERM; echo $$; while true; do sleep 600; done", true).error().code(),
            ErrorCode::kUnavailable);
  EXPECT_TRUE(IsDead(FirstLine(Log())));
}

}  // namespace
}  // namespace skerry
