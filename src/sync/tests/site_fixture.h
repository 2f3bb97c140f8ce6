// One site's parts without its server: identity, outbox, deployer, and a package to score with.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "model/package.h"
#include "outbox/outbox.h"
#include "storage/file.h"
#include "sync/deployer.h"
#include "sync/exchange.h"
#include "sync/site_bundle.h"
#include "sync/tests/test_hub.h"
#include "trust/identity.h"

namespace skerry {

// Remembers what it was given; loads packages for real.
class RecordingTarget final : public DeploymentTarget {
 public:
  Status UseModel(const AdmittedPackage& package) override;
  Status UsePolicy(const std::optional<PolicyRef>& policy, std::string_view yaml) override;
  bool MayTellPackages() const override { return may_tell; }

  std::vector<ModelRef> models;
  std::vector<std::optional<PolicyRef>> policies;
  std::string refuse_model;  // the reason, when not empty
  std::string refuse_policy;
  bool may_tell = true;
};

class SiteFixture : public testing::Test {
 protected:
  SiteFixture();

  // Everything of the site anew on the same data directory, as after a restart.
  void OpenSite(const std::string& name = "north");
  void CloseSite();
  // By the hub's grant, without a link.
  void JoinDirectly(TestHub& hub);
  // Scores and commits rows whose features come from `seed`, then seals.
  void Capture(std::size_t rows, std::uint64_t seed = 1);
  // The same, as anomalies.
  void CaptureAnomalies(std::size_t rows, std::uint64_t seed = 1);
  Result<std::string> MakeStatus();
  SiteBundleParts BundleParts();
  // With metrics of its own for each exchange.
  ExchangeParts PartsOfExchange();
  std::filesystem::path Path(const std::string& name) const { return directory_.path() / name; }
  // A package directory of the fixture model; `split` makes its content differ.
  std::filesystem::path MakePackage(const std::string& name, float split = 60);
  std::uint64_t PendingRows();

  FakeClock clock_{1'750'000'000'000'000};
  TemporaryDirectory directory_;
  MetricRegistry metrics_;
  std::unique_ptr<SiteIdentity> identity_;
  std::unique_ptr<Outbox> outbox_;
  RecordingTarget target_;
  std::unique_ptr<Deployer> deployer_;
  std::deque<MetricRegistry> exchange_metrics_;
  BundleProgress bundle_progress_;
  std::unique_ptr<CustodyList> custody_ =
      Must(CustodyList::Open(directory_.path() / "custody.jsonl"));
  std::shared_ptr<const ModelPackage> package_;
  std::shared_ptr<const CompiledPolicy> policy_, anomaly_policy_;
  std::uint64_t next_n_ = 1;
  std::uint64_t grace_bytes_ = 0;  // of the outbox, from the next OpenSite on

 private:
  void CaptureBy(const std::shared_ptr<const CompiledPolicy>& policy, std::size_t rows,
                 std::uint64_t seed);
};

// A policy that lets every field of the fixture's model leave, as samples.
std::string OpenPolicyYaml(const std::string& version = "1");

}  // namespace skerry
