#include "tabular/compaction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "storage/file.h"

namespace skerry {
namespace {

using ::testing::HasSubstr;

class CompactionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto directory = TemporaryDirectory::Create("compaction");
    ASSERT_TRUE(directory) << directory.error().ToString();
    directory_.emplace(std::move(*directory));
    auto engine = TabularEngine::Open({});
    ASSERT_TRUE(engine) << engine.error().ToString();
    engine_ = std::move(*engine);
  }
  std::filesystem::path path(const std::string& name) const { return directory_->path() / name; }
  void Write(const std::string& name, const std::string& select) {
    const Status written = engine_->Execute(
        fmt::format("COPY ({}) TO '{}' (FORMAT PARQUET)", select, path(name).string()));
    ASSERT_TRUE(written) << written.error().ToString();
    files_.push_back(path(name));
  }
  Result<Compaction> Compact(std::uint64_t part_bytes = 1U << 30U) {
    return CompactParquet(*engine_, files_, path("out"), part_bytes, {});
  }
  std::size_t Entries() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(directory_->path()),
                      std::filesystem::directory_iterator()));
  }
  std::optional<TemporaryDirectory> directory_;
  std::unique_ptr<TabularEngine> engine_;
  std::vector<std::filesystem::path> files_;
};

TEST_F(CompactionTest, KeepsEveryRowInOrderWithTheColumnsOfAllFiles) {
  Write("a.parquet", "SELECT 1 AS n, 'x' AS t");
  Write("b.parquet", "SELECT 2.5 AS n, true AS more");
  Write("c.parquet", "SELECT 3 AS n, NULL::VARCHAR AS t");
  const auto done = Compact();
  ASSERT_TRUE(done) << done.error().ToString();
  EXPECT_EQ(done->files, 3U);
  EXPECT_EQ(done->rows, 3U);
  EXPECT_EQ(done->parts, 1U);
  const Table table = engine_->ReadFile(path("out/part-00000.parquet"), {}).value();
  EXPECT_EQ(table.Find("n")->doubles, (std::vector<double>{1, 2.5, 3}));
  EXPECT_FALSE(table.Find("t")->IsNull(0));
  EXPECT_TRUE(table.Find("t")->IsNull(1));
  EXPECT_TRUE(table.Find("more")->IsNull(0));
}

TEST_F(CompactionTest, EncodingsAreThoseThatEveryReaderKnows) {
  Write("a.parquet",
        "SELECT random() AS x, random()::FLOAT AS y, i, 'unit ' || i AS t FROM range(5000) r(i)");
  ASSERT_TRUE(Compact());
  ASSERT_TRUE(engine_->Execute(
      fmt::format("COPY (SELECT DISTINCT encodings FROM parquet_metadata('{}')) TO '{}'",
                  path("out/part-00000.parquet").string(), path("encodings.csv").string())));
  const std::string encodings = ReadFile(path("encodings.csv"), 10'000).value();
  EXPECT_THAT(encodings, HasSubstr("PLAIN"));
  EXPECT_THAT(encodings, ::testing::Not(HasSubstr("SPLIT")));
  EXPECT_THAT(encodings, ::testing::Not(HasSubstr("DELTA")));
}

TEST_F(CompactionTest, EveryPartHasTheColumnsOfAllFiles) {
  Write("a.parquet", "SELECT 1 AS n");
  Write("b.parquet", "SELECT 2 AS n, 'x' AS t");
  const auto done = Compact(1);
  ASSERT_TRUE(done) << done.error().ToString();
  EXPECT_EQ(done->parts, 2U);
  const Table first = engine_->ReadFile(path("out/part-00000.parquet"), {}).value();
  EXPECT_EQ(first.rows(), 1U);
  ASSERT_NE(first.Find("t"), nullptr);
  EXPECT_TRUE(first.Find("t")->IsNull(0));
}

TEST_F(CompactionTest, ARefusalLeavesNothing) {
  Write("a.parquet", "SELECT 1 AS n");
  std::ofstream(path("b.csv")) << "n\n2\n";
  files_.push_back(path("b.csv"));
  const auto csv = Compact();
  ASSERT_FALSE(csv);
  EXPECT_THAT(csv.error().message(), HasSubstr("b.csv is no Parquet file"));
  files_.pop_back();
  std::ofstream(path("broken.parquet")) << "PAR1";
  files_.push_back(path("broken.parquet"));
  EXPECT_FALSE(Compact());
  files_.pop_back();
  const auto interrupted = CompactParquet(*engine_, files_, path("out"), 1, [] { return false; });
  ASSERT_FALSE(interrupted);
  EXPECT_EQ(interrupted.error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(Entries(), 3U);
  std::filesystem::create_directory(path("out"));
  const auto there = Compact();
  ASSERT_FALSE(there);
  EXPECT_EQ(there.error().code(), ErrorCode::kAlreadyExists);
}

}  // namespace
}  // namespace skerry
