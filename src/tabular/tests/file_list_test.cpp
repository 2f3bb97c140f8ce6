#include "tabular/file_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/limits.h"
#include "storage/file.h"

namespace skerry {
namespace {

using ::testing::HasSubstr;

class FileListTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto directory = TemporaryDirectory::Create("files");
    ASSERT_TRUE(directory) << directory.error().ToString();
    directory_.emplace(std::move(*directory));
    for (const char* name : {"b.csv", "a.csv", "c.parquet", "odd[1].csv"}) Touch(name);
    std::filesystem::create_directory(path("sub.csv"));
  }
  std::filesystem::path path(const std::string& name) const { return directory_->path() / name; }
  void Touch(const std::string& name) const { std::ofstream(path(name)) << "x\n"; }
  std::string Refusal(const std::vector<std::string>& names, ErrorCode code) {
    const auto files = ExpandFiles(names);
    if (files) return "it was taken";
    EXPECT_EQ(files.error().code(), code);
    return files.error().message();
  }
  std::optional<TemporaryDirectory> directory_;
};

TEST_F(FileListTest, PatternsGiveTheirFilesByNameAndNoDirectories) {
  const auto files = ExpandFiles({path("c.parquet").string(), path("?.csv").string()});
  ASSERT_TRUE(files) << files.error().ToString();
  EXPECT_EQ(*files, (std::vector{path("c.parquet"), path("a.csv"), path("b.csv")}));
}

TEST_F(FileListTest, ANameThatExistsIsNoPattern) {
  const auto files = ExpandFiles({path("odd[1].csv").string()});
  ASSERT_TRUE(files);
  EXPECT_EQ(files->front(), path("odd[1].csv"));
}

TEST_F(FileListTest, WhatIsNotThereIsNamed) {
  EXPECT_THAT(Refusal({path("no.csv").string()}, ErrorCode::kNotFound), HasSubstr("no.csv"));
  EXPECT_THAT(Refusal({path("*.json").string()}, ErrorCode::kNotFound),
              HasSubstr("no file matches"));
  EXPECT_THAT(Refusal({path("sub.csv").string()}, ErrorCode::kInvalidArgument),
              HasSubstr("is a directory"));
}

TEST_F(FileListTest, AFileNamedTwiceIsRefused) {
  EXPECT_THAT(
      Refusal({path("a.csv").string(), path("*.csv").string()}, ErrorCode::kInvalidArgument),
      HasSubstr("named twice"));
}

TEST_F(FileListTest, TooManyFilesAreRefused) {
  std::filesystem::create_directory(path("many"));
  for (std::size_t i = 0; i <= limits::kFilesPerTable; ++i) Touch(fmt::format("many/{}.csv", i));
  EXPECT_THAT(Refusal({path("many/*.csv").string()}, ErrorCode::kTooLarge),
              HasSubstr(std::to_string(limits::kFilesPerTable)));
}

}  // namespace
}  // namespace skerry
