#include "codec/json.h"

#include <gtest/gtest.h>

namespace skerry {
namespace {

TEST(ParseJson, RefusesWhatIsNotJsonWithItsPlace) {
  for (const char* bad : {"", "{", "{\"a\":}", "[1,]", "nul", "{\"a\":1}x", "1e999"}) {
    const auto parsed = ParseJson(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_EQ(parsed.error().code(), ErrorCode::kInvalidArgument);
  }
}

TEST(ParseJson, RefusesDuplicateKeysAndDeepNesting) {
  EXPECT_FALSE(ParseJson(R"({"a":1,"a":2})"));
  EXPECT_FALSE(ParseJson(R"({"x":{"a":1,"b":{"a":3},"a":2}})"));
  EXPECT_TRUE(ParseJson(R"({"a":{"a":1},"b":{"a":1}})"));
  EXPECT_FALSE(ParseJson(std::string(100'000, '[')));
  EXPECT_TRUE(
      ParseJson("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\""));
}

TEST(ParseJson, RefusesMoreBytesThanTheLimit) {
  const auto parsed = ParseJson("[1,2,3]", 4);
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().code(), ErrorCode::kTooLarge);
}

TEST(DumpCanonicalJson, SortsKeysAndEscapesOnlyQuoteAndBackslash) {
  const Json value = {{"b", 1}, {"a", "x\n\"\\"}};
  EXPECT_EQ(DumpCanonicalJson(value).value(), "{\"a\":\"x\n\\\"\\\\\",\"b\":1}");
  EXPECT_FALSE(DumpCanonicalJson(Json(1.5)));
}

TEST(JsonObject, ErrorsNameThePath) {
  const Json value = {{"rows", -1}, {"inner", {{"name", 5}}}};
  const JsonObject object(value, "statement");
  EXPECT_EQ(object.Uint("rows").error().message(),
            "statement.rows: expected a whole number that is not negative, got number");
  EXPECT_EQ(object.Object("inner")->String("name").error().message(),
            "statement.inner.name: expected a string, got number");
  EXPECT_EQ(object.String("site").error().message(), "statement: 'site' is missing");
}

TEST(JsonObject, ForbidOthersNamesTheUnknownKeyAndTheKnownOnes) {
  const Json value = {{"htp", 1}};
  const auto status = JsonObject(value, "config").ForbidOthers({"http", "data"});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message(), "config: unknown key 'htp'; known are: http, data");
}

}  // namespace
}  // namespace skerry
