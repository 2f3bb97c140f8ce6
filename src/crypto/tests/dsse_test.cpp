#include "crypto/dsse.h"

#include <gtest/gtest.h>

#include "base/limits.h"
#include "crypto/tests/golden.h"

namespace skerry {
namespace {

constexpr std::string_view kType = "application/vnd.skerry.receipt.v1+json";
constexpr std::size_t kMaxBytes = 1U << 20U;

std::string FlipBit(std::string bytes, std::size_t bit) {
  bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
  return bytes;
}

class GoldenDsse : public testing::Test {
 protected:
  Result<std::string> Verify(const DsseEnvelope& changed) const {
    return VerifyDsse(changed.ToJson(), kType, {&key_, 1}, kMaxBytes);
  }

  std::string json_ = Golden("dsse-v1.json");
  PublicKey key_ = PublicKey::FromPem(Golden("dsse-v1.pub.pem")).value();
  DsseEnvelope envelope_ = DsseEnvelope::FromJson(json_, kMaxBytes).value();
};

TEST_F(GoldenDsse, EnvelopeSignedByAnotherToolVerifies) {
  const auto payload = VerifyDsse(json_, kType, {&key_, 1}, kMaxBytes);
  ASSERT_TRUE(payload) << payload.error().ToString();
  EXPECT_EQ(*payload, "{\"counter\":7,\"site\":\"north\",\"note\":\"gr\u00fc\u00dfe \u2713\"}");
  EXPECT_EQ(envelope_.signatures.at(0).key_id, key_.key_id());
  EXPECT_EQ(envelope_.ToJson() + "\n", json_);
}

TEST_F(GoldenDsse, EveryFlippedBitOfThePayloadIsRefused) {
  for (std::size_t bit = 0; bit < envelope_.payload.size() * 8; ++bit) {
    DsseEnvelope changed = envelope_;
    changed.payload = FlipBit(changed.payload, bit);
    EXPECT_EQ(Verify(changed).error().code(), ErrorCode::kPermissionDenied) << bit;
  }
}

TEST_F(GoldenDsse, EveryFlippedBitOfTheSignatureIsRefused) {
  for (std::size_t bit = 0; bit < envelope_.signatures[0].signature.size() * 8; ++bit) {
    DsseEnvelope changed = envelope_;
    changed.signatures[0].signature = FlipBit(changed.signatures[0].signature, bit);
    EXPECT_EQ(Verify(changed).error().code(), ErrorCode::kPermissionDenied) << bit;
  }
}

TEST_F(GoldenDsse, ChangedTypeIsRefusedEvenWhenTheReaderWantsIt) {
  for (std::size_t bit = 0; bit < envelope_.payload_type.size() * 8; ++bit) {
    DsseEnvelope changed = envelope_;
    changed.payload_type = FlipBit(changed.payload_type, bit);
    EXPECT_FALSE(Verify(changed)) << bit;
  }
  DsseEnvelope other = envelope_;
  other.payload_type = "application/vnd.skerry.status.v1+json";
  EXPECT_EQ(Verify(other).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(VerifyDsse(other.ToJson(), other.payload_type, {&key_, 1}, kMaxBytes).error().code(),
            ErrorCode::kPermissionDenied);
}

TEST_F(GoldenDsse, NoFlippedBitOfTheTextGivesAnotherPayload) {
  for (std::size_t bit = 0; bit < json_.size() * 8; ++bit) {
    const auto payload = VerifyDsse(FlipBit(json_, bit), kType, {&key_, 1}, kMaxBytes);
    EXPECT_EQ(payload.value_or(envelope_.payload), envelope_.payload) << bit;
  }
}

TEST_F(GoldenDsse, TruncatedTextIsRefusedAtEveryLength) {
  for (std::size_t size = 0; size + 1 < json_.size(); ++size)
    EXPECT_EQ(VerifyDsse(json_.substr(0, size), kType, {&key_, 1}, kMaxBytes).error().code(),
              ErrorCode::kInvalidArgument)
        << size;
}

TEST_F(GoldenDsse, UnknownKeyIsRefusedNamingWhatSignedAndWhatIsTrusted) {
  const auto other = PrivateKey::Generate().value();
  const auto status = VerifyDsse(json_, kType, {&other.public_key(), 1}, kMaxBytes);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), ErrorCode::kPermissionDenied);
  const std::string& message = status.error().message();
  EXPECT_NE(message.find(key_.key_id().substr(0, 12)), std::string::npos) << message;
  EXPECT_NE(message.find(other.public_key().key_id().substr(0, 12)), std::string::npos) << message;
  EXPECT_FALSE(VerifyDsse(json_, kType, {}, kMaxBytes));
}

TEST_F(GoldenDsse, KeyIdIsAHintThatMayBeAbsentButNotWrong) {
  DsseEnvelope changed = envelope_;
  changed.signatures[0].key_id.clear();
  EXPECT_TRUE(Verify(changed));
  changed.signatures[0].key_id = "someone";
  EXPECT_FALSE(Verify(changed));
}

TEST(Dsse, PreAuthEncodingIsThatOfTheStandard) {
  // protocol.md, "Test Vectors".
  EXPECT_EQ(DssePreAuthEncoding("http://example.com/HelloWorld", "hello world"),
            "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
}

TEST(Dsse, OneGoodSignatureAmongOthersIsEnough) {
  const auto key = PrivateKey::Generate().value();
  auto envelope = SignDsse(kType, "payload", PrivateKey::Generate().value()).value();
  envelope.signatures.push_back(SignDsse(kType, "payload", key).value().signatures[0]);
  const PublicKey keys[] = {PrivateKey::Generate().value().public_key(), key.public_key()};
  EXPECT_EQ(VerifyDsse(envelope.ToJson(), kType, keys, kMaxBytes).value(), "payload");
}

TEST(Dsse, EmptyAndBinaryPayloadsAreCarriedAsTheyAre) {
  const auto key = PrivateKey::Generate().value();
  for (const std::string& payload : {std::string(), std::string("\0\xff\n", 3)}) {
    const std::string json = SignDsse(kType, payload, key).value().ToJson();
    EXPECT_EQ(VerifyDsse(json, kType, {&key.public_key(), 1}, kMaxBytes).value(), payload);
  }
}

TEST(Dsse, TooLargeOrTooManySignaturesIsRefusedByName) {
  const auto key = PrivateKey::Generate().value();
  auto envelope = SignDsse(kType, std::string(1'000, 'x'), key).value();
  EXPECT_EQ(DsseEnvelope::FromJson(envelope.ToJson(), 1'000).error().code(), ErrorCode::kTooLarge);
  envelope.signatures.resize(limits::kDsseSignatures + 1, envelope.signatures[0]);
  EXPECT_EQ(DsseEnvelope::FromJson(envelope.ToJson(), kMaxBytes).error().code(),
            ErrorCode::kTooLarge);
}

TEST(Dsse, WhatIsNoEnvelopeIsAnInvalidArgument) {
  for (const char* bad : {"", "[]", "{}", R"({"payload":"","payloadType":"t"})",
                          R"({"payload":1,"payloadType":"t","signatures":[]})",
                          R"({"payload":"?","payloadType":"t","signatures":[]})",
                          R"({"payload":"","payloadType":"t","signatures":[1]})",
                          R"({"payload":"","payloadType":"t","signatures":[{"keyid":"k"}]})"})
    EXPECT_EQ(DsseEnvelope::FromJson(bad, kMaxBytes).error().code(), ErrorCode::kInvalidArgument)
        << bad;
  EXPECT_TRUE(
      DsseEnvelope::FromJson(R"({"payload":"","payloadType":"t","signatures":[],"x":1})", 100));
}

}  // namespace
}  // namespace skerry
