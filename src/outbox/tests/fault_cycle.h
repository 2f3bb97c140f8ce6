// What the fault tests put an outbox through: capture, seal, upload, receipts, restarts, a hub that
// loses what it held, shedding.
// Run by a child process under storage/tests/faultfs/shim.c, which records what it does to its
// files or makes one call fail, and judged from what it marked.
#pragma once

#include <dlfcn.h>
#include <unistd.h>

#include <optional>

#include "outbox/tests/outbox_fixture.h"

namespace skerry {

class FaultCycle : public OutboxTest {
 public:
  // The child's whole life; the status says what did not hold: 0, or one of these.
  enum End { kWell = 0, kNeverOpens = 11, kNeverCaptures, kNeverSeals, kNotSound };

  [[noreturn]] void RunAt(const std::filesystem::path& directory,
                          const std::filesystem::path& keys) {
    directory_at_ = directory;
    key_ = *PrivateKey::Load(keys / "site.pem");
    hub_key_ = *PrivateKey::Load(keys / "hub.pem");
    mark_ = reinterpret_cast<void (*)(const char*, std::size_t)>(
        dlsym(RTLD_DEFAULT, "skerry_shim_mark"));
    options_.segment_age = std::chrono::hours(1);
    options_.segment_rows = 60;
    options_.grace_bytes = 1U << 20U;
    const auto policy = Policy(testing_rows::MillingYaml());
    CaptureAndShip(policy);
    const auto backup = hub_;
    Restart();
    ShipHalf(policy);
    RestoreHub(backup);
    Ship(1);
    options_.quota_bytes = 150'000;
    Restart();
    Shed();
    options_.quota_bytes = std::uint64_t{1} << 30U;
    Restart();
    End();
  }

  void SetUp() override {}
  void TestBody() override {}

 private:
  void Mark(const std::string& text) {
    if (mark_ != nullptr) mark_(text.data(), text.size());
  }
  // One call fails at most, so that a second attempt has to succeed.
  template <typename Try>
  void Insist(End otherwise, const Try& attempt) {
    for (int i = 0; i < 3; ++i)
      if (attempt()) return;
    _exit(otherwise);
  }
  void Restart() {
    outbox_.reset();
    instance_ = InstanceId::Random();
    next_n_ = 1;
    Insist(kNeverOpens, [&] { return TryOpen(); });
  }
  bool TryOpen() {
    auto outbox = Outbox::Open(OptionsAt(directory_at_));
    if (!outbox) {
      std::fprintf(stderr, "open: %s\n", outbox.error().ToString().c_str());
      return false;
    }
    outbox_ = std::move(*outbox);
    return true;
  }
  bool Capture(std::size_t rows, const std::shared_ptr<const CompiledPolicy>& policy) {
    const auto batch = Rows(rows);
    const Status durable = Put(batch, policy);
    if (!durable) {
      std::fprintf(stderr, "capture: %s\n", durable.error().ToString().c_str());
      return false;
    }
    Mark(fmt::format("acked {} {} {}", batch->instance.ToString(), batch->first_n, batch->rows));
    return true;
  }
  // As a hub: what is whole is stored, and a receipt follows.
  void Ship(std::size_t most) {
    const auto shipments = outbox_->PendingShipments();
    if (!shipments) return;
    for (std::size_t i = 0; i < std::min(most, shipments->size()); ++i) HubStores((*shipments)[i]);
    const std::string receipt = HubReceipt();
    Mark("receipt " + receipt);
    const std::vector<PublicKey> keys = {hub_key_.public_key()};
    for (int twice = 0; twice < 2; ++twice)
      if (const auto outcome = outbox_->ApplyReceipt(receipt, keys); !outcome)
        std::fprintf(stderr, "receipt: %s\n", outcome.error().ToString().c_str());
  }
  void CaptureAndShip(const std::shared_ptr<const CompiledPolicy>& policy) {
    Insist(kNeverOpens, [&] { return TryOpen(); });
    for (int i = 0; i < 5; ++i) Capture(30, policy);
    (void)outbox_->SealNow();
    Capture(30, policy);
    Ship(100);
    Capture(10, policy);
    (void)outbox_->ReadStatus();
  }
  void ShipHalf(const std::shared_ptr<const CompiledPolicy>& policy) {
    for (int i = 0; i < 3; ++i) Capture(60, policy);
    (void)outbox_->SealNow();
    Ship(1);
  }
  void Shed() {
    const auto all = SampleAll();
    for (int i = 0; i < 6; ++i) Capture(300, all);
    (void)outbox_->SealNow();
    for (int i = 0; i < 4; ++i) Capture(300, all);
    Ship(2);
    Ship(100);
  }
  // The fault is over: everything works again, in this same process.
  [[noreturn]] void End() {
    const auto all = SampleAll();
    Insist(kNeverCaptures, [&] { return Capture(5, all); });
    Insist(kNeverSeals, [&] { return outbox_->SealNow().has_value(); });
    bool sound = false;
    for (int i = 0; i < 2 && !sound; ++i) {
      const auto findings = outbox_->Verify();
      sound = findings && findings->empty();
      if (findings)
        for (const std::string& finding : *findings)
          std::fprintf(stderr, "verify: %s\n", finding.c_str());
    }
    Ship(100);
    outbox_.reset();
    _exit(sound ? kWell : kNotSound);
  }

  std::filesystem::path directory_at_;
  void (*mark_)(const char*, std::size_t) = nullptr;
};

}  // namespace skerry
