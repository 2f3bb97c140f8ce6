#include "oci/cosign.h"

#include <gtest/gtest.h>

#include "codec/json.h"
#include "codec/text.h"
#include "crypto/dsse.h"
#include "oci/media_types.h"

namespace skerry {
namespace {

class CosignTest : public testing::Test {
 protected:
  std::string Bundle() const {
    return ReadDocument(MakeCosignBundle(subject_.manifest, key_).value(),
                        media_types::kSigstoreBundle, 1U << 20U)
        .value();
  }
  Status Verify(const std::string& bundle, const PublicKey& key) const {
    return VerifyCosignBundle(bundle, subject_.manifest.digest, std::span(&key, 1));
  }
  std::string BundleOver(const Json& statement) const {
    Json bundle = ParseJson(Bundle()).value();
    bundle["dsseEnvelope"] =
        ParseJson(SignDsse(media_types::kInTotoStatement, DumpJson(statement), key_)->ToJson())
            .value();
    return DumpJson(bundle);
  }

  PrivateKey key_ = PrivateKey::Generate().value();
  Artifact subject_ = MakeDocumentArtifact("application/vnd.example", "text/plain", "x").value();
};

TEST_F(CosignTest, SignatureHolds) {
  const Status verified = Verify(Bundle(), key_.public_key());
  EXPECT_TRUE(verified) << verified.error().ToString();
}

TEST_F(CosignTest, IsAReferrerInTheFormOfCosign) {
  const Artifact artifact = MakeCosignBundle(subject_.manifest, key_).value();
  const Manifest manifest = Manifest::Parse(artifact.manifest_bytes).value();
  EXPECT_EQ(manifest.artifact_type, "application/vnd.dev.sigstore.bundle.v0.3+json");
  EXPECT_EQ(manifest.layers[0].media_type, manifest.artifact_type);
  EXPECT_EQ(manifest.subject->digest, subject_.manifest.digest);
  const Json bundle = ParseJson(Bundle()).value();
  EXPECT_EQ(bundle["verificationMaterial"]["publicKey"]["hint"],
            EncodeBase64(DecodeHex(key_.public_key().key_id()).value()));
  const Json statement =
      ParseJson(DecodeBase64(bundle["dsseEnvelope"]["payload"].get<std::string>()).value()).value();
  EXPECT_EQ(statement["predicateType"], "https://sigstore.dev/cosign/sign/v1");
  EXPECT_EQ(statement["subject"][0]["digest"]["sha256"], subject_.manifest.digest.hex());
}

TEST_F(CosignTest, AnAttestationIsNoSignatureAndSpeaksOfItsSubjectAlone) {
  const Artifact artifact =
      MakeAttestation(subject_.manifest, "https://example.org/told", {{"a", 1}}, key_).value();
  const std::string bundle =
      ReadDocument(artifact, media_types::kSigstoreBundle, 1U << 20U).value();
  const PublicKey key = key_.public_key();
  EXPECT_EQ(Verify(bundle, key).error().code(), ErrorCode::kPermissionDenied);
  EXPECT_EQ(PredicateTypeOf(bundle).value(), "https://example.org/told");
  EXPECT_EQ(PredicateTypeOf(Bundle()).value(), kCosignSignature);
  const Digest& subject = subject_.manifest.digest;
  EXPECT_EQ(
      VerifyAttestation(bundle, subject, "https://example.org/told", std::span(&key, 1))->at("a"),
      1);
  EXPECT_FALSE(VerifyAttestation(bundle, subject, kCosignSignature, std::span(&key, 1)));
  EXPECT_FALSE(VerifyAttestation(bundle, Digest::Sha256("other"), "https://example.org/told",
                                 std::span(&key, 1)));
  const PublicKey stranger = PrivateKey::Generate()->public_key();
  EXPECT_FALSE(
      VerifyAttestation(bundle, subject, "https://example.org/told", std::span(&stranger, 1)));
  // Told apart without being opened.
  EXPECT_FALSE(MayBeSignature(artifact.manifest));
  EXPECT_TRUE(MayBeSignature(MakeCosignBundle(subject_.manifest, key_)->manifest));
}

TEST_F(CosignTest, TheLegacyFormHoldsForItsSubjectAndKeyAlone) {
  Artifact image = MakeLegacySignature(subject_.manifest, "models/x", key_).value();
  const Digest& subject = subject_.manifest.digest;
  EXPECT_EQ(LegacySignatureTag(subject), "sha256-" + std::string(subject.hex()) + ".sig");
  const PublicKey key = key_.public_key();
  const PublicKey stranger = PrivateKey::Generate()->public_key();
  EXPECT_TRUE(VerifyLegacySignature(image, subject, std::span(&key, 1)));
  EXPECT_EQ(VerifyLegacySignature(image, subject, std::span(&stranger, 1)).error().code(),
            ErrorCode::kPermissionDenied);
  EXPECT_EQ(
      VerifyLegacySignature(image, Digest::Sha256("other"), std::span(&key, 1)).error().code(),
      ErrorCode::kPermissionDenied);
  std::get<std::string>(image.blobs.back().content)[10] ^= 1;
  EXPECT_EQ(VerifyLegacySignature(image, subject, std::span(&key, 1)).error().code(),
            ErrorCode::kDataLoss);
}

TEST_F(CosignTest, WrongKeyIsRefused) {
  const Status verified = Verify(Bundle(), PrivateKey::Generate()->public_key());
  ASSERT_FALSE(verified);
  EXPECT_EQ(verified.error().code(), ErrorCode::kPermissionDenied);
  EXPECT_EQ(VerifyCosignBundle(Bundle(), subject_.manifest.digest, {}).error().code(),
            ErrorCode::kPermissionDenied);
}

TEST_F(CosignTest, SignatureOfAnotherDigestIsRefusedAndNamesIt) {
  const PublicKey key = key_.public_key();
  const Status verified = VerifyCosignBundle(Bundle(), Digest::Sha256("other"), std::span(&key, 1));
  ASSERT_FALSE(verified);
  EXPECT_EQ(verified.error().code(), ErrorCode::kPermissionDenied);
  EXPECT_NE(verified.error().message().find(subject_.manifest.digest.hex()), std::string::npos);
}

TEST_F(CosignTest, StrippedSignatureIsRefused) {
  Json bundle = ParseJson(Bundle()).value();
  bundle["dsseEnvelope"]["signatures"] = Json::array();
  EXPECT_FALSE(Verify(DumpJson(bundle), key_.public_key()));
  bundle.erase("dsseEnvelope");
  EXPECT_EQ(Verify(DumpJson(bundle), key_.public_key()).error().code(),
            ErrorCode::kInvalidArgument);
}

TEST_F(CosignTest, EveryFlippedBitOfTheStatementIsRefused) {
  const Json bundle = ParseJson(Bundle()).value();
  const std::string payload =
      DecodeBase64(bundle["dsseEnvelope"]["payload"].get<std::string>()).value();
  for (std::size_t i = 0; i < payload.size(); ++i) {
    std::string flipped = payload;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    Json altered = bundle;
    altered["dsseEnvelope"]["payload"] = EncodeBase64(flipped);
    const Status verified = Verify(DumpJson(altered), key_.public_key());
    ASSERT_FALSE(verified) << i;
    EXPECT_EQ(verified.error().code(), ErrorCode::kPermissionDenied);
  }
}

TEST_F(CosignTest, OtherStatementsByTheSameKeyAreNoSignature) {
  Json statement = {
      {"_type", "https://in-toto.io/Statement/v1"},
      {"subject",
       Json::array({{{"name", ""}, {"digest", {{"sha256", subject_.manifest.digest.hex()}}}}})},
      {"predicateType", "https://cyclonedx.org/bom"},
      {"predicate", Json::object()}};
  EXPECT_EQ(Verify(BundleOver(statement), key_.public_key()).error().code(),
            ErrorCode::kPermissionDenied);
  statement["predicateType"] = "https://sigstore.dev/cosign/sign/v1";
  EXPECT_TRUE(Verify(BundleOver(statement), key_.public_key()));
  statement["subject"] = Json::array();
  EXPECT_EQ(Verify(BundleOver(statement), key_.public_key()).error().code(),
            ErrorCode::kPermissionDenied);
}

}  // namespace
}  // namespace skerry
