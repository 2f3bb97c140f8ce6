#include "crypto/digest.h"

#include <gtest/gtest.h>

#include <unordered_set>

#include "codec/text.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr std::string_view kAbc =
    "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";  // FIPS 180-4

TEST(Digest, MatchesThePublishedValuesWholeAndInPieces) {
  EXPECT_EQ(Digest::Sha256("abc").ToString(), kAbc);
  DigestHasher hasher;
  hasher.Update("a");
  DigestHasher moved = std::move(hasher);
  moved.Update("bc");
  EXPECT_EQ(moved.Finish(), Digest::Sha256("abc"));
  DigestHasher longer("sha512");
  longer.Update("abc");
  EXPECT_EQ(longer.Finish().hex().substr(0, 16), "ddaf35a193617aba");
}

TEST(Digest, TextFormIsParsedStrictly) {
  const auto digest = Digest::Parse(kAbc);
  ASSERT_TRUE(digest);
  EXPECT_EQ(digest->algorithm(), "sha256");
  EXPECT_EQ(digest->hex(), kAbc.substr(7));
  EXPECT_TRUE(Digest::Parse("sha512:" + std::string(128, 'a')));
  const std::string upper = "sha256:BA" + std::string(kAbc.substr(9));
  for (const std::string& bad :
       {std::string(), std::string("sha256"), std::string("sha256:"), std::string(kAbc.substr(7)),
        std::string(kAbc) + "0", upper, "md5:" + std::string(32, 'a'), " " + std::string(kAbc),
        "sha256:../" + std::string(61, 'a'), "sha512:" + std::string(64, 'a')})
    EXPECT_EQ(Digest::Parse(bad).error().code(), ErrorCode::kInvalidArgument) << bad;
}

TEST(Digest, EmptyMeansNoneAndValuesOrderAndHash) {
  const Digest none;
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.algorithm(), "");
  EXPECT_EQ(none.hex(), "");
  EXPECT_LT(none, Digest::Sha256("abc"));
  const std::unordered_set<Digest> set{Digest::Sha256("abc"), Digest::Sha256("abc"), none};
  EXPECT_EQ(set.size(), 2U);
}

TEST(Digest, OfAFileIsThatOfItsBytes) {
  const auto directory = TemporaryDirectory::Create("skerry-digest").value();
  const std::string bytes(1'000'000, 'q');
  ASSERT_TRUE(WriteFileDurably(directory.path() / "f", bytes));
  EXPECT_EQ(DigestOfFile(directory.path() / "f").value(), Digest::Sha256(bytes));
  EXPECT_EQ(DigestOfFile(directory.path() / "g").error().code(), ErrorCode::kNotFound);
  EXPECT_FALSE(DigestOfFile(directory.path()));
}

TEST(HmacSha256, MatchesRfc4231AndTakesAnEmptyKey) {
  EXPECT_EQ(EncodeHex(HmacSha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(EncodeHex(HmacSha256("", "")),
            "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(ConstantTimeEqual, ComparesContentAndSize) {
  EXPECT_TRUE(ConstantTimeEqual("secret", "secret"));
  EXPECT_TRUE(ConstantTimeEqual("", ""));
  EXPECT_FALSE(ConstantTimeEqual("secret", "secreT"));
  EXPECT_FALSE(ConstantTimeEqual("secret", "secret2"));
}

}  // namespace
}  // namespace skerry
