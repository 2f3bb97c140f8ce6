#include "base/ids.h"

#include <gtest/gtest.h>

namespace skerry {
namespace {

TEST(InstanceId, RoundTripsThroughHex) {
  const InstanceId id = InstanceId::Random();
  EXPECT_EQ(InstanceId::Parse(id.ToString()).value(), id);
  EXPECT_NE(InstanceId::Random(), id);
}

TEST(InstanceId, RefusesWhatIsNotLowerCaseHex) {
  EXPECT_FALSE(InstanceId::Parse("abc"));
  EXPECT_FALSE(InstanceId::Parse(std::string(31, '0') + "G"));
  EXPECT_FALSE(InstanceId::Parse(std::string(31, '0') + "A"));
}

TEST(RowId, RoundTripsAndRefusesZeroAndTrailingText) {
  const RowId id{InstanceId::Random(), 42};
  EXPECT_EQ(RowId::Parse(id.ToString()).value(), id);
  EXPECT_FALSE(RowId::Parse(id.instance.ToString() + "-0"));
  EXPECT_FALSE(RowId::Parse(id.instance.ToString() + "-12x"));
  EXPECT_FALSE(RowId::Parse(id.instance.ToString()));
}

TEST(CheckName, FollowsTheGrammarOfAnOciPathComponent) {
  for (const char* good : {"north", "a", "site-1", "a--b", "a__b", "a.b", "0x"})
    EXPECT_TRUE(CheckName("site name", good)) << good;
  for (const char* bad : {"", "North", "-a", "a-", "a..b", "a___b", "a/b", "a b", ".a", "ü"})
    EXPECT_FALSE(CheckName("site name", bad)) << bad;
  EXPECT_TRUE(CheckName("site name", std::string(64, 'a')));
  EXPECT_FALSE(CheckName("site name", std::string(65, 'a')));
}

TEST(CheckName, ErrorSaysWhichThingAndWhatIsAllowed) {
  const auto refused = CheckName("site name", "North Sea");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_NE(refused.error().message().find("site name 'North Sea'"), std::string::npos);
}

TEST(CheckVersion, FollowsTheGrammarOfAnOciTag) {
  for (const char* good : {"1", "v1.2", "_x", "A-b"}) EXPECT_TRUE(CheckVersion("version", good));
  for (const char* bad : {"", ".1", "-1", "1+2", "a/b"}) EXPECT_FALSE(CheckVersion("version", bad));
}

}  // namespace
}  // namespace skerry
