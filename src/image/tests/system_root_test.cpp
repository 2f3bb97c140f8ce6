#include "image/system_root.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <link.h>

#include <fstream>

#include "image/elf_file.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

fs::path Self() { return fs::canonical("/proc/self/exe"); }

// What the loader really loaded into this process, which was linked like any other.
std::set<std::string> Loaded() {
  std::set<std::string> names;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* into) {
        const fs::path path(info->dlpi_name);
        if (path.is_absolute())
          static_cast<std::set<std::string>*>(into)->insert(path.filename().string());
        return 0;
      },
      &names);
  return names;
}

TEST(LibraryClosureTest, IsWhatTheLoaderLoads) {
  const auto root = SystemRoot::Open("/").value();
  const LibraryClosure closure = root.LibrariesOf({Self()}).value();
  std::set<std::string> names;
  for (const SystemLibrary& library : closure.libraries) {
    names.insert(library.name);
    EXPECT_TRUE(library.directory.starts_with("usr/lib")) << library.directory;
    EXPECT_TRUE(fs::is_regular_file(library.file));
  }
  EXPECT_EQ(names, Loaded());
  EXPECT_TRUE(names.contains(fs::path(closure.interpreter).filename().string()));
}

TEST(LibraryClosureTest, NamesTheLibraryThatIsMissingAndWhoWantsIt) {
  const auto empty = TemporaryDirectory::Create("skerry-root").value();
  const auto refused = SystemRoot::Open(empty.path()).value().LibrariesOf({Self()});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kNotFound);
  EXPECT_THAT(refused.error().message(), HasSubstr(Self().string()));
  EXPECT_THAT(refused.error().message(), HasSubstr(".so"));
}

TEST(LibraryClosureTest, WhatWasBroughtAlongComesFirst) {
  const auto work = TemporaryDirectory::Create("skerry-root").value();
  const auto root = SystemRoot::Open("/").value();
  const LibraryClosure whole = root.LibrariesOf({Self()}).value();
  for (const SystemLibrary& library : whole.libraries)
    if (library.name.starts_with("libstdc++"))
      fs::copy_file(library.file, work.path() / library.name);
  const LibraryClosure closure = root.LibrariesOf({Self()}, work.path()).value();
  ASSERT_EQ(closure.libraries.size(), whole.libraries.size());
  int brought = 0;
  for (std::size_t i = 0; i < whole.libraries.size(); ++i) {
    EXPECT_EQ(closure.libraries[i].name, whole.libraries[i].name);
    EXPECT_EQ(closure.libraries[i].directory, whole.libraries[i].directory);
    brought += closure.libraries[i].file.parent_path() == fs::canonical(work.path()) ? 1 : 0;
  }
  EXPECT_EQ(brought, 1);
}

TEST(SystemRootTest, LinksStayWithinTheRoot) {
  const auto work = TemporaryDirectory::Create("skerry-root").value();
  const fs::path top = work.path() / "root";
  fs::create_directories(top / "usr/lib");
  ASSERT_TRUE(WriteFileDurably(top / "usr/lib/real", "inside"));
  ASSERT_TRUE(WriteFileDurably(work.path() / "secret", "outside"));
  fs::create_symlink("usr/lib", top / "lib");
  fs::create_symlink("/usr/lib/real", top / "absolute");
  fs::create_symlink("../../secret", top / "up");
  fs::create_symlink("circle", top / "circle");
  const auto root = SystemRoot::Open(top).value();
  const fs::path real = fs::canonical(top) / "usr/lib/real";
  EXPECT_EQ(root.Find("lib/real"), real);
  EXPECT_EQ(root.Find("absolute"), real);
  EXPECT_EQ(root.Find("/lib/../lib/./real"), real);
  EXPECT_EQ(root.Find("up"), std::nullopt);
  EXPECT_EQ(root.Find("circle"), std::nullopt);
  EXPECT_EQ(root.Find("lib/none"), std::nullopt);
}

TEST(SystemRootTest, PackagesAreThoseThatOwnTheFiles) {
  const auto work = TemporaryDirectory::Create("skerry-root").value();
  const fs::path top = work.path();
  fs::create_directories(top / "usr/lib/x86_64-linux-gnu");
  fs::create_directories(top / "var/lib/dpkg/info");
  fs::create_directories(top / "usr/share/doc/libone");
  fs::create_symlink("usr/lib", top / "lib");
  for (const char* file : {"libone.so.1.2", "libtwo.so.2"})
    ASSERT_TRUE(WriteFileDurably(top / "usr/lib/x86_64-linux-gnu" / file, "x"));
  fs::create_symlink("libone.so.1.2", top / "usr/lib/x86_64-linux-gnu/libone.so.1");
  const fs::path info = top / "var/lib/dpkg/info";
  ASSERT_TRUE(
      WriteFileDurably(info / "libone:amd64.list", "/.\n/lib/x86_64-linux-gnu/libone.so.1.2\n"));
  ASSERT_TRUE(WriteFileDurably(info / "libtwo.list", "/usr/lib/x86_64-linux-gnu/libtwo.so.2\n"));
  ASSERT_TRUE(WriteFileDurably(info / "other.list", "/usr/bin/other\n"));
  ASSERT_TRUE(WriteFileDurably(top / "usr/share/doc/libone/copyright", "MIT"));
  ASSERT_TRUE(WriteFileDurably(
      top / "var/lib/dpkg/status",
      "Package: other\nVersion: 9\nArchitecture: all\n\n"
      "Package: libone\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.2-3\n"
      "Conffiles:\n /etc/of-this-machine 0123\nDescription: one\n of two lines\n\n"
      "Package: libtwo\nVersion: 2\nArchitecture: amd64\n"));
  const auto root = SystemRoot::Open(top).value();
  const auto packages = root.PackagesOf({"usr/lib/x86_64-linux-gnu/libone.so.1",
                                         "usr/lib/x86_64-linux-gnu/libtwo.so.2"})
                            .value();
  ASSERT_EQ(packages.size(), 2U);
  EXPECT_EQ(packages[0].name, "libone");
  EXPECT_EQ(packages[0].version, "1:1.2-3");
  EXPECT_EQ(packages[0].stanza,
            "Package: libone\nStatus: install ok installed\nArchitecture: amd64\nVersion: "
            "1:1.2-3\n");
  EXPECT_EQ(packages[0].copyright, fs::canonical(top) / "usr/share/doc/libone/copyright");
  EXPECT_EQ(packages[1].name, "libtwo");
  EXPECT_EQ(packages[1].copyright, std::nullopt);
}

// The loader would crash on many of these; the reader says so or reads something.
TEST(ElfFileTest, DamageIsAnErrorAndNoCrash) {
  const auto work = TemporaryDirectory::Create("skerry-elf").value();
  const std::string whole = ReadFile("/usr/bin/true", 1U << 24U).value();
  const fs::path file = work.path() / "elf";
  int refused = 0;
  for (std::size_t at = 0; at < whole.size(); at += at < 1'024 ? 1 : 977) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0xff);
    std::ofstream(file, std::ios::binary) << damaged;
    refused += ReadElf(file) ? 0 : 1;
    std::ofstream(file, std::ios::binary) << whole.substr(0, at);
    refused += ReadElf(file) ? 0 : 1;
  }
  EXPECT_GT(refused, 64);
  const auto text = ReadElf("/etc/passwd");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace skerry
