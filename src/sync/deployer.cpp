#include "sync/deployer.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "base/delta_limits.h"
#include "base/limits.h"
#include "base/log.h"
#include "codec/json.h"
#include "oci/manifest.h"
#include "storage/file.h"

namespace skerry {
namespace {

std::string WhatOf(const ModelRef& ref) { return "model " + ref.ToString(); }
std::string WhatOf(const PolicyRef& ref) { return "policy " + ref.ToString(); }
std::string RepositoryOf(const ModelRef& ref) { return "models/" + ref.name; }
std::string RepositoryOf(const PolicyRef& ref) { return "policies/" + ref.name; }

template <typename Ref>
Json RefToJson(const Ref& ref) {
  return Json{{"name", ref.name}, {"version", ref.version}, {"digest", ref.digest.ToString()}};
}

template <typename Ref>
std::optional<Ref> RefFromJson(const Json& json, const char* member) {
  if (!json.is_object() || !json.contains(member)) return std::nullopt;
  const JsonObject object(json.at(member), member);
  const auto name = object.String("name");
  const auto version = object.String("version");
  const auto digest_text = object.String("digest");
  if (!name || !version || !digest_text) return std::nullopt;
  const auto digest = Digest::Parse(*digest_text);
  if (!digest) return std::nullopt;
  return Ref{*name, *version, *digest};
}

}  // namespace

Deployer::Deployer(DeployerOptions options, PackageStore store, SiteIdentity& identity,
                   DeploymentTarget& target, const Clock& clock)
    : options_(std::move(options)),
      identity_(&identity),
      target_(&target),
      clock_(&clock),
      gate_(identity, options_.gate),
      store_(std::move(store)) {
  if (options_.metrics == nullptr) return;
  const auto counter = [&](std::string_view name, std::string_view help) {
    return &options_.metrics->AddCounter(name, help);
  };
  counters_ = LayerCounters{
      counter("skerry_deploy_whole_bytes_total", "Layers of packages that were fetched whole"),
      counter("skerry_deploy_patch_bytes_total", "Patches that were fetched instead of layers"),
      counter("skerry_deploy_patched_bytes_total", "Layers that were made by these patches"),
      counter("skerry_deploy_held_bytes_total", "Layers that were here, so that nothing came"),
      counter("skerry_deploy_refused_patches_total",
              "Patches that were of no use, so that the layer was fetched whole")};
}

Result<std::unique_ptr<Deployer>> Deployer::Open(DeployerOptions options, SiteIdentity& identity,
                                                 DeploymentTarget& target, const Clock& clock) {
  SKERRY_ASSIGN_OR_RETURN(PackageStore store, PackageStore::Open(options.data));
  return std::unique_ptr<Deployer>(
      new Deployer(std::move(options), std::move(store), identity, target, clock));
}

void Deployer::Restore() {
  const std::lock_guard lock(mutex_);
  LoadInUse();
  const std::optional<DesiredState> desired = identity_->desired();
  RestorePolicy(desired);
  std::vector<ModelRef> candidates;
  if (desired) candidates.push_back(desired->active);
  if (last_model_) candidates.push_back(*last_model_);
  if (desired && desired->fallback) candidates.push_back(*desired->fallback);
  for (const ModelRef& candidate : candidates) {
    const Status used = Use(candidate, desired ? desired->version : 0);
    if (used) break;
    if (used.error().code() != ErrorCode::kNotFound)
      Note(candidate.digest, WhatOf(candidate), used, DeployResult::kHeld);
  }
  Publish();
}

void Deployer::RestorePolicy(const std::optional<DesiredState>& desired) {
  if (!desired || !desired->policy) return;
  if (const Status used = UseHeldPolicy(desired->policy); used) return;
  // The one that is wanted is not here yet: what was in force stays in force.
  if (!last_policy_) return;
  const Status used = UseHeldPolicy(last_policy_);
  Note(last_policy_->digest, WhatOf(*last_policy_), used, DeployResult::kHeld);
}

std::vector<DeployOutcome> Deployer::ReconcilePackages(const DesiredState& desired_state,
                                                       ArtifactSource& source) {
  const DesiredState* const desired = &desired_state;
  std::vector<DeployOutcome> outcomes;
  if (std::optional<DeployOutcome> policy = ReconcilePolicy(*desired, source))
    outcomes.push_back(std::move(*policy));

  outcomes.push_back(Obtain(desired->active, *desired, source));
  if (outcomes.back().result == DeployResult::kApplied ||
      outcomes.back().result == DeployResult::kHeld) {
    const std::string came = std::move(outcomes.back().reason);
    outcomes.back() = Activate(desired->active, *desired, outcomes.back().result);
    if (outcomes.back().result == DeployResult::kApplied) outcomes.back().reason = came;
  }
  // A policy may fit only the package that came with it.
  if (desired->policy && outcomes.front().result == DeployResult::kRefused)
    outcomes.front() = *ReconcilePolicy(*desired, source);

  if (desired->fallback && *desired->fallback != desired->active)
    outcomes.push_back(Obtain(*desired->fallback, *desired, source));
  const std::lock_guard lock(mutex_);
  if (!running_ && desired->fallback) {
    const Status used = Use(*desired->fallback, desired->version);
    if (used) LogWarning("the fallback is in use model={}", desired->fallback->ToString());
  }
  // What an earlier desired state named is nobody's concern any more.
  std::set<std::string> named;
  for (const DeployOutcome& outcome : outcomes) named.insert(outcome.what);
  std::erase_if(alarms_, [&](const auto& alarm) { return !named.contains(alarm.first); });
  std::erase_if(attempts_, [&](const auto& attempt) {
    return attempt.second.desired_version != desired->version;
  });
  CleanUp(*desired);
  Publish();
  return outcomes;
}

std::vector<DeployOutcome> Deployer::Reconcile(ArtifactSource& source) {
  const std::optional<DesiredState> desired = identity_->desired();
  if (!desired) return {};
  std::vector<DeployOutcome> outcomes = ReconcilePackages(*desired, source);
  if (options_.releases == nullptr) return outcomes;
  if (auto release = options_.releases->Reconcile(*desired, source))
    outcomes.push_back(*std::move(release));
  return outcomes;
}

DeployOutcome Deployer::Activate(const ModelRef& ref, const DesiredState& desired,
                                 DeployResult obtained) {
  const std::lock_guard lock(mutex_);
  const bool running = running_ && *running_ == ref;
  // The other road may have brought a newer desired state meanwhile: that one decides.
  if (identity_->desired()->version != desired.version)
    return {ref.digest, WhatOf(ref), DeployResult::kNotHere, "a newer desired state has come"};
  return Note(ref.digest, WhatOf(ref), Use(ref, desired.version),
              running ? obtained : DeployResult::kApplied);
}

std::optional<DeployOutcome> Deployer::ReconcilePolicy(const DesiredState& desired,
                                                       ArtifactSource& source) {
  {
    const std::lock_guard lock(mutex_);
    if (policy_ == desired.policy) {
      if (!policy_) return std::nullopt;
      return Note(policy_->digest, WhatOf(*policy_), {}, DeployResult::kHeld);
    }
    if (!desired.policy) {
      const Status used = UseHeldPolicy(std::nullopt);
      if (!used) LogError("cannot withdraw the policy: {}", used.error().message());
      return std::nullopt;
    }
    const Status held = UseHeldPolicy(desired.policy);
    if (held || !MayComeLater(held.error().code()))
      return Note(desired.policy->digest, WhatOf(*desired.policy), held, DeployResult::kApplied);
  }
  Status status = FetchPolicy(*desired.policy, source);
  const std::lock_guard lock(mutex_);
  if (status) status = UseHeldPolicy(desired.policy);
  return Note(desired.policy->digest, WhatOf(*desired.policy), status, DeployResult::kApplied);
}

Status Deployer::RetryPolicy() {
  const std::lock_guard lock(mutex_);
  const std::optional<DesiredState> desired = identity_->desired();
  if (!desired || !desired->policy)
    return Fail(ErrorCode::kNotFound, "the desired state names no policy");
  Status used = UseHeldPolicy(desired->policy);
  Note(desired->policy->digest, WhatOf(*desired->policy), used, DeployResult::kApplied);
  return used;
}

Status Deployer::FetchPolicy(const PolicyRef& ref, ArtifactSource& source) {
  SKERRY_ASSIGN_OR_RETURN(const std::string manifest,
                          source.ManifestBytes(RepositoryOf(ref), ref.digest));
  SKERRY_ASSIGN_OR_RETURN(const Descriptor layer, PolicyLayerOf(manifest));
  if (layer.size > limits::kYamlBytes)
    return Fail(ErrorCode::kTooLarge, "it has {} bytes, the limit is {}", layer.size,
                limits::kYamlBytes);
  SKERRY_ASSIGN_OR_RETURN(const std::filesystem::path file, source.Blob(RepositoryOf(ref), layer));
  SKERRY_ASSIGN_OR_RETURN(const std::string yaml, ReadFile(file, limits::kYamlBytes));
  source.Discard();
  const std::lock_guard lock(mutex_);
  return store_.KeepPolicy(ref, manifest, yaml);
}

Status Deployer::UseHeldPolicy(const std::optional<PolicyRef>& ref) {
  std::string yaml;
  if (ref) {
    SKERRY_ASSIGN_OR_RETURN(yaml, store_.FindPolicy(*ref));
  }
  SKERRY_RETURN_IF_ERROR(target_->UsePolicy(ref, yaml));
  policy_ = ref;
  LogInfo("policy in force policy={}", ref ? ref->ToString() : "none");
  Publish();
  return SaveInUse();
}

DeployOutcome Deployer::Obtain(const ModelRef& ref, const DesiredState& desired,
                               ArtifactSource& source) {
  {
    const std::lock_guard lock(mutex_);
    if (IsHeldWhole(ref)) return {ref.digest, WhatOf(ref), DeployResult::kHeld, ""};
    std::string reason = store_.SetAsideReason(ref.digest, desired.version);
    const auto attempt = attempts_.find(ref.digest);
    if (reason.empty() && source.costly() && attempt != attempts_.end() &&
        attempt->second.desired_version == desired.version &&
        clock_->MonotonicMicros() < attempt->second.retry_mono_us)
      reason = attempt->second.reason;
    if (!reason.empty()) return {ref.digest, WhatOf(ref), DeployResult::kRefused, reason};
  }
  const Result<std::string> fetched = Fetch(ref, desired, source);
  const std::lock_guard lock(mutex_);
  if (!fetched && !MayComeLater(fetched.error().code()))
    attempts_.insert_or_assign(ref.digest,
                               Attempt{desired.version,
                                       clock_->MonotonicMicros() +
                                           std::chrono::microseconds(limits::kRefusedRetry).count(),
                                       fetched.error().message()});
  DeployOutcome outcome = Note(ref.digest, WhatOf(ref),
                               fetched ? Status() : Status(tl::make_unexpected(fetched.error())),
                               DeployResult::kApplied);
  if (fetched) outcome.reason = *fetched;
  return outcome;
}

std::vector<Digest> Deployer::HeldPackages() const {
  std::vector<Digest> held = store_.Held();
  std::erase_if(held, [&](const Digest& digest) { return damaged_.contains(digest); });
  if (running_)
    std::ranges::stable_partition(held,
                                  [&](const Digest& digest) { return digest == running_->digest; });
  if (held.size() > limits::kDeltaHolds) held.resize(limits::kDeltaHolds);
  return held;
}

bool Deployer::IsHeldWhole(const ModelRef& ref) const {
  return !damaged_.contains(ref.digest) && store_.Find(ref);
}

std::string Deployer::NameOf(const Digest& package) const {
  if (const auto desired = identity_->desired(); desired) {
    if (desired->active.digest == package) return WhatOf(desired->active);
    if (desired->fallback && desired->fallback->digest == package)
      return WhatOf(*desired->fallback);
  }
  if (running_ && running_->digest == package) return WhatOf(*running_);
  return "model " + package.ToString();
}

std::size_t Deployer::CheckHeld(const ReadPace& pace) {
  std::unique_lock lock(mutex_);
  const std::vector<Digest> held = store_.Held();
  lock.unlock();
  std::size_t found = 0;
  for (const Digest& package : held) {
    const Status checked = store_.Check(package, pace);
    if (checked) continue;
    if (checked.error().code() == ErrorCode::kUnavailable) return found;
    lock.lock();
    // It may have been replaced or removed while it was read.
    const Status again = store_.Check(package, [](std::size_t) { return true; });
    if (!again && again.error().code() == ErrorCode::kDataLoss && damaged_.insert(package).second) {
      ++found;
      std::string& alarm = alarms_[NameOf(package)];
      alarm = fmt::format("damaged on this site's disk, and to be fetched anew: {}",
                          again.error().message());
      LogError("{} {}", NameOf(package), alarm);
      Publish();
    }
    lock.unlock();
  }
  return found;
}

LayerFetcher Deployer::MakeFetcher(ArtifactSource& source) {
  LayerFetcher::Parts parts{.source = &source,
                            .scratch = options_.data / "sync",
                            .held = {},
                            .refused = refused_patches_};
  // Of damaged ones too: a file is looked at before it is taken, and mostly one alone is damaged.
  for (const Digest& package : store_.Held()) {
    auto files = store_.FilesOf(package);
    if (files) std::ranges::move(*files, std::back_inserter(parts.held));
  }
  return LayerFetcher(std::move(parts));
}

void Deployer::NoteTraffic(const LayerFetcher& fetcher) {
  const LayerTraffic& traffic = fetcher.traffic();
  layers_.Add(traffic);
  refused_patches_ = fetcher.refused();
  damaged_.insert(fetcher.damaged().begin(), fetcher.damaged().end());
  if (!counters_) return;
  counters_->whole->Add(traffic.whole_bytes);
  counters_->patch->Add(traffic.patch_bytes);
  counters_->patched->Add(traffic.patched_bytes);
  counters_->held->Add(traffic.held_bytes);
  counters_->refused->Add(traffic.refused_patches);
}

Result<std::map<Digest, std::filesystem::path>> Deployer::FetchBlobs(const std::string& repository,
                                                                     const Manifest& manifest,
                                                                     LayerFetcher& fetcher) {
  std::vector<Descriptor> wanted = manifest.layers;
  if (manifest.config) wanted.push_back(*manifest.config);
  std::map<Digest, std::filesystem::path> blobs;
  for (const Descriptor& blob : wanted) {
    if (blobs.contains(blob.digest)) continue;
    SKERRY_ASSIGN_OR_RETURN(std::filesystem::path file, fetcher.Fetch(repository, blob));
    blobs.insert_or_assign(blob.digest, std::move(file));
  }
  return blobs;
}

Result<std::string> Deployer::Fetch(const ModelRef& ref, const DesiredState& desired,
                                    ArtifactSource& source) {
  const std::string repository = RepositoryOf(ref);
  SKERRY_ASSIGN_OR_RETURN(const std::string manifest_bytes,
                          source.ManifestBytes(repository, ref.digest));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> bundles,
                          source.SignatureBundles(repository, ref.digest));
  SKERRY_RETURN_IF_ERROR(gate_.CheckManifest(ref, manifest_bytes, bundles, desired));
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(manifest_bytes));
  std::unique_lock lock(mutex_);
  LayerFetcher fetcher = MakeFetcher(source);
  const std::vector<Digest> holds =
      target_->MayTellPackages() ? HeldPackages() : std::vector<Digest>();
  lock.unlock();
  fetcher.LookForPatches(ref.digest, manifest, holds);
  const auto blobs = FetchBlobs(repository, manifest, fetcher);
  lock.lock();
  NoteTraffic(fetcher);
  if (!blobs) return tl::make_unexpected(blobs.error());
  if (IsHeldWhole(ref)) return std::string();  // the other road was faster
  SKERRY_RETURN_IF_ERROR(CheckAndKeep(ref, desired.version, manifest_bytes, *blobs));
  damaged_.erase(ref.digest);
  source.Discard();
  std::string came = fetcher.traffic().Text();
  if (!came.empty()) LogInfo("package kept package={} layers=\"{}\"", ref.ToString(), came);
  return came;
}

Status Deployer::CheckAndKeep(const ModelRef& ref, std::uint64_t desired_version,
                              const std::string& manifest,
                              const std::map<Digest, std::filesystem::path>& blobs) {
  const auto get_blob = [&](const Descriptor& blob) -> Result<std::filesystem::path> {
    const auto found = blobs.find(blob.digest);
    if (found != blobs.end()) return found->second;
    return Fail(ErrorCode::kNotFound, "blob {} is not here", blob.digest.ToString());
  };
  SKERRY_ASSIGN_OR_RETURN(const std::filesystem::path directory,
                          store_.Unpack(ref, manifest, get_blob));
  Status checked = gate_.CheckPackage(ref, directory);
  if (!checked) {
    store_.Drop(ref);
    if (checked.error().code() != ErrorCode::kInternal)
      SKERRY_RETURN_IF_ERROR(store_.SetAside(ref, desired_version, checked.error().message()));
    return checked;
  }
  SKERRY_RETURN_IF_ERROR(store_.Keep(ref, manifest));
  return gate_.Admit(ref);
}

Status Deployer::Use(const ModelRef& ref, std::uint64_t desired_version) {
  if (running_ && *running_ == ref) return {};
  SKERRY_ASSIGN_OR_RETURN(const AdmittedPackage package, store_.Find(ref));
  const auto set_aside = [&](Status refused) -> Status {
    if (refused.error().code() == ErrorCode::kDataLoss)  // a damaged disk: fetch it anew
      store_.Remove(ref.digest);
    else
      SKERRY_RETURN_IF_ERROR(store_.SetAside(ref, desired_version, refused.error().message()));
    return refused;
  };
  if (const std::string reason = store_.SetAsideReason(ref.digest, desired_version);
      !reason.empty())
    return Fail(ErrorCode::kInvalidArgument, "{}", reason);
  if (const int unfinished = store_.UnfinishedLoads(ref.digest); unfinished > 0) {
    if (unfinished >= limits::kLoadAttempts)
      return set_aside(Fail(ErrorCode::kInvalidArgument,
                            "the process ended {} times while it loaded this package", unfinished));
    // Perhaps somebody pulled the plug just then, perhaps the package did it: a child finds out.
    if (Status checked = gate_.CheckPackage(ref, package.directory); !checked)
      return set_aside(std::move(checked));
  }
  SKERRY_RETURN_IF_ERROR(store_.BeginLoad(ref.digest));
  Status used = target_->UseModel(package);
  store_.EndLoad(ref.digest);
  if (!used) return set_aside(std::move(used));
  running_ = ref;
  LogInfo("model in use model={} digest={}", ref.ToString(), ref.digest.ToString());
  Publish();
  return SaveInUse();
}

void Deployer::CleanUp(const DesiredState& desired) {
  // Only when the wanted one runs: until then anything that is here may still be needed.
  if (!running_ || *running_ != desired.active) return;
  std::set<Digest> wanted{desired.active.digest};
  if (desired.fallback) wanted.insert(desired.fallback->digest);
  store_.KeepOnly(wanted);
}

void Deployer::LoadInUse() {
  const auto text = ReadFile(options_.data / "sync" / "in-use.json", limits::kJsonBytes);
  if (!text) return;
  const auto json = ParseJson(*text);
  if (!json) return;
  last_model_ = RefFromJson<ModelRef>(*json, "model");
  last_policy_ = RefFromJson<PolicyRef>(*json, "policy");
}

Status Deployer::SaveInUse() const {
  Json json = Json::object();
  if (const auto& model = running_ ? running_ : last_model_) json["model"] = RefToJson(*model);
  if (policy_) json["policy"] = RefToJson(*policy_);
  return WriteFileDurably(options_.data / "sync" / "in-use.json", DumpJson(json));
}

DeployOutcome Deployer::Note(const Digest& digest, std::string what, const Status& status,
                             DeployResult when_good) {
  DeployOutcome outcome{digest, std::move(what), when_good, ""};
  if (status) {
    alarms_.erase(outcome.what);
  } else {
    const ErrorCode code = status.error().code();
    outcome.result = MayComeLater(code) ? DeployResult::kNotHere : DeployResult::kRefused;
    outcome.reason = status.error().message();
    if (outcome.result == DeployResult::kRefused || code == ErrorCode::kDataLoss) {
      std::string& alarm = alarms_[outcome.what];
      if (alarm != outcome.reason) LogWarning("{} set aside: {}", outcome.what, outcome.reason);
      alarm = outcome.reason;
    }
  }
  Publish();
  return outcome;
}

void Deployer::Publish() {
  const std::lock_guard lock(facts_mutex_);
  facts_.running = running_;
  facts_.policy = policy_;
  facts_.packages = HeldPackages();
  facts_.layers = layers_;
  facts_.alarms.clear();
  for (const auto& [what, reason] : alarms_)
    facts_.alarms.push_back(fmt::format("{}: {}", what, reason));
}

DeploymentFacts Deployer::facts() const {
  DeploymentFacts facts;
  {
    const std::lock_guard lock(facts_mutex_);
    facts = facts_;
  }
  const std::optional<DesiredState> desired = identity_->desired();
  if (!desired) return facts;
  if (const auto expiry = identity_->metadata_expiry();
      expiry && identity_->Now(*clock_) >= expiry->expires_us)
    facts.alarms.push_back(fmt::format("desired state {} expired at {} ({}); it stays in force",
                                       desired->version, FormatUtc(expiry->expires_us),
                                       expiry->role));
  if (facts.running && *facts.running != desired->active)
    facts.alarms.push_back(fmt::format("{} is in use, {} is wanted", facts.running->ToString(),
                                       desired->active.ToString()));
  return facts;
}

}  // namespace skerry
