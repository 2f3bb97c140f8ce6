#include "crypto/key.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "crypto/digest.h"
#include "crypto/tests/golden.h"

namespace skerry {
namespace {

TEST(Key, SignatureHoldsForItsBytesAndKeyOnly) {
  const auto key = PrivateKey::Generate().value();
  const auto other = PrivateKey::Generate().value();
  const std::string signature = key.Sign("bytes").value();
  EXPECT_TRUE(key.public_key().Verify("bytes", signature));
  EXPECT_EQ(key.public_key().Verify("Bytes", signature).error().code(),
            ErrorCode::kPermissionDenied);
  EXPECT_FALSE(other.public_key().Verify("bytes", signature));
  EXPECT_FALSE(key.public_key().Verify("bytes", ""));
  EXPECT_FALSE(key.public_key().Verify("bytes", signature + "x"));
}

TEST(Key, EveryFlippedBitOfASignatureIsRefused) {
  const auto key = PrivateKey::Generate().value();
  const std::string signature = key.Sign("bytes").value();
  for (std::size_t bit = 0; bit < signature.size() * 8; ++bit) {
    std::string flipped = signature;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(key.public_key().Verify("bytes", flipped)) << bit;
  }
}

TEST(Key, TextFormsComeBackAsTheSameKey) {
  const auto key = PrivateKey::Generate().value();
  const PublicKey& shown = key.public_key();
  EXPECT_EQ(PublicKey::FromPem(shown.ToPem()).value(), shown);
  EXPECT_EQ(PublicKey::FromDer(shown.ToDer()).value(), shown);
  EXPECT_EQ(shown.key_id(), Digest::Sha256(shown.ToDer()).hex());
  const auto again = PrivateKey::FromPem(key.ToPem().value()).value();
  EXPECT_EQ(again.public_key(), shown);
  EXPECT_TRUE(shown.Verify("bytes", again.Sign("bytes").value()));
}

TEST(Key, OtherKindsOfKeysAndOtherFormsAreRefused) {
  for (const char* name : {"p384.pub.pem", "rsa.pub.pem", "p256-explicit.pub.pem"})
    EXPECT_EQ(PublicKey::FromPem(Golden(name)).error().code(), ErrorCode::kInvalidArgument) << name;
  const auto key = PrivateKey::Generate().value();
  EXPECT_FALSE(PublicKey::FromDer(key.public_key().ToDer() + "x"));
  EXPECT_FALSE(PublicKey::FromPem(key.ToPem().value()));
  EXPECT_FALSE(PrivateKey::FromPem(key.public_key().ToPem()));
  EXPECT_FALSE(PublicKey::FromPem(""));
  EXPECT_EQ(PublicKey::FromPem(std::string(100'000, '-')).error().code(), ErrorCode::kTooLarge);
}

TEST(Key, TruncatedKeyIsRefusedAtEveryLength) {
  const std::string der = PrivateKey::Generate().value().public_key().ToDer();
  for (std::size_t size = 0; size < der.size(); ++size)
    EXPECT_FALSE(PublicKey::FromDer(std::string_view(der).substr(0, size))) << size;
}

TEST(Key, EncryptedPrivateKeyIsAnErrorAndNoPrompt) {
  constexpr std::string_view kEncrypted =
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
      "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgAAAAAAAAAAAICCAAw\n"
      "-----END ENCRYPTED PRIVATE KEY-----\n";
  EXPECT_EQ(PrivateKey::FromPem(kEncrypted).error().code(), ErrorCode::kInvalidArgument);
}

TEST(Key, NoKeyVerifiesNothingAndSignsNothing) {
  EXPECT_FALSE(PublicKey().Verify("bytes", "signature"));
  EXPECT_EQ(PrivateKey().Sign("bytes").error().code(), ErrorCode::kFailedPrecondition);
  EXPECT_FALSE(PrivateKey().ToPem());
  EXPECT_EQ(PublicKey().ToPem(), "");
}

TEST(KeyFile, IsMadeOnceForItsOwnerOnly) {
  const auto directory = TemporaryDirectory::Create("skerry-key").value();
  const auto path = directory.path() / "site.key";
  EXPECT_EQ(PrivateKey::Load(path).error().code(), ErrorCode::kNotFound);
  const auto made = PrivateKey::LoadOrCreate(path).value();
  struct stat facts{};
  ASSERT_EQ(stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0600U);
  EXPECT_EQ(PrivateKey::LoadOrCreate(path).value().public_key(), made.public_key());
  EXPECT_EQ(PrivateKey::Load(path).value().public_key(), made.public_key());
}

TEST(KeyFile, OneThatOthersMayReadIsRefusedWithTheRemedy) {
  const auto directory = TemporaryDirectory::Create("skerry-key").value();
  const auto path = directory.path() / "site.key";
  ASSERT_TRUE(PrivateKey::LoadOrCreate(path));
  for (const mode_t mode : {0640, 0604, 0620, 0610}) {
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
    const auto key = PrivateKey::LoadOrCreate(path);
    ASSERT_FALSE(key);
    EXPECT_EQ(key.error().code(), ErrorCode::kPermissionDenied);
    EXPECT_NE(key.error().message().find("chmod 600 " + path.string()), std::string::npos);
  }
}

TEST(KeyFile, DamagedOneIsNamedAndNotReplaced) {
  const auto directory = TemporaryDirectory::Create("skerry-key").value();
  const auto path = directory.path() / "site.key";
  ASSERT_TRUE(WriteFileDurably(path, "no key", 0600));
  const auto key = PrivateKey::LoadOrCreate(path);
  ASSERT_FALSE(key);
  EXPECT_NE(key.error().message().find(path.string()), std::string::npos);
  EXPECT_EQ(ReadFile(path, 100).value(), "no key");
}

}  // namespace
}  // namespace skerry
