#include "serve/score_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/limits.h"
#include "model/tests/fixture_package.h"
#include "serve/csv.h"
#include "storage/file.h"

namespace skerry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ScoreFileTest : public testing::Test {
 protected:
  Result<ScoreFileReport> Run(const std::string& csv) {
    fixture::WriteBytes(in_, csv);
    return ScoreFile(in_, package_, out_);
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
  const auto report = ScoreFile(in_, package_, out_, [&](std::uint64_t rows) { told = rows; });
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(report->rows, 5000U);
  EXPECT_GT(told, 0U);
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
  EXPECT_EQ(ScoreFile(directory_.path() / "absent.csv", package_, out_).error().code(),
            ErrorCode::kNotFound);
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
