#include "hub/delta_desk.h"

#include <pthread.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "base/delta_limits.h"
#include "base/limits.h"
#include "base/log.h"
#include "codec/patch.h"
#include "oci/delta_artifact.h"
#include "oci/media_types.h"

namespace skerry {
namespace {

constexpr std::size_t kTagHexDigits = 40;  // of each digest: a tag has 128 characters at most

std::string TagOf(const Digest& target, const std::optional<Digest>& base) {
  return fmt::format("{}-{}", target.hex().substr(0, kTagHexDigits),
                     base ? base->hex().substr(0, kTagHexDigits) : "none");
}

std::uint64_t LayerBytesOf(const Manifest& manifest) {
  std::uint64_t bytes = 0;
  for (const Descriptor& layer : manifest.layers) bytes += layer.size;
  return bytes;
}

}  // namespace

DeltaDesk::DeltaDesk(Registry& registry, const Clock& clock, MetricRegistry& metrics)
    : registry_(&registry),
      clock_(&clock),
      made_(metrics.AddCounter("skerry_deltas_made_total",
                               "Pairs of packages that patches were made for.")),
      made_layer_bytes_(metrics.AddCounter("skerry_deltas_layer_bytes_total",
                                           "Layers that can be sent as these patches.")),
      made_patch_bytes_(metrics.AddCounter("skerry_deltas_patch_bytes_total", "These patches.")),
      turned_away_(metrics.AddCounter(
          "skerry_deltas_turned_away_total",
          "Sites that got whole layers since too many patches waited to be made.")),
      seconds_(metrics.AddHistogram("skerry_deltas_seconds", "Making the patches of a pair.",
                                    LatencySecondsBounds())) {}

DeltaDesk::~DeltaDesk() { Stop(); }

void DeltaDesk::Start() {
  thread_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), "deltas");
    Run();
  });
}

void DeltaDesk::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void DeltaDesk::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const Pair pair = queue_.front();
    lock.unlock();
    Status made;
    {
      const std::lock_guard turn(making_);
      if (!Kept(pair)) made = MakeOne(pair);
    }
    if (!made) LogWarning("no delta for {}: {}", pair.target.ToString(), made.error().message());
    lock.lock();
    queue_.pop_front();
    if (!made && failed_.size() < limits::kDeltaQueue) failed_.push_back(pair);
  }
}

Result<Manifest> DeltaDesk::PackageOf(const Digest& digest) const {
  SKERRY_ASSIGN_OR_RETURN(const std::string bytes,
                          registry_->blobs().Read(digest, limits::kManifestBytes));
  SKERRY_ASSIGN_OR_RETURN(Manifest manifest, Manifest::Parse(bytes));
  if (manifest.EffectiveArtifactType() == media_types::kModelArtifact) return manifest;
  return Fail(ErrorCode::kInvalidArgument, "{} is no model package", digest.ToString());
}

DeltaDesk::Pair DeltaDesk::PairOf(const Digest& target, std::span<const Digest> holds) const {
  if (std::ranges::find(holds, target) != holds.end()) return {target, target};
  const auto base =
      std::ranges::find_if(holds, [&](const Digest& held) { return PackageOf(held).has_value(); });
  if (base == holds.end()) return {target, std::nullopt};
  return {target, *base};
}

Result<std::string> DeltaDesk::Kept(const Pair& pair) const {
  const std::string tag = TagOf(pair.target, pair.base);
  SKERRY_ASSIGN_OR_RETURN(std::string bytes, registry_->ManifestBytes(kDeltaRepository, tag));
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(bytes));
  SKERRY_ASSIGN_OR_RETURN(const Digest target, TargetOf(manifest));
  if (target == pair.target) return bytes;
  return Fail(ErrorCode::kNotFound, "the delta {} is of another package", tag);
}

Result<std::optional<std::string>> DeltaDesk::Find(const Digest& target,
                                                   std::span<const Digest> holds) {
  SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const Manifest known, PackageOf(target));
  const Pair pair = PairOf(target, holds);
  if (auto kept = Kept(pair)) return std::optional(std::move(*kept));
  const std::lock_guard lock(mutex_);
  if (std::ranges::find(failed_, pair) != failed_.end())
    return Fail(ErrorCode::kUnavailable, "no delta could be made: take whole layers");
  if (std::ranges::find(queue_, pair) != queue_.end()) return std::optional<std::string>();
  if (queue_.size() >= limits::kDeltaQueue) {
    turned_away_.Add();
    return Fail(ErrorCode::kResourceExhausted,
                "{} deltas wait to be made (kDeltaQueue): take whole layers", queue_.size());
  }
  queue_.push_back(pair);
  changed_.notify_all();
  return std::optional<std::string>();
}

Result<Artifact> DeltaDesk::Make(const Digest& target, std::span<const Digest> holds) {
  const Pair pair = PairOf(target, holds);
  {
    const std::lock_guard turn(making_);
    if (!Kept(pair)) SKERRY_RETURN_IF_ERROR(MakeOne(pair));
  }
  SKERRY_ASSIGN_OR_RETURN(const std::string manifest, Kept(pair));
  return registry_->GetArtifact(kDeltaRepository, Digest::Sha256(manifest).ToString());
}

// A layer that cannot be read is told of where it is pulled whole; none is made of it.
std::optional<MadePatch> DeltaDesk::PatchOf(const Descriptor& layer, const Descriptor* from) {
  MadePatch made{.layer = layer.digest, .base = {}, .bytes = {}};
  std::string base;
  if (from != nullptr && from->size <= limits::kDeltaLayerBytes) {
    auto read = registry_->blobs().Read(from->digest, limits::kDeltaLayerBytes);
    if (read) made.base = from->digest;
    if (read) base = std::move(*read);
  }
  const auto target = registry_->blobs().Read(layer.digest, limits::kDeltaLayerBytes);
  if (!target) return std::nullopt;
  auto patch = MakePatch(base, *target);
  if (!patch || patch->size() + limits::kDeltaLeastGainBytes > target->size()) return std::nullopt;
  made_layer_bytes_.Add(target->size());
  made_patch_bytes_.Add(patch->size());
  made.bytes = std::move(*patch);
  return made;
}

// Requires making_.
Status DeltaDesk::MakeOne(const Pair& pair) {
  const std::int64_t began_us = clock_->MonotonicMicros();
  SKERRY_ASSIGN_OR_RETURN(const Manifest target, PackageOf(pair.target));
  Manifest base;
  if (pair.base) {
    SKERRY_ASSIGN_OR_RETURN(base, PackageOf(*pair.base));
  }
  std::set<Digest> settled;  // held, or done
  for (const Descriptor& layer : base.layers) settled.insert(layer.digest);
  std::vector<MadePatch> patches;
  for (const Descriptor& layer : target.layers) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return Fail(ErrorCode::kUnavailable, "the hub is stopping");
    }
    if (layer.size > limits::kDeltaLayerBytes || !settled.insert(layer.digest).second) continue;
    if (auto made = PatchOf(layer, BaseLayerOf(base, layer))) patches.push_back(std::move(*made));
  }
  SKERRY_ASSIGN_OR_RETURN(
      const Artifact delta,
      MakeDelta(pair.target, pair.base, std::move(patches), FormatUtc(clock_->UtcMicros())));
  SKERRY_RETURN_IF_ERROR(
      registry_->PutArtifact(kDeltaRepository, TagOf(pair.target, pair.base), delta));
  made_.Add();
  seconds_.Observe(static_cast<double>(clock_->MonotonicMicros() - began_us) / 1e6);
  return {};
}

Result<std::uint64_t> DeltaDesk::Sweep() {
  struct Aged {
    std::string created;
    Digest digest;
    std::uint64_t bytes = 0;
  };
  {
    const std::lock_guard lock(mutex_);
    failed_.clear();
  }
  const auto tags = registry_->Tags(kDeltaRepository);
  if (!tags) {
    if (tags.error().code() == ErrorCode::kNotFound) return std::uint64_t{0};
    return tl::make_unexpected(tags.error());
  }
  std::uint64_t removed = 0;
  std::vector<Aged> kept;
  for (const std::string& tag : *tags) {
    SKERRY_ASSIGN_OR_RETURN(const Digest digest, registry_->Resolve(kDeltaRepository, tag));
    const auto bytes = registry_->ManifestBytes(kDeltaRepository, tag);
    const auto manifest =
        bytes ? Manifest::Parse(*bytes) : Result<Manifest>(tl::make_unexpected(bytes.error()));
    const auto here = [&](std::string_view key) {
      const auto named = manifest->annotations.find(std::string(key));
      if (named == manifest->annotations.end()) return key == annotations::kDeltaBase;
      const auto package = Digest::Parse(named->second);
      return package && registry_->blobs().Has(*package);
    };
    if (manifest && here(annotations::kDeltaTarget) && here(annotations::kDeltaBase)) {
      const auto created = manifest->annotations.find(std::string(annotations::kCreated));
      kept.push_back({created == manifest->annotations.end() ? "" : created->second, digest,
                      LayerBytesOf(*manifest)});
      continue;
    }
    SKERRY_RETURN_IF_ERROR(registry_->DeleteManifest(kDeltaRepository, digest));
    ++removed;
  }
  std::ranges::sort(kept, std::ranges::greater(), &Aged::created);  // the newest first
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    bytes += kept[i].bytes;
    if (i < limits::kDeltasKept && bytes <= limits::kDeltasKeptBytes) continue;
    SKERRY_RETURN_IF_ERROR(registry_->DeleteManifest(kDeltaRepository, kept[i].digest));
    ++removed;
  }
  return removed;
}

}  // namespace skerry
