#include "storage/claimed_directory.h"

#include <gtest/gtest.h>

#include <fstream>
#include <optional>

namespace skerry {
namespace {

namespace fs = std::filesystem;

TEST(ClaimedDirectoryTest, WhatIsInUseStaysAndWhatWasLeftGoes) {
  const TemporaryDirectory parent = *TemporaryDirectory::Create("claimed");
  std::optional<ClaimedDirectory> mine = *ClaimedDirectory::Create("bundle", parent.path());
  const fs::path path = mine->path();
  const fs::path left = parent.path() / "bundle-0123456789abcdef";
  fs::create_directory(left);
  std::ofstream(left / "bundle.tar") << "half of it";
  for (const char* name : {"bundle-x", "bundle-0123456789ABCDEF", "other-0123456789abcdef"})
    fs::create_directory(parent.path() / name);
  std::ofstream(parent.path() / "bundle-fedcba9876543210") << "a file of somebody's";
  {
    const ClaimedDirectory other = *ClaimedDirectory::Create("bundle", parent.path());
    EXPECT_TRUE(fs::exists(path)) << "its process lives";
    EXPECT_FALSE(fs::exists(left));
    EXPECT_EQ(RemoveUnclaimed("bundle", parent.path()), 0U);
    EXPECT_TRUE(fs::exists(other.path()));
  }
  mine.reset();
  EXPECT_FALSE(fs::exists(path));
  EXPECT_EQ(std::distance(fs::directory_iterator(parent.path()), {}), 4);
}

}  // namespace
}  // namespace skerry
