// The three signed documents: their golden files, and that no flipped bit gets through.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "outbox/receipt.h"
#include "outbox/site_status.h"
#include "outbox/statement.h"
#include "storage/file.h"

namespace skerry {
namespace {

using ::testing::HasSubstr;

const std::filesystem::path kGolden = OUTBOX_GOLDEN;

PrivateKey TestKey() { return *PrivateKey::FromPem(*ReadFile(kGolden / "test_key.pem", 4096)); }
InstanceId Epoch() { return *InstanceId::Parse("00112233445566778899aabbccddeeff"); }

ShipmentStatement TestStatement() {
  ShipmentStatement statement;
  statement.site = "north";
  statement.epoch = Epoch();
  statement.number = 7;
  statement.previous = Digest::Sha256("the envelope before");
  statement.segments = {
      {RecordClass::kAnomaly, Epoch(), 1, 3, 3, 3, 2210, Digest::Sha256("one")},
      {RecordClass::kSample, Epoch(), 101, 300, 200, 187, 9876, Digest::Sha256("two")}};
  statement.gaps = {{RecordClass::kInsight, Epoch(), 1, 50, 50, 44, std::string(kGapQuota)}};
  statement.anchors = {{Epoch(), 5'000'000, 1'790'000'000'000'000, ClockQuality::kSynced}};
  statement.counters = {1000, 12, 480, 44, 0, 3};
  statement.policy = Digest::Sha256("policy");
  statement.models = {Digest::Sha256("model")};
  statement.sealed_at_us = 1'790'000'000'123'456;
  return statement;
}

Receipt TestReceipt() {
  Receipt receipt{"3f6c0a", 42, "north", {}, 1'790'000'100'000'000};
  StreamReceipt stream{Epoch(), RecordClass::kSample, {}, {}};
  stream.received.Add(1, 100);
  stream.received.Add(301, 400);
  stream.accepted_gaps.Add(101, 300);
  receipt.streams.push_back(stream);
  return receipt;
}

SiteStatus TestStatus() {
  SiteStatus status;
  status.site = "north";
  status.instance = Epoch();
  status.counter = 9;
  status.utc_us = 1'790'000'200'000'000;
  status.clock = ClockQuality::kHoldover;
  status.counters = {1000, 12, 480, 44, 0, 3};
  status.pending = {{Epoch(), RecordClass::kAnomaly, 4, 6, 2}};
  status.unsealed_primary_rows = 17;
  status.active_model = "milling:1";
  status.active_digest = Digest::Sha256("model");
  status.desired_version = 3;
  status.alarms = {"clock not synchronised"};
  status.backlog_bytes = 12'345;
  return status;
}

// The golden files are written anew with SKERRY_WRITE_GOLDEN=1, for a format that changed on
// purpose.
void CheckGolden(const std::string& name, const std::string& payload, const std::string& envelope) {
  if (std::getenv("SKERRY_WRITE_GOLDEN") != nullptr) {
    ASSERT_TRUE(WriteFileDurably(kGolden / (name + ".json"), payload + "\n"));
    ASSERT_TRUE(WriteFileDurably(kGolden / (name + ".dsse.json"), envelope + "\n"));
  }
  EXPECT_EQ(*ReadFile(kGolden / (name + ".json"), 1 << 20), payload + "\n");
}

// Every bit of every byte, one at a time: refused, or (white space, the unsigned key id hint, case
// that base64 does not have) read as exactly the same document.
template <typename Document, typename Verify>
void CheckFlippedBits(const std::string& envelope, const Document& expected, Verify verify) {
  std::size_t refused = 0;
  for (std::size_t at = 0; at < envelope.size(); ++at) {
    std::string damaged = envelope;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at % 8)));
    const auto read = verify(damaged);
    if (read)
      EXPECT_EQ(*read, expected) << "byte " << at;
    else
      ++refused;
  }
  EXPECT_GT(refused, envelope.size() * 9 / 10);
}

std::vector<PublicKey> Keys() { return {TestKey().public_key()}; }
std::vector<PublicKey> OtherKeys() { return {PrivateKey::Generate()->public_key()}; }

TEST(Statement, GoldenFile) {
  CheckGolden("statement", TestStatement().ToJson(), *SignStatement(TestStatement(), TestKey()));
  const std::string envelope = *ReadFile(kGolden / "statement.dsse.json", 1 << 20);
  const auto read = VerifyStatement(envelope, Keys());
  ASSERT_TRUE(read) << read.error().ToString();
  EXPECT_EQ(*read, TestStatement());
  EXPECT_EQ(VerifyStatement(envelope, OtherKeys()).error().code(), ErrorCode::kPermissionDenied);
}

TEST(Statement, NoFlippedBitGetsThrough) {
  CheckFlippedBits(*SignStatement(TestStatement(), TestKey()), TestStatement(),
                   [](const std::string& text) { return VerifyStatement(text, Keys()); });
}

TEST(Statement, RefusesWhatContradictsItself) {
  const auto refused = [](auto change) {
    ShipmentStatement statement = TestStatement();
    change(statement);
    const auto read = ShipmentStatement::FromJson(statement.ToJson());
    return read ? std::string("accepted") : read.error().message();
  };
  EXPECT_THAT(refused([](auto& s) { s.segments[0].rows = 4; }), HasSubstr("segments[0]: 4 rows"));
  EXPECT_THAT(refused([](auto& s) { s.segments[0].primary_rows = 9; }), HasSubstr("primary"));
  EXPECT_THAT(refused([](auto& s) { s.segments[1].first_seq = 0; }), HasSubstr("no range"));
  EXPECT_THAT(refused([](auto& s) { s.gaps[0].reason = "mood"; }), HasSubstr("gaps[0].reason"));
  EXPECT_THAT(refused([](auto& s) { s.number = 0; }), HasSubstr("count from 1"));
  EXPECT_THAT(refused([](auto& s) { s.site = "../etc"; }), HasSubstr("site"));
  EXPECT_THAT(
      refused([](auto& s) { s.segments.assign(limits::kSegmentsPerShipment + 1, s.segments[0]); }),
      HasSubstr("limit"));

  Json document = *ParseJson(TestStatement().ToJson());
  document["subject"][0]["digest"]["sha256"] = std::string(64, '0');
  EXPECT_THAT(ShipmentStatement::FromJson(DumpJson(document)).error().message(),
              HasSubstr("subjects"));
  document["predicateType"] = "https://skerry.dev/shipment/v2";
  EXPECT_EQ(ShipmentStatement::FromJson(DumpJson(document)).error().code(),
            ErrorCode::kUnimplemented);
}

TEST(Statement, IgnoresMembersItDoesNotKnow) {
  Json document = *ParseJson(TestStatement().ToJson());
  document["predicate"]["later"] = {{"a", 1}};
  EXPECT_EQ(*ShipmentStatement::FromJson(DumpJson(document)), TestStatement());
}

TEST(Receipt, GoldenFile) {
  CheckGolden("receipt", TestReceipt().ToJson(), *SignReceipt(TestReceipt(), TestKey()));
  const std::string envelope = *ReadFile(kGolden / "receipt.dsse.json", 1 << 20);
  const auto read = VerifyReceipt(envelope, Keys());
  ASSERT_TRUE(read) << read.error().ToString();
  EXPECT_EQ(*read, TestReceipt());
  EXPECT_EQ(VerifyReceipt(envelope, OtherKeys()).error().code(), ErrorCode::kPermissionDenied);
}

TEST(Receipt, NoFlippedBitGetsThrough) {
  CheckFlippedBits(*SignReceipt(TestReceipt(), TestKey()), TestReceipt(),
                   [](const std::string& text) { return VerifyReceipt(text, Keys()); });
}

TEST(Receipt, AnotherDocumentOfTheSameKeyIsNoReceipt) {
  const std::string statement = *SignStatement(TestStatement(), TestKey());
  EXPECT_EQ(VerifyReceipt(statement, Keys()).error().code(), ErrorCode::kInvalidArgument);
}

TEST(Receipt, RefusesAnotherFormatVersion) {
  Json document = *ParseJson(TestReceipt().ToJson());
  document["format"] = "skerry-receipt/2";
  EXPECT_EQ(Receipt::FromJson(DumpJson(document)).error().code(), ErrorCode::kUnimplemented);
}

TEST(Status, GoldenFile) {
  CheckGolden("status", TestStatus().ToJson(), *SignStatus(TestStatus(), TestKey()));
  const std::string envelope = *ReadFile(kGolden / "status.dsse.json", 1 << 20);
  const auto read = VerifyStatus(envelope, Keys());
  ASSERT_TRUE(read) << read.error().ToString();
  EXPECT_EQ(*read, TestStatus());
}

TEST(Status, CarriesACertificateRequestWhenThereIsOne) {
  SiteStatus status = TestStatus();
  EXPECT_EQ(status.ToJson().find("certificate_request"), std::string::npos);
  status.certificate_request = "-----BEGIN CERTIFICATE REQUEST-----";
  EXPECT_EQ(SiteStatus::FromJson(status.ToJson()).value(), status);
}

TEST(Status, NoFlippedBitGetsThrough) {
  CheckFlippedBits(*SignStatus(TestStatus(), TestKey()), TestStatus(),
                   [](const std::string& text) { return VerifyStatus(text, Keys()); });
}

}  // namespace
}  // namespace skerry
