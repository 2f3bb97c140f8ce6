// Puts the release of skerry that the desired state names into the slot that is free, and asks the
// launcher to try it (launcher/slots.h, docs/formats/release.md).
//
// Role: beside the Deployer, which calls it after the packages, over the link and from media alike.
// It never starts anything itself: when a release is unpacked and checked, `on_staged` is called,
// this process ends as it does by SIGTERM, and the launcher starts the other one. What came of a
// trial is read of the launcher's state. Gates, in this order, each with its reason for the status:
//   1 signature, and that the manifest is what the desired state names
//   2 version    not below the highest that was well here, unless the desired state says so
//   3 size, files and names, as the manifest declares them
//   4 platform, and data formats: it reads what is here, and what it will write is read by what
//     runs now, so that there is a way back
//   5 its program, started as `skerry version --json`, says of itself what the config says of it
// 1 to 4 need the manifest and its config alone.
// Files of `<data>/releases` beside the launcher's: floor.json, refused.json, `.incoming-*` (being
// unpacked; removed at the next Open). Owned by the site; borrowed: nothing. Thread-safe: bytes are
// fetched without the lock.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "launcher/slots.h"
#include "oci/release.h"
#include "sync/artifact_source.h"
#include "sync/deploy_outcome.h"
#include "sync/package_store.h"
#include "trust/desired_state.h"

namespace skerry {

// Where what runs stands with the launcher.
enum class ReleaseStanding : std::uint8_t {
  kUnmanaged,  // no launcher: the machine's package manager, a container, a shell
  kInstalled,  // under the launcher, as the operator has installed it
  kSlot,       // from a slot, for good
  kTrial,      // from a slot, on trial
};
std::string_view ReleaseStandingName(ReleaseStanding standing);  // "unmanaged", "installed", ...

struct RunningRelease {
  ReleaseFacts facts;
  std::optional<Digest> digest;  // of its manifest; of one in a slot alone
  ReleaseStanding standing = ReleaseStanding::kUnmanaged;
};

struct ReleaseInstallerOptions {
  std::filesystem::path data;
  std::filesystem::path program;  // that runs; release.json beside it, where there is one
  ReleaseFacts own;               // as compiled; version: that of the build
  std::string slot;               // $SKERRY_SLOT; empty: there is no launcher
  std::function<void()> on_staged;
};

// What a program says of itself (`skerry version --json`); the reason in its own words when it
// cannot be started here. `scratch`: a directory for what it says.
Result<ReleaseFacts> AskRelease(const std::filesystem::path& program,
                                const std::filesystem::path& scratch);
// `own` with the version of the set of files that `program` stands in.
ReleaseFacts WithSetOf(ReleaseFacts own, const std::filesystem::path& program);

class ReleaseInstaller {
 public:
  static Result<std::unique_ptr<ReleaseInstaller>> Open(ReleaseInstallerOptions options);

  // None when the desired state names no release.
  std::optional<DeployOutcome> Reconcile(const DesiredState& desired, ArtifactSource& source);
  RunningRelease running() const;
  // What waits, was refused or was given back, in sentences.
  std::vector<std::string> Alarms(const std::optional<DesiredState>& desired) const;

 private:
  struct Refusal {
    Digest digest;
    std::uint64_t since = 0;  // of the desired state's asking
    std::string reason;
    bool for_good = false;  // by check 5: kept on the disk, and not fetched again
    std::chrono::steady_clock::time_point again{};  // else not before, over a link
  };
  struct Fetched {
    Manifest manifest;
    std::string manifest_bytes;
    std::map<Digest, std::filesystem::path> blobs;
  };

  explicit ReleaseInstaller(ReleaseInstallerOptions options);
  Result<DeployResult> Obtain(const ReleaseRef& ref, const DesiredState& desired,
                              ArtifactSource& source);
  // Whether there is nothing to fetch, or why nothing may be.
  Result<std::optional<DeployResult>> Settled(const ReleaseRef& ref, bool costly) const;
  Status CheckFloor(const ReleaseRef& ref) const;
  Status CheckFacts(const ReleaseFacts& facts, const ReleaseRef& ref) const;
  Status CheckRoom(const Manifest& manifest) const;
  Result<Fetched> Fetch(const ReleaseRef& ref, const DesiredState& desired, ArtifactSource& source);
  Status Stage(const ReleaseRef& ref, const Fetched& fetched);
  Status CheckProgram(const std::filesystem::path& directory, const ReleaseFacts& facts) const;
  std::vector<HeldFile> HeldFiles() const;
  void HoldSlot(Slot slot, std::vector<HeldFile>& held) const;
  void HoldInstalled(std::vector<HeldFile>& held) const;
  LauncherState ReadState() const;
  Status RaiseFloor(const RunningRelease& running);
  void LoadFloor();
  void LoadRefusal();
  // Wants mutex_.
  void Refuse(Refusal refusal);
  bool IsRefused(const ReleaseRef& ref) const;

  const ReleaseInstallerOptions options_;
  const std::filesystem::path releases_;
  const std::optional<Slot> slot_;  // none: no launcher
  mutable std::mutex mutex_;        // guards what follows, and the free slot
  bool staged_ = false;
  std::optional<ReleaseRef> floor_;
  std::optional<Refusal> refused_;
};

}  // namespace skerry
