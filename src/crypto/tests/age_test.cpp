#include "crypto/age.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "crypto/tests/golden.h"
#include "storage/file.h"

namespace skerry {
namespace {

// Both were made by age-keygen 1.1.1, and the golden files by age.
constexpr std::string_view kGoldenSecret =
    "AGE-SECRET-KEY-1ACYN4NM67WPK7ZSQQJE9T9EY7LPUV3HLJ9UDS6Z7JXMUREM6QE7S9Q3WZM";
constexpr std::string_view kGoldenReceiver =
    "age1ee95wgfhsqekwj399de9kjzrfl84qxmrlljj3vzmxzxm3tlke4rsldcjrq";

// The plain text of a file of one chunk.
Result<std::string> OpenWhole(std::string_view sealed, const AgeIdentity& identity) {
  SKERRY_ASSIGN_OR_RETURN(const AgeHead head, OpenAge(sealed, identity));
  return head.chunks.Open(0, true, sealed.substr(head.bytes.size()));
}

TEST(Age, KeysAreThoseOfTheTool) {
  const AgeIdentity identity = AgeIdentity::Parse(kGoldenSecret).value();
  EXPECT_EQ(identity.ToString(), kGoldenSecret);
  EXPECT_EQ(identity.recipient().ToString(), kGoldenReceiver);
  EXPECT_EQ(AgeRecipient::Parse(kGoldenReceiver).value(), identity.recipient());
}

TEST(Age, FilesOfTheToolAreRead) {
  const AgeIdentity identity = AgeIdentity::Parse(kGoldenSecret).value();
  for (const auto* name : {"age_one_receiver.age", "age_two_receivers.age"})
    EXPECT_EQ(OpenWhole(Golden(name), identity).value(), "made by age 1.1.1, read by skerry\n")
        << name;
}

TEST(Age, AnotherReceiverIsRefusedAndSaid) {
  const auto opened = OpenAge(Golden("age_two_receivers.age"), AgeIdentity::Generate());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), ErrorCode::kPermissionDenied);
  EXPECT_NE(opened.error().message().find("another receiver"), std::string::npos);
}

TEST(Age, EveryFlippedByteIsFoundAndEveryCutToo) {
  const AgeIdentity identity = AgeIdentity::Parse(kGoldenSecret).value();
  const std::string whole = Golden("age_two_receivers.age");
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string flipped = whole;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x20);
    EXPECT_FALSE(OpenWhole(flipped, identity)) << "byte " << i;
    EXPECT_FALSE(OpenWhole(std::string_view(whole).substr(0, i), identity)) << "cut at " << i;
  }
}

TEST(Age, ChunksAreOpenedInAnyOrderAndOnlyUnderTheirNumber) {
  const AgeIdentity identity = AgeIdentity::Generate();
  const AgeHead made = BeginAge(identity.recipient()).value();
  const std::string first(kAgeChunkBytes, 'a');
  const std::string one = made.chunks.Seal(0, false, first);
  const std::string two = made.chunks.Seal(1, true, "b");
  EXPECT_EQ(one.size(), kAgeChunkBytes + kAgeTagBytes);
  const AgeHead read = OpenAge(made.bytes + one + two, identity).value();
  EXPECT_EQ(read.bytes, made.bytes);
  EXPECT_EQ(read.chunks.Open(1, true, two).value(), "b");
  EXPECT_EQ(read.chunks.Open(0, false, one).value(), first);
  EXPECT_FALSE(read.chunks.Open(0, true, one)) << "it is not the last";
  EXPECT_FALSE(read.chunks.Open(1, false, two)) << "it is the last";
  EXPECT_FALSE(read.chunks.Open(1, false, one)) << "it has another number";
}

TEST(Age, AReceiverOfLowOrderIsRefused) {
  const auto zero =
      AgeRecipient::Parse("age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z");
  ASSERT_TRUE(zero);
  EXPECT_EQ(BeginAge(*zero).error().code(), ErrorCode::kInvalidArgument);
}

TEST(Age, TextsThatAreNoKeysAreRefusedAndSecretsNotRepeated) {
  std::string typo(kGoldenReceiver);
  typo[20] = typo[20] == 'q' ? 'p' : 'q';
  for (const std::string& text :
       {std::string(), std::string("age1"), typo, std::string(kGoldenSecret), std::string(62, 'a')})
    EXPECT_FALSE(AgeRecipient::Parse(text)) << text;
  std::string secret(kGoldenSecret);
  secret[30] = secret[30] == 'Q' ? 'P' : 'Q';
  const auto refused = AgeIdentity::Parse(secret);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message().find(secret.substr(20)), std::string::npos);
}

TEST(Age, AnIdentityIsMadeOnceAndKeptForItsOwner) {
  const TemporaryDirectory directory = TemporaryDirectory::Create("skerry-age").value();
  const auto path = directory.path() / "bundle.key";
  const AgeIdentity made = AgeIdentity::LoadOrCreate(path).value();
  EXPECT_EQ(AgeIdentity::LoadOrCreate(path).value().recipient(), made.recipient());
  EXPECT_EQ(std::filesystem::status(path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  std::filesystem::permissions(path, std::filesystem::perms::group_read,
                               std::filesystem::perm_options::add);
  EXPECT_EQ(AgeIdentity::Load(path).error().code(), ErrorCode::kPermissionDenied);
}

}  // namespace
}  // namespace skerry
