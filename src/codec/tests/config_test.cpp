#include "codec/config.h"

#include <gtest/gtest.h>

namespace skerry {
namespace {

using std::chrono::milliseconds;

class ConfigTest : public testing::Test {
 protected:
  ConfigTest() {
    spec_.Add("name", &name_, "", "The site's name.")
        .Add("outbox.quota_bytes", &quota_bytes_, "bytes", "What the outbox may occupy.")
        .Add("outbox.segment.age", &age_, "duration", "Seal a segment at this age.")
        .Add("outbox.segment.rows", &rows_, "rows", "Seal a segment at this size.")
        .Add("serve.capture", &capture_, "", "Whether scored rows are kept.")
        .Add("serve.windows", &windows_, "", "When it is open.")
        .Add("serve.share", &share_, "", "Part of the memory to use.");
  }

  std::string ErrorOf(std::string_view yaml) const {
    const auto status = spec_.Load(yaml);
    EXPECT_FALSE(status) << yaml;
    if (status) return "";
    EXPECT_EQ(status.error().code(), ErrorCode::kInvalidArgument);
    return status.error().message();
  }

  std::string name_ = "north";
  std::int64_t quota_bytes_ = std::int64_t{1} << 30;
  milliseconds age_{60'000};
  std::int64_t rows_ = 20'000;
  bool capture_ = true;
  double share_ = 0.5;
  std::vector<std::string> windows_{"always"};
  ConfigSpec spec_;
};

TEST_F(ConfigTest, SetsWhatTheDocumentNamesAndLeavesTheRest) {
  const auto status = spec_.Load(
      "name: south\n"
      "outbox:\n"
      "  quota_bytes: 64MiB\n"
      "  segment: {age: 250ms}\n"
      "serve:\n"
      "  capture: false\n"
      "  windows: [\"22:00-06:00\", sat-sun]\n"
      "  share: 1\n");
  ASSERT_TRUE(status) << status.error().ToString();
  EXPECT_EQ(name_, "south");
  EXPECT_EQ(quota_bytes_, 64 << 20);
  EXPECT_EQ(age_, milliseconds(250));
  EXPECT_EQ(rows_, 20'000);
  EXPECT_FALSE(capture_);
  EXPECT_EQ(share_, 1.0);
  EXPECT_EQ(windows_, (std::vector<std::string>{"22:00-06:00", "sat-sun"}));
}

TEST_F(ConfigTest, EmptyDocumentIsFine) {
  EXPECT_TRUE(spec_.Load(""));
  EXPECT_TRUE(spec_.Load("# nothing set\n"));
  EXPECT_EQ(name_, "north");
}

TEST_F(ConfigTest, UnknownKeyIsRefusedWithItsPlaceAndTheKnownOnes) {
  EXPECT_EQ(ErrorOf("name: a\noutbox:\n  quota: 1\n"),
            "line 3, column 10: unknown key 'outbox.quota'; known here: quota_bytes, segment");
  EXPECT_EQ(ErrorOf("nmae: a\n"),
            "line 1, column 7: unknown key 'nmae'; known here: name, outbox, serve");
  ErrorOf("outbox.segment: {age: 1s}\n");
  EXPECT_EQ(ErrorOf("name: a\na/b~c: 1\n"),
            "line 2, column 8: unknown key 'a/b~c'; known here: name, outbox, serve");
}

TEST_F(ConfigTest, WrongTypeIsRefusedWithItsPlaceAndWhatIsWanted) {
  EXPECT_EQ(ErrorOf("outbox:\n  segment:\n    age: 5\n"),
            "line 3, column 10: 'outbox.segment.age' has to be a duration such as 250ms, 5s, 2m, "
            "1h, 7d");
  EXPECT_EQ(ErrorOf("serve: {capture: yes}\n"),
            "line 1, column 18: 'serve.capture' has to be true or false");
  EXPECT_EQ(ErrorOf("outbox: 5\n"),
            "line 1, column 9: 'outbox' has to be a group of keys (quota_bytes, segment)");
  EXPECT_EQ(ErrorOf("- a\n"),
            "line 1, column 1: 'the document' has to be a group of keys (name, outbox, serve)");
  for (const char* bad :
       {"name: 5", "name: [a]", "outbox: {quota_bytes: 1.5}", "outbox: {quota_bytes: 5MB}",
        "outbox: {quota_bytes: -1MiB}", "outbox: {quota_bytes: 9999999999999GiB}",
        "outbox: {segment: {rows: 1KiB}}", "outbox: {segment: {age: 1 s}}", "serve: {share: half}",
        "name: ~", "serve: {windows: always}", "serve: {windows: [[a]]}", "serve: {windows: [5]}",
        "outbox: {segment: {age: 99999999999999999d}}"})
    EXPECT_NE(ErrorOf(bad).find("line 1, column "), std::string::npos) << bad;
}

TEST_F(ConfigTest, NothingChangesWhenAnythingIsWrong) {
  ErrorOf("name: south\nserve: {share: 0.1, capture: 7}\n");
  EXPECT_EQ(name_, "north");
  EXPECT_EQ(share_, 0.5);
}

TEST_F(ConfigTest, DurationsAndSizesTakeEveryUnit) {
  for (const auto& [text, expected] : {std::pair{"0ms", 0LL},
                                       {"3s", 3'000LL},
                                       {"2m", 120'000LL},
                                       {"1h", 3'600'000LL},
                                       {"7d", 604'800'000LL}}) {
    ASSERT_TRUE(spec_.Load(fmt::format("outbox: {{segment: {{age: {}}}}}", text)));
    EXPECT_EQ(age_.count(), expected);
  }
  for (const auto& [text, expected] : {std::pair{"4096", 4'096LL},
                                       {"512KiB", 524'288LL},
                                       {"10GiB", 10'737'418'240LL},
                                       {"1TiB", 1'099'511'627'776LL}}) {
    ASSERT_TRUE(spec_.Load(fmt::format("outbox: {{quota_bytes: {}}}", text)));
    EXPECT_EQ(quota_bytes_, expected);
  }
}

TEST_F(ConfigTest, ReferenceShowsKeyTypeUnitDefaultAndDoc) {
  EXPECT_EQ(spec_.Reference(),
            "name  (text; default \"north\")\n"
            "    The site's name.\n"
            "outbox.quota_bytes  (integer, bytes; default 1GiB)\n"
            "    What the outbox may occupy.\n"
            "outbox.segment.age  (duration; default 1m)\n"
            "    Seal a segment at this age.\n"
            "outbox.segment.rows  (integer, rows; default 20000)\n"
            "    Seal a segment at this size.\n"
            "serve.capture  (true or false; default true)\n"
            "    Whether scored rows are kept.\n"
            "serve.windows  (list of texts; default [always])\n"
            "    When it is open.\n"
            "serve.share  (number; default 0.5)\n"
            "    Part of the memory to use.\n");
}

}  // namespace
}  // namespace skerry
