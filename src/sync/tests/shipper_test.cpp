#include "sync/shipper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/limits.h"
#include "base/random.h"
#include "http/client.h"
#include "http/tcp_proxy.h"
#include "sync/shipment_artifact.h"
#include "sync/tests/site_fixture.h"

namespace skerry {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::size_t kChunkBytes = 512;  // several chunks a segment
// What a request of the registry's protocol costs beside the bytes that it carries.
constexpr std::uint64_t kHeaderBytes = 1024;

class ShipperTest : public SiteFixture {
 protected:
  ShipperTest() {
    OpenSite();
    JoinDirectly(hub_);
    proxy_ = TcpProxy::Start(hub_.port()).value();
    Restart();
  }

  // The shipper and its connections as a new process would have them.
  void Restart() {
    client_.reset();
    http_ = std::make_unique<HttpClient>(HttpClientOptions{});
    client_ = std::make_unique<RegistryClient>(fmt::format("http://127.0.0.1:{}", proxy_->port()),
                                               *http_, kChunkBytes);
    shipper_ = std::make_unique<Shipper>(ShipWhich::kRest, Path("site/sync/uploads.json"), *outbox_,
                                         *identity_, clock_);
  }

  Result<ShipReport> Ship(const TransferProgress& progress = {}) {
    ShipReport report;
    RegistryClient* const lanes[] = {client_.get()};
    const Status shipped = shipper_->ShipPending(lanes, progress, report);
    resumed_bytes_ += report.resumed_bytes;
    if (!shipped) return tl::make_unexpected(shipped.error());
    return report;
  }

  std::uint64_t PendingBytes() {
    std::uint64_t bytes = 0;
    const std::vector<Shipment> pending = outbox_->PendingShipments().value();
    for (const Shipment& shipment : pending) {
      bytes += shipment.statement_envelope.size();
      for (const SegmentEntry& segment : shipment.statement.segments) bytes += segment.bytes;
    }
    return bytes;
  }

  TestHub hub_{Path("hub"), TestHub::Transport::kPlain, clock_};
  std::unique_ptr<TcpProxy> proxy_;
  std::unique_ptr<HttpClient> http_;
  std::unique_ptr<RegistryClient> client_;
  std::unique_ptr<Shipper> shipper_;
  std::uint64_t resumed_bytes_ = 0;
};

TEST_F(ShipperTest, WhatIsPendingArrivesAndItsReceiptFreesIt) {
  Capture(1200);
  const auto report = Ship();
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_GE(report->shipped, 1U);
  EXPECT_EQ(hub_.primary_rows(), 1200U);
  EXPECT_EQ(PendingRows(), 0U);
  EXPECT_THAT(outbox_->PendingShipments().value(), IsEmpty());
  EXPECT_EQ(Ship()->shipped, 0U);
}

TEST_F(ShipperTest, CutAnywhereItArrivesExactlyOnceAndAcknowledgedBytesAreNotResent) {
  SeededRandom random(7);
  std::uint64_t captured = 0;
  for (int round = 0; round < 6; ++round) {
    Capture(1500, static_cast<std::uint64_t>(round));
    captured += 1500;
    const std::uint64_t payload = PendingBytes();
    const std::uint64_t before = proxy_->bytes_to_upstream();
    std::uint64_t cuts = 0;
    for (bool whole = false; !whole;) {
      // Each try gets a little further; the last ones are let through.
      proxy_->SetUp();
      if (cuts < 12) proxy_->CutAfterBytes(kHeaderBytes + random.NextBelow(payload / 4));
      Restart();
      whole = Ship().has_value();
      if (!whole) ++cuts;
      ASSERT_LE(cuts, 12U);
    }
    EXPECT_GE(cuts, 3U);
    EXPECT_GE(resumed_bytes_, kChunkBytes) << "the hub had kept what came before the cuts";
    EXPECT_LE(resumed_bytes_, payload * cuts);
    resumed_bytes_ = 0;
    // A cut may cost the chunk in flight and the requests that find out where to go on.
    const std::uint64_t sent = proxy_->bytes_to_upstream() - before;
    const std::uint64_t requests = 16 * (cuts + 1) + payload / kChunkBytes + 16;
    EXPECT_LE(sent, payload + cuts * kChunkBytes + requests * kHeaderBytes);
    EXPECT_EQ(hub_.primary_rows(), captured);
  }
  EXPECT_EQ(hub_.conflicts(), 0U);
  EXPECT_EQ(PendingRows(), 0U);
}

TEST_F(ShipperTest, LostAnswerIsARepeatThatTheHubIgnores) {
  Capture(600);
  hub_.BeforeAnswer([this]() -> Status {
    proxy_->SetDown();
    return {};
  });
  EXPECT_FALSE(Ship());
  EXPECT_GT(hub_.taken_segments(), 0U);
  EXPECT_EQ(PendingRows(), 600U) << "without the receipt nothing is deleted";
  hub_.BeforeAnswer({});
  proxy_->SetUp();
  Restart();
  ASSERT_TRUE(Ship());
  EXPECT_EQ(hub_.primary_rows(), 600U);
  EXPECT_EQ(hub_.conflicts(), 0U);
  EXPECT_EQ(PendingRows(), 0U);
}

TEST_F(ShipperTest, RefusedShipmentDoesNotBlockTheNextAndIsTriedAgainLater) {
  Capture(600, 1);
  const std::uint64_t poison = outbox_->PendingShipments().value().front().statement.number;
  Capture(700, 2);
  hub_.Refuse([poison](const ShipmentStatement& statement) -> Status {
    if (statement.number != poison) return {};
    return Fail(ErrorCode::kInvalidArgument, "no good");
  });
  const auto report = Ship();
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_GE(report->refused, 1U);
  EXPECT_EQ(hub_.primary_rows(), 700U);
  EXPECT_THAT(shipper_->alarms(), testing::Contains(HasSubstr("no good")));

  hub_.Refuse({});
  EXPECT_EQ(Ship()->shipped, 0U) << "not at every round";
  clock_.Advance(std::chrono::microseconds(limits::kRefusedShipmentRetry).count());
  EXPECT_GE(Ship()->shipped, 1U);
  EXPECT_EQ(hub_.primary_rows(), 1300U);
  EXPECT_THAT(shipper_->alarms(), IsEmpty());
}

TEST_F(ShipperTest, ShipmentWhoseCommitKillsTheLinkGoesLast) {
  Capture(600, 1);
  const std::uint64_t poison = outbox_->PendingShipments().value().front().statement.number;
  Capture(700, 2);
  hub_.Refuse([this, poison](const ShipmentStatement& statement) -> Status {
    if (statement.number != poison) return {};
    proxy_->SetDown();
    return Fail(ErrorCode::kInternal, "the hub dies of it");
  });
  for (int i = 0; i < limits::kShipmentCommitAttempts; ++i) {
    proxy_->SetUp();
    EXPECT_FALSE(Ship());
  }
  proxy_->SetUp();
  ASSERT_TRUE(Ship());
  EXPECT_EQ(hub_.primary_rows(), 700U);
}

TEST_F(ShipperTest, DamagedSegmentIsQuarantinedAndTheOthersGoOn) {
  Capture(600, 1);
  Capture(600, 2);
  const Shipment shipment = outbox_->PendingShipments().value().front();
  ASSERT_GE(shipment.segments.size(), 2U);
  const std::filesystem::path victim = shipment.segments[0].second;
  std::string bytes = ReadFile(victim, 1U << 30U).value();
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  std::filesystem::remove(victim);
  std::ofstream(victim, std::ios::binary) << bytes;
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(Ship());
  EXPECT_GT(hub_.primary_rows(), 0U);
  EXPECT_LT(hub_.primary_rows(), 1200U);
  EXPECT_THAT(outbox_->PendingShipments().value(), IsEmpty()) << "its gap was told and accepted";
}

TEST_F(ShipperTest, ProgressMayEndThePassAndItGoesOnLater) {
  Capture(1500);
  int chunks = 0;
  const auto stopped = Ship([&](std::uint64_t, std::uint64_t) -> Status {
    if (++chunks > 3) return Fail(ErrorCode::kUnavailable, "the window closed");
    return {};
  });
  ASSERT_FALSE(stopped);
  EXPECT_THAT(stopped.error().message(), HasSubstr("the window closed"));
  ASSERT_TRUE(Ship());
  EXPECT_EQ(hub_.primary_rows(), 1500U);
}

TEST_F(ShipperTest, SameShipmentByLinkAndByBundleIsTakenOnce) {
  Capture(600);
  const Shipment shipment = outbox_->PendingShipments().value().front();
  ASSERT_TRUE(client_->PushArtifact(ShipmentRepository("north"), shipment.tag,
                                    MakeShipmentArtifact(shipment).value()));
  ASSERT_TRUE(Ship());
  EXPECT_EQ(hub_.primary_rows(), 600U);
  EXPECT_EQ(hub_.conflicts(), 0U);
  EXPECT_EQ(PendingRows(), 0U);
}

}  // namespace
}  // namespace skerry
