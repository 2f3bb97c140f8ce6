// Makes what the desired state names be what this site runs.
//
// Role: between trust (what may run) and the site (what runs). Asks a source for what is missing,
// sends packages through the gate, keeps them on disk, and hands them to the target; sets aside
// what is refused, with the reason as an alarm. Link and media share it: whoever comes first wins,
// the other finds it done.
// Owned by the site; borrowed: identity, target, clock. Thread-safe: bytes are fetched without the
// lock, so a bundle never waits for a slow link.
//
// Order of a change: policy first, then the active package, then the fallback (so that it is at
// hand), then the release of skerry (release_installer.h). When the active one cannot be had or is
// refused, the site stays on what it runs; only when it runs nothing does it take the fallback
// (invariant 5).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/metrics.h"
#include "sync/artifact_source.h"
#include "sync/deploy_outcome.h"
#include "sync/layer_fetcher.h"
#include "sync/package_store.h"
#include "sync/release_installer.h"
#include "trust/identity.h"
#include "trust/package_gate.h"

namespace skerry {

// Implemented by the site. Called with the deployer's lock held; must not call the deployer.
class DeploymentTarget {
 public:
  virtual ~DeploymentTarget() = default;
  // Load and swap. An error leaves what runs as it is and sets the package aside.
  virtual Status UseModel(const AdmittedPackage& package) = 0;
  // `policy` none: nothing but counts may leave. An error leaves the policy in force as it is.
  virtual Status UsePolicy(const std::optional<PolicyRef>& policy, std::string_view yaml) = 0;
  // Whether the policy in force lets the hub know which packages are here. From any thread.
  virtual bool MayTellPackages() const = 0;
};

// For people and the status.
struct DeploymentFacts {
  std::optional<ModelRef> running;
  std::optional<PolicyRef> policy;
  std::vector<std::string> alarms;
  std::vector<Digest> packages;  // held whole, what runs first; at most limits::kDeltaHolds
  LayerTraffic layers;           // since the start
};

struct DeployerOptions {
  std::filesystem::path data;
  PackageGateOptions gate;
  MetricRegistry* metrics = nullptr;     // borrowed; null: nothing is counted there
  ReleaseInstaller* releases = nullptr;  // borrowed; null: releases are not followed
};

class Deployer {
 public:
  static Result<std::unique_ptr<Deployer>> Open(DeployerOptions options, SiteIdentity& identity,
                                                DeploymentTarget& target, const Clock& clock);

  // At start, from the disk alone: the policy and package that the desired state names, else those
  // that were in use last, else the fallback. Never fails: what cannot be used is an alarm.
  void Restore();
  // What is missing, from `source`. One outcome for each thing that the desired state names; none
  // without a desired state.
  std::vector<DeployOutcome> Reconcile(ArtifactSource& source);
  // Reads everything that is held, at the caller's pace and without the lock. What is damaged is an
  // alarm, no base of patches, and fetched anew by the next Reconcile; until then it stays where it
  // is. Says how many packages were found damaged that were not known to be.
  std::size_t CheckHeld(const ReadPace& pace);
  // The policy that the desired state names, tried again from the disk: what refused it may think
  // otherwise now. kNotFound when it is not here.
  Status RetryPolicy();
  DeploymentFacts facts() const;

 private:
  struct Attempt {  // refused before its bytes were fetched; a signature may still come
    std::uint64_t desired_version;
    std::int64_t retry_mono_us;
    std::string reason;
  };

  Deployer(DeployerOptions options, PackageStore store, SiteIdentity& identity,
           DeploymentTarget& target, const Clock& clock);

  std::vector<DeployOutcome> ReconcilePackages(const DesiredState& desired, ArtifactSource& source);
  std::optional<DeployOutcome> ReconcilePolicy(const DesiredState& desired, ArtifactSource& source);
  Status FetchPolicy(const PolicyRef& ref, ArtifactSource& source);
  DeployOutcome Obtain(const ModelRef& ref, const DesiredState& desired, ArtifactSource& source);
  // What it says of the bytes that came, or "".
  Result<std::string> Fetch(const ModelRef& ref, const DesiredState& desired,
                            ArtifactSource& source);
  Result<std::map<Digest, std::filesystem::path>> FetchBlobs(const std::string& repository,
                                                             const Manifest& manifest,
                                                             LayerFetcher& fetcher);
  DeployOutcome Activate(const ModelRef& ref, const DesiredState& desired, DeployResult obtained);

  // These want mutex_ held.
  LayerFetcher MakeFetcher(ArtifactSource& source);
  void NoteTraffic(const LayerFetcher& fetcher);
  std::vector<Digest> HeldPackages() const;
  bool IsHeldWhole(const ModelRef& ref) const;
  std::string NameOf(const Digest& package) const;
  Status CheckAndKeep(const ModelRef& ref, std::uint64_t desired_version,
                      const std::string& manifest,
                      const std::map<Digest, std::filesystem::path>& blobs);
  Status Use(const ModelRef& ref, std::uint64_t desired_version);
  Status UseHeldPolicy(const std::optional<PolicyRef>& ref);
  void RestorePolicy(const std::optional<DesiredState>& desired);
  void LoadInUse();
  Status SaveInUse() const;
  void CleanUp(const DesiredState& desired);
  // Turns a status into an outcome, and sets or clears its alarm.
  DeployOutcome Note(const Digest& digest, std::string what, const Status& status,
                     DeployResult when_good);
  void Publish();

  const DeployerOptions options_;
  SiteIdentity* identity_;
  DeploymentTarget* target_;
  const Clock* clock_;
  PackageGate gate_;

  std::mutex mutex_;  // one step of a deployment at a time (seconds); guards what follows
  PackageStore store_;
  std::optional<ModelRef> running_;
  std::optional<PolicyRef> policy_;
  std::optional<ModelRef> last_model_;  // in use before this process
  std::optional<PolicyRef> last_policy_;
  std::map<Digest, Attempt> attempts_;
  std::map<std::string, std::string> alarms_;  // what -> reason
  std::set<Digest> refused_patches_;
  std::set<Digest> damaged_;  // no base and not held, until they are kept anew
  LayerTraffic layers_;
  struct LayerCounters {
    Counter *whole, *patch, *patched, *held, *refused;
  };
  std::optional<LayerCounters> counters_;

  mutable std::mutex facts_mutex_;  // never held for long; guards facts_
  DeploymentFacts facts_;
};

}  // namespace skerry
