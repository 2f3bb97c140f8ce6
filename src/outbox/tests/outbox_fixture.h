// An outbox in a private directory, rows to put into it, and a hub's side that signs receipts.
#pragma once

#include <gtest/gtest.h>

#include <future>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "outbox/outbox.h"
#include "outbox/receipt.h"
#include "policy/tests/milling_rows.h"
#include "storage/file.h"

namespace skerry {

class OutboxTest : public ::testing::Test {
 protected:
  void SetUp() override { Reopen(); }

  OutboxOptions OptionsAt(const std::filesystem::path& directory) {
    OutboxOptions options = options_;
    options.directory = directory;
    options.site = "north";
    options.key = key_;
    options.clock = &clock_;
    options.metrics = &metrics_;
    return options;
  }
  std::unique_ptr<Outbox> OpenAt(const std::filesystem::path& directory) {
    auto outbox = Outbox::Open(OptionsAt(directory));
    EXPECT_TRUE(outbox) << outbox.error().ToString();
    return outbox ? std::move(*outbox) : nullptr;
  }
  void Reopen() {
    outbox_.reset();
    outbox_ = OpenAt(directory_.path());
    ASSERT_NE(outbox_, nullptr);
  }

  std::shared_ptr<const CompiledPolicy> Policy(const std::string& yaml) {
    const auto document = PolicyDocument::Parse(yaml);
    EXPECT_TRUE(document) << document.error().ToString();
    const auto policy =
        CompiledPolicy::Compile(*document, package_->schema, testing_rows::TestHmacKey());
    EXPECT_TRUE(policy) << policy.error().ToString();
    return *policy;
  }
  // Everything in class sample, nothing else.
  std::shared_ptr<const CompiledPolicy> SampleAll() {
    return Policy(
        "skerry: policy/1\nname: all\nversion: 1\nfields: {torque_nm: keep}\n"
        "classes: {sample: {rate: 1}}\n");
  }

  std::shared_ptr<RowBatch> Rows(std::size_t rows) {
    auto batch = testing_rows::MillingRows(package_, rows, next_n_, seed_++, instance_);
    next_n_ += rows;
    return batch;
  }
  Status Put(std::shared_ptr<const RowBatch> batch,
             const std::shared_ptr<const CompiledPolicy>& policy) {
    // Shared with the outbox's thread, which may still be in set_value when this one goes on.
    const auto done = std::make_shared<std::promise<Status>>();
    outbox_->Submit(std::move(batch), policy,
                    [done](const Status& status) { done->set_value(status); });
    return done->get_future().get();
  }

  std::vector<Shipment> Pending() {
    auto shipments = outbox_->PendingShipments();
    EXPECT_TRUE(shipments) << shipments.error().ToString();
    return shipments ? std::move(*shipments) : std::vector<Shipment>();
  }
  OutboxFacts Facts() {
    auto facts = outbox_->facts();
    EXPECT_TRUE(facts) << facts.error().ToString();
    return facts ? std::move(*facts) : OutboxFacts();
  }
  RowFate Fate(std::uint64_t n) {
    const auto fate = outbox_->LookupRow({instance_, n});
    EXPECT_TRUE(fate) << fate.error().ToString();
    EXPECT_TRUE(*fate) << "row " << n << " has no fate";
    return fate->value_or(RowFate());
  }
  void ExpectSound() {
    const auto findings = outbox_->Verify();
    ASSERT_TRUE(findings) << findings.error().ToString();
    for (const std::string& finding : *findings) ADD_FAILURE() << finding;
  }

  // The hub takes what the shipment offers, and the gaps that its statement tells of.
  void HubTakes(const Shipment& shipment) {
    EXPECT_EQ(HubStores(shipment), shipment.segments.size());
  }
  // The same, but for files that are not what the statement says; how many were.
  std::size_t HubStores(const Shipment& shipment) {
    std::size_t whole = 0;
    for (const auto& [digest, path] : shipment.segments) {
      const auto found = DigestOfFile(path);
      if (!found || *found != digest) continue;
      ++whole;
      for (const SegmentEntry& entry : shipment.statement.segments)
        if (entry.digest == digest)
          hub_[{entry.epoch, entry.cls}].received.Add(entry.first_seq, entry.last_seq);
    }
    for (const GapEntry& gap : shipment.statement.gaps)
      hub_[{gap.epoch, gap.cls}].accepted_gaps.Add(gap.first_seq, gap.last_seq);
    return whole;
  }
  std::string HubReceipt() {
    Receipt receipt{incarnation_, ++receipt_counter_, "north", {}, clock_.UtcMicros(), restores_};
    for (auto& [stream, told] : hub_) {
      told.epoch = stream.first;
      told.cls = stream.second;
      receipt.streams.push_back(told);
    }
    return *SignReceipt(receipt, hub_key_);
  }
  // The hub is put back from a back-up that was made when it held that.
  void RestoreHub(const std::map<std::pair<InstanceId, RecordClass>, StreamReceipt>& then) {
    hub_ = then;
    incarnation_ = "restored";
    ++restores_;
    receipt_counter_ = 0;
  }
  ReceiptOutcome Apply(const std::string& envelope) {
    const std::vector<PublicKey> keys = {hub_key_.public_key()};
    const auto outcome = outbox_->ApplyReceipt(envelope, keys);
    EXPECT_TRUE(outcome) << outcome.error().ToString();
    return outcome.value_or(ReceiptOutcome());
  }

  std::size_t SegmentFiles() {
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path() / "segments"))
      files += entry.is_regular_file();
    return files;
  }

  TemporaryDirectory directory_ = *TemporaryDirectory::Create("outbox");
  FakeClock clock_{1'790'000'000'000'000};
  MetricRegistry metrics_;
  PrivateKey key_ = *PrivateKey::Generate();
  PrivateKey hub_key_ = *PrivateKey::Generate();
  OutboxOptions options_;
  std::shared_ptr<ModelPackage> package_ = testing_rows::MillingPackage();
  InstanceId instance_ = InstanceId::Random();
  std::uint64_t next_n_ = 1;
  std::uint64_t seed_ = 1;
  std::map<std::pair<InstanceId, RecordClass>, StreamReceipt> hub_;
  std::string incarnation_ = "first";
  std::uint64_t receipt_counter_ = 0;
  std::uint64_t restores_ = 0;
  std::unique_ptr<Outbox> outbox_;
};

}  // namespace skerry
