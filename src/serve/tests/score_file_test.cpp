#include "serve/score_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "base/limits.h"
#include "model/tests/fixture_package.h"
#include "serve/csv.h"
#include "storage/file.h"
#include "tabular/engine.h"

namespace skerry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ScoreFileTest : public testing::Test {
 protected:
  Result<ScoreFileReport> Run(const std::string& csv) {
    fixture::WriteBytes(in_, csv);
    return ScoreFile({.in = in_, .out = out_}, package_);
  }
  TemporaryDirectory directory_ = TemporaryDirectory::Create("score").value();
  std::filesystem::path in_ = directory_.path() / "in.csv";
  std::filesystem::path out_ = directory_.path() / "out.csv";
  std::shared_ptr<const ModelPackage> package_ = fixture::LoadFixture();
};

TEST_F(ScoreFileTest, AddsThreeColumnsAndKeepsTheRest) {
  const auto report =
      Run("note,Type,Torque [Nm],Tool wear [min]\n\"a \"\"b\"\", c\",L,65,10\nplain,Q,,\n");
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(report->rows, 2U);
  EXPECT_EQ(report->positives, 1U);
  EXPECT_EQ(report->anomalies, 1U);
  EXPECT_EQ(ReadFile(out_, 1U << 20U).value(),
            "note,Type,Torque [Nm],Tool wear [min],prediction,score,anomaly_score\n"
            "\"a \"\"b\"\", c\",L,65,10,1,0.9,0.3\n"
            "plain,Q,,,0,0.1,0.3\n");
}

TEST_F(ScoreFileTest, ManyRowsComeOutInOrder) {
  std::string csv = "Type,Torque [Nm],Tool wear [min]\n";
  for (int i = 0; i < 5000; ++i) csv += fmt::format("L,{},10\n", i % 100);
  std::uint64_t told = 0;
  fixture::WriteBytes(in_, csv);
  double share = 0;
  const auto report = ScoreFile({.in = in_,
                                 .out = out_,
                                 .progress =
                                     [&](std::uint64_t rows, double part) {
                                       EXPECT_GE(rows, told);
                                       EXPECT_GE(part, share);
                                       told = rows;
                                       share = part;
                                     }},
                                package_);
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(report->rows, 5000U);
  EXPECT_EQ(told, 5000U);
  EXPECT_EQ(share, 1);
  const std::string text = ReadFile(out_, 1U << 24U).value();
  // In pieces of seven bytes, so that every state crosses a boundary.
  CsvReader::Source pieces = [&text, done = std::size_t{0}](
                                 char* out, std::size_t size) mutable -> Result<std::size_t> {
    const std::size_t part = std::min({size, std::size_t{7}, text.size() - done});
    std::copy_n(text.data() + done, part, out);
    done += part;
    return part;
  };
  CsvReader reader(std::move(pieces));
  std::vector<std::string> fields;
  ASSERT_TRUE(reader.Next(fields).value());
  for (int i = 0; i < 5000; ++i) {
    ASSERT_TRUE(reader.Next(fields).value());
    ASSERT_EQ(fields[1], std::to_string(i % 100));
    ASSERT_EQ(fields[3], i % 100 > 60 ? "1" : "0");
  }
  EXPECT_FALSE(reader.Next(fields).value());
}

TEST_F(ScoreFileTest, BadFilesAreRefusedAndLeaveNothing) {
  EXPECT_THAT(Run("").error().message(), HasSubstr("empty"));
  EXPECT_THAT(Run("Type,Torque [Nm],Tool wear [min]\n").error().message(), HasSubstr("no rows"));
  EXPECT_THAT(Run("Type,Tool wear [min]\nL,1\n").error().message(), HasSubstr("torque_nm"));
  EXPECT_THAT(Run("Type,Torque [Nm],Tool wear [min]\nL,wet,1\n").error().message(),
              HasSubstr("line 2: field torque_nm: expected a finite number, got \"wet\""));
  EXPECT_THAT(Run("Type,Torque [Nm],Tool wear [min]\nL,1,2,3\n").error().message(),
              HasSubstr("line 2: 4 fields"));
  EXPECT_THAT(Run("Type,Torque [Nm],Tool wear [min]\n\xff,1,2\n").error().message(),
              HasSubstr("UTF-8"));
  std::string wide = "a";
  for (std::size_t i = 0; i < limits::kTableColumns; ++i) wide += ",a";
  EXPECT_EQ(Run(wide + "\n").error().code(), ErrorCode::kTooLarge);
  EXPECT_EQ(Run("a\n" + std::string(limits::kFieldBytes + 1, 'x')).error().code(),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(Run(std::string(limits::kFieldBytes + 1, 'x')).error().code(), ErrorCode::kTooLarge);
  std::size_t left = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory_.path()))
    ++left;
  EXPECT_EQ(left, 1U);
  EXPECT_EQ(
      ScoreFile({.in = directory_.path() / "absent.csv", .out = out_}, package_).error().code(),
      ErrorCode::kNotFound);
}

// The file of some rows, as CSV or as Parquet with the types that a table would have.
class ScoreTableTest : public ScoreFileTest {
 protected:
  void WriteRows(std::size_t rows) {
    std::string csv = "note,Type,Torque [Nm],Tool wear [min],day\n";
    for (std::size_t i = 0; i < rows; ++i)
      csv += fmt::format("\"n, {}\",{},{},{},2024-01-{:02}\n", i, i % 3 == 0 ? "L" : "Q",
                         i % 7 == 0 ? "" : fmt::format("{}", static_cast<double>(i % 977) / 7),
                         i % 300, i % 28 + 1);
    fixture::WriteBytes(in_, csv);
    ASSERT_TRUE(engine_->Execute(fmt::format(
        "COPY (SELECT note, Type, \"Torque [Nm]\"::DOUBLE AS \"Torque [Nm]\", "
        "\"Tool wear [min]\"::SMALLINT AS \"Tool wear [min]\", day::DATE AS day FROM read_csv({}, "
        "all_varchar=true)) TO {} (FORMAT parquet, ROW_GROUP_SIZE 10000)",
        QuoteLiteral(in_.string()), QuoteLiteral(Path("in.parquet").string()))));
  }
  std::filesystem::path Path(const std::string& name) const { return directory_.path() / name; }
  Table Query(const std::string& sql) {
    auto table = engine_->Query(sql);
    EXPECT_TRUE(table) << table.error().message();
    return table ? *table : Table{};
  }
  ScoreFileReport Score(const std::string& in, const std::string& out, int threads = 2) {
    const auto report = ScoreFile({.in = Path(in), .out = Path(out), .threads = threads}, package_);
    EXPECT_TRUE(report) << report.error().message();
    return report ? *report : ScoreFileReport{};
  }

  std::unique_ptr<TabularEngine> engine_ = TabularEngine::Open({}).value();
};

TEST_F(ScoreTableTest, CsvAndParquetInAndOutAgreeRowByRow) {
  constexpr std::size_t kRows = 150'000;  // more than two parts
  WriteRows(kRows);
  for (const char* in : {"in.csv", "in.parquet"})
    for (const char* out : {"csv", "parquet"}) {
      const ScoreFileReport report = Score(in, fmt::format("{}.{}", in, out));
      EXPECT_EQ(report.rows, kRows);
      EXPECT_GT(report.positives, 0U);
    }
  const auto rows = [&](const std::string& name) {
    const std::string file = QuoteLiteral(Path(name).string());
    return Query(fmt::format(
        "SELECT note, Type, \"Torque [Nm]\"::DOUBLE, \"Tool wear [min]\"::BIGINT, day::DATE, "
        "prediction::BIGINT, score::FLOAT, anomaly_score::FLOAT FROM {}",
        name.ends_with(".parquet") ? fmt::format("read_parquet({})", file)
                                   : fmt::format("read_csv({}, all_varchar=true)", file)));
  };
  const Table wanted = rows("in.csv.csv");
  ASSERT_EQ(wanted.rows(), kRows);
  EXPECT_EQ(wanted.columns[0].texts[kRows - 1], fmt::format("n, {}", kRows - 1));
  for (const char* name : {"in.csv.parquet", "in.parquet.csv", "in.parquet.parquet"}) {
    Table table = rows(name);
    for (std::size_t i = 0; i < table.columns.size(); ++i)
      table.columns[i].name = wanted.columns[i].name;
    EXPECT_TRUE(table == wanted) << name;
  }
}

TEST_F(ScoreTableTest, ColumnsOfParquetKeepTheirTypes) {
  WriteRows(100);
  Score("in.parquet", "out.parquet");
  const Table types =
      Query(fmt::format("SELECT column_type FROM (DESCRIBE SELECT * FROM read_parquet({}))",
                        QuoteLiteral(Path("out.parquet").string())));
  EXPECT_THAT(types.columns[0].texts, ElementsAre("VARCHAR", "VARCHAR", "DOUBLE", "SMALLINT",
                                                  "DATE", "VARCHAR", "FLOAT", "FLOAT"));
}

TEST_F(ScoreTableTest, NumberOfThreadsChangesNothing) {
  WriteRows(30'000);
  Score("in.csv", "one.csv", 1);
  Score("in.csv", "four.csv", 4);
  EXPECT_TRUE(ReadFile(Path("one.csv"), 1U << 28U).value() ==
              ReadFile(Path("four.csv"), 1U << 28U).value());
}

TEST_F(ScoreTableTest, BadTablesAreRefusedAndLeaveNothing) {
  const auto refusal = [&](const std::string& sql) {
    EXPECT_TRUE(engine_->Execute(fmt::format("COPY ({}) TO {} (FORMAT parquet)", sql,
                                             QuoteLiteral(Path("in.parquet").string()))));
    const auto report = ScoreFile({.in = Path("in.parquet"), .out = Path("out.parquet")}, package_);
    return report ? "it was scored" : report.error().message();
  };
  EXPECT_THAT(refusal("SELECT 'L' AS type, 1 AS tool_wear_min"), HasSubstr("torque_nm"));
  EXPECT_THAT(refusal("SELECT 'L' AS type, 'wet' AS torque_nm, 1 AS tool_wear_min"),
              HasSubstr("row 1: field torque_nm"));
  EXPECT_THAT(refusal("SELECT 'L' AS type, 1 AS torque_nm, 1 AS tool_wear_min, 1 AS \"Score\""),
              HasSubstr("a column \"Score\" already"));
  EXPECT_THAT(refusal("SELECT 'L' AS type, 1 AS torque_nm, 1 AS tool_wear_min WHERE false"),
              HasSubstr("no rows"));
  fixture::WriteBytes(Path("in.parquet"), "no Parquet");
  EXPECT_FALSE(ScoreFile({.in = Path("in.parquet"), .out = Path("out.parquet")}, package_));
  std::size_t left = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory_.path()))
    ++left;
  EXPECT_EQ(left, 1U);
}

TEST_F(ScoreTableTest, InterruptionLeavesTheOldFileAndNothingElse) {
  WriteRows(50'000);
  for (const char* out : {"out.csv", "out.parquet"}) {
    fixture::WriteBytes(Path(out), "old");
    int asked = 0;
    const auto report = ScoreFile(
        {.in = in_, .out = Path(out), .threads = 2, .cancelled = [&] { return ++asked > 3; }},
        package_);
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code(), ErrorCode::kUnavailable);
    EXPECT_EQ(ReadFile(Path(out), 100).value(), "old");
  }
  std::size_t left = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory_.path()))
    ++left;
  EXPECT_EQ(left, 4U);  // two inputs, two old files
}

// The peak of this process's memory from now on, KiB.
void ForgetPeak() { std::ofstream("/proc/self/clear_refs") << "5"; }
std::int64_t PeakKib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6));
  return 0;
}

TEST_F(ScoreTableTest, MemoryDoesNotGrowWithAParquetFile) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer keeps what was freed";
#endif
  // 2 million rows whose notes alone are 200 MB.
  ASSERT_TRUE(engine_->Execute(fmt::format(
      "COPY (SELECT repeat(md5(i::VARCHAR), 3) AS note, 'L' AS type, i % 977 / 7 AS torque_nm, i % "
      "300 AS tool_wear_min FROM range(2000000) t(i)) TO {} (FORMAT parquet)",
      QuoteLiteral(Path("in.parquet").string()))));
  engine_.reset();
  ForgetPeak();
  const std::int64_t before = PeakKib();
  EXPECT_EQ(Score("in.parquet", "out.parquet").rows, 2'000'000U);
  const std::int64_t grown = PeakKib() - before;
  std::printf("peak %lld KiB more\n", static_cast<long long>(grown));
  EXPECT_LT(grown, 450 * 1024);
}

TEST(CsvReader, ReadsQuotesLineEndsAndAByteOrderMark) {
  CsvReader reader(
      std::string_view("\xEF\xBB\xBF"
                       "a,b\r\n\"x\ny\",\"\"\n\n,\n\"say \"\"hi\"\"\",last"));
  std::vector<std::string> fields;
  ASSERT_TRUE(reader.Next(fields).value());
  EXPECT_THAT(fields, ElementsAre("a", "b"));
  ASSERT_TRUE(reader.Next(fields).value());
  EXPECT_THAT(fields, ElementsAre("x\ny", ""));
  EXPECT_EQ(reader.line(), 2U);
  ASSERT_TRUE(reader.Next(fields).value());
  EXPECT_THAT(fields, ElementsAre("", ""));
  EXPECT_EQ(reader.line(), 5U);
  ASSERT_TRUE(reader.Next(fields).value());
  EXPECT_THAT(fields, ElementsAre("say \"hi\"", "last"));
  EXPECT_FALSE(reader.Next(fields).value());
}

TEST(CsvReader, TextAfterAClosingQuoteIsRefused) {
  CsvReader reader(std::string_view("\"a\"b,c\n"));
  std::vector<std::string> fields;
  EXPECT_THAT(reader.Next(fields).error().message(), HasSubstr("line 1"));
}

}  // namespace
}  // namespace skerry
