#include "storage/new_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skerry {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

TEST(NewDirectory, AppearsWholeAndIsReadableByAll) {
  const auto place = TemporaryDirectory::Create("new");
  ASSERT_TRUE(place);
  const auto written = TemporaryDirectory::Create(".out", place->path());
  ASSERT_TRUE(written);
  ASSERT_TRUE(WriteFileDurably(written->path() / "a.txt", "a"));
  const fs::path out = place->path() / "out";
  ASSERT_TRUE(PublishDirectory(*written, out));
  EXPECT_EQ(ReadFile(out / "a.txt", 10).value(), "a");
  EXPECT_EQ(static_cast<unsigned>(fs::status(out).permissions()), 0755U);
  EXPECT_FALSE(fs::exists(written->path()));
}

TEST(NewDirectory, WhatIsThereAlreadyStaysAsItIs) {
  const auto place = TemporaryDirectory::Create("new");
  ASSERT_TRUE(place);
  const fs::path out = place->path() / "out";
  fs::create_directory_symlink("nowhere", out);  // a link that leads nowhere is there, too
  EXPECT_EQ(CheckNewDirectory(out).error().code(), ErrorCode::kAlreadyExists);
  const auto written = TemporaryDirectory::Create(".out", place->path());
  ASSERT_TRUE(written);
  const Status refused = PublishDirectory(*written, out);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("remove it or choose another name"));
  EXPECT_TRUE(fs::is_symlink(out));
}

TEST(NewDirectory, NeedsANameAndAParent) {
  EXPECT_EQ(CheckNewDirectory("").error().code(), ErrorCode::kInvalidArgument);
  const Status orphan = CheckNewDirectory("/nowhere/at/all");
  ASSERT_FALSE(orphan);
  EXPECT_THAT(orphan.error().message(), HasSubstr("there is no directory /nowhere/at"));
}

}  // namespace
}  // namespace skerry
