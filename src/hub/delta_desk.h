// Patches between packages, made once and kept in the hub's registry: the repository `deltas`, an
// artifact (oci/delta_artifact.h) for each pair of packages that a site was to go between.
//
// Role: says for a package, and the packages that a site holds, by which patches the site can make
// its layers; a layer that no patch makes smaller, or that is too large, is not among them. What a
// site asks for over the link is made by one thread of this desk, one pair at a time, and the asker
// comes again; a bundle's export makes what it needs itself, in turn. Kept durably; Sweep takes
// away what is of packages that are gone, and the oldest of too many.
// Owned by Hub, which stops it before the registry goes. Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/metrics.h"
#include "crypto/digest.h"
#include "oci/artifact.h"
#include "oci/delta_artifact.h"
#include "oci/registry.h"

namespace skerry {

class DeltaDesk {
 public:
  DeltaDesk(Registry& registry, const Clock& clock, MetricRegistry& metrics);
  DeltaDesk(const DeltaDesk&) = delete;
  DeltaDesk& operator=(const DeltaDesk&) = delete;
  ~DeltaDesk();

  void Start();
  // Ends what is being made, at its next layer.
  void Stop();

  // The delta's manifest for `target`, by the first of the packages `holds` that this hub has; none
  // while it is being made. kNotFound for a package that is not here, kResourceExhausted when
  // limits::kDeltaQueue others wait, kUnavailable when it could not be made.
  Result<std::optional<std::string>> Find(const Digest& target, std::span<const Digest> holds);
  // The same, made now where it is not there.
  Result<Artifact> Make(const Digest& target, std::span<const Digest> holds);

  // Removes deltas of packages that are not here any more, and the oldest over limits::kDeltasKept
  // and kDeltasKeptBytes; their content goes with the registry's next collection. How many.
  Result<std::uint64_t> Sweep();

 private:
  struct Pair {
    Digest target;
    std::optional<Digest> base;
    bool operator==(const Pair&) const = default;
  };
  void Run();
  // A package's manifest; kNotFound, kInvalidArgument for anything else.
  Result<Manifest> PackageOf(const Digest& digest) const;
  Pair PairOf(const Digest& target, std::span<const Digest> holds) const;
  // kNotFound.
  Result<std::string> Kept(const Pair& pair) const;
  std::optional<MadePatch> PatchOf(const Descriptor& layer, const Descriptor* from);
  Status MakeOne(const Pair& pair);

  Registry* const registry_;
  const Clock* const clock_;
  Counter& made_;
  Counter& made_layer_bytes_;
  Counter& made_patch_bytes_;
  Counter& turned_away_;
  Histogram& seconds_;

  std::mutex making_;  // one pair at a time
  std::mutex mutex_;   // guards what follows
  std::condition_variable changed_;
  std::deque<Pair> queue_;    // the first is being made
  std::vector<Pair> failed_;  // until the next Sweep; at most kDeltaQueue
  bool stopping_ = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace skerry
