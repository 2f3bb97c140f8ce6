#include "sync/release_installer.h"

#include <algorithm>
#include <system_error>

#include "base/child_process.h"
#include "base/ids.h"
#include "base/limits.h"
#include "base/log.h"
#include "codec/json.h"
#include "oci/digest_file.h"
#include "storage/file.h"
#include "sync/layer_fetcher.h"
#include "trust/package_gate.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;
using SteadyClock = std::chrono::steady_clock;

constexpr std::uint64_t kReleaseLeavesBytes = std::uint64_t{256} << 20U;  // the outbox's
constexpr std::chrono::seconds kAskPatience{60};
constexpr std::string_view kIncoming = ".incoming";
constexpr std::string_view kManifestFile = "manifest.json";  // beside the files of a slot
constexpr std::size_t kReasonBytes = 400;

std::string WhatOf(const ReleaseRef& ref) { return "release " + ref.ToString(); }
std::string RepositoryOf(const ReleaseRef& ref) { return "releases/" + ref.name; }

void RemoveAll(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) LogWarning("cannot remove {}: {}", path.string(), error.message());
}

// The end of what a program said, on one line.
std::string LastWords(const fs::path& log) {
  const auto text = ReadFile(log, limits::kSmallReplyBytes);
  if (!text) return "";
  std::string words = *text;
  while (!words.empty() && words.back() == '\n') words.pop_back();
  if (words.size() > kReasonBytes) words.erase(0, words.size() - kReasonBytes);
  std::ranges::replace(words, '\n', ' ');
  return words;
}

DeployOutcome OutcomeOf(const ReleaseRef& ref, const Result<DeployResult>& result) {
  DeployOutcome outcome{ref.digest, WhatOf(ref), DeployResult::kRefused, ""};
  if (result) {
    outcome.result = *result;
    return outcome;
  }
  if (MayComeLater(result.error().code())) outcome.result = DeployResult::kNotHere;
  outcome.reason = result.error().message();
  return outcome;
}

}  // namespace

std::string_view ReleaseStandingName(ReleaseStanding standing) {
  switch (standing) {
    case ReleaseStanding::kUnmanaged: return "unmanaged";
    case ReleaseStanding::kInstalled: return "installed";
    case ReleaseStanding::kSlot: return "slot";
    case ReleaseStanding::kTrial: return "trial";
  }
  return "unknown";
}

Result<ReleaseFacts> AskRelease(const fs::path& program, const fs::path& scratch) {
  SKERRY_ASSIGN_OR_RETURN(const TemporaryDirectory work,
                          TemporaryDirectory::Create(".ask", scratch));
  const fs::path log = work.path() / "said";
  const auto until = SteadyClock::now() + kAskPatience;
  const Status ran = RunProcessGroup(
      program, {"version", "--json"}, log, [&] { return SteadyClock::now() < until; },
      std::chrono::seconds(1));
  if (!ran) {
    const std::string words = LastWords(log);
    return Fail(ErrorCode::kFailedPrecondition, "its program does not run on this machine: {}",
                words.empty() ? ran.error().message() : words);
  }
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(log, limits::kSmallReplyBytes));
  auto facts = ReleaseFacts::FromJson(text);
  if (facts) return facts;
  return Fail(ErrorCode::kInvalidArgument, "its program does not say what it is: {}",
              facts.error().message());
}

ReleaseFacts WithSetOf(ReleaseFacts own, const fs::path& program) {
  const auto text = ReadFile(program.parent_path() / kReleaseJson, limits::kSmallReplyBytes);
  if (!text) return own;
  const auto set = ReleaseFacts::FromJson(*text);
  if (!set || set->build != own.build) return own;
  own.name = set->name;
  own.version = set->version;
  return own;
}

ReleaseInstaller::ReleaseInstaller(ReleaseInstallerOptions options)
    : options_(std::move(options)),
      releases_(options_.data / "releases"),
      slot_(ParseSlot(options_.slot)) {}

Result<std::unique_ptr<ReleaseInstaller>> ReleaseInstaller::Open(ReleaseInstallerOptions options) {
  std::unique_ptr<ReleaseInstaller> installer(new ReleaseInstaller(std::move(options)));
  if (!installer->slot_) return installer;
  SKERRY_RETURN_IF_ERROR(CreateDirectories(installer->releases_, 0700));
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(installer->releases_, error))
    if (entry.path().filename().string().starts_with(kIncoming)) RemoveAll(entry.path());
  installer->LoadFloor();
  installer->LoadRefusal();
  return installer;
}

void ReleaseInstaller::LoadFloor() {
  const auto text = ReadFile(releases_ / "floor.json", limits::kSmallReplyBytes);
  const auto json = text ? ParseJson(*text) : Result<Json>(tl::make_unexpected(text.error()));
  if (!json) return;
  const JsonObject object(*json, "floor");
  const auto version = object.String("version");
  const auto digest_text = object.String("digest");
  if (!version || !digest_text) return;
  if (auto digest = Digest::Parse(*digest_text))
    floor_ = ReleaseRef{"", *version, *std::move(digest), false, 0};
}

void ReleaseInstaller::LoadRefusal() {
  const auto text = ReadFile(releases_ / "refused.json", limits::kSmallReplyBytes);
  const auto json = text ? ParseJson(*text) : Result<Json>(tl::make_unexpected(text.error()));
  if (!json) return;
  const JsonObject object(*json, "refused");
  const auto digest_text = object.String("digest");
  const auto version = object.Uint("since");
  const auto reason = object.String("reason");
  if (!digest_text || !version || !reason) return;
  if (auto digest = Digest::Parse(*digest_text))
    refused_ = Refusal{*std::move(digest), *version, *reason, true};
}

void ReleaseInstaller::Refuse(Refusal refusal) {
  LogWarning("release {} is refused: {}", refusal.digest.ToString(), refusal.reason);
  refused_ = std::move(refusal);
  if (!refused_->for_good) return;
  const Status kept = WriteFileDurably(releases_ / "refused.json",
                                       DumpJson(Json{{"digest", refused_->digest.ToString()},
                                                     {"since", refused_->since},
                                                     {"reason", refused_->reason}}));
  if (!kept) LogWarning("cannot store why a release is refused: {}", kept.error().message());
}

bool ReleaseInstaller::IsRefused(const ReleaseRef& ref) const {
  return refused_ && refused_->digest == ref.digest && refused_->since == ref.since;
}

LauncherState ReleaseInstaller::ReadState() const {
  const auto text = ReadSmallFile(StateFile(releases_));
  return text ? ParseState(*text).value_or(LauncherState{}) : LauncherState{};
}

RunningRelease ReleaseInstaller::running() const {
  RunningRelease running{WithSetOf(options_.own, options_.program), std::nullopt,
                         ReleaseStanding::kUnmanaged};
  if (!slot_) return running;
  running.standing = ReleaseStanding::kInstalled;
  if (*slot_ == Slot::kInstalled) return running;
  const LauncherState state = ReadState();
  running.standing =
      state.trial && state.trial->slot == *slot_ ? ReleaseStanding::kTrial : ReleaseStanding::kSlot;
  const auto manifest =
      ReadFile(options_.program.parent_path() / kManifestFile, limits::kManifestBytes);
  if (manifest) running.digest = Digest::Sha256(*manifest);
  return running;
}

Status ReleaseInstaller::RaiseFloor(const RunningRelease& running) {
  if (running.standing != ReleaseStanding::kSlot || !running.digest) return {};
  if (floor_ && floor_->digest == *running.digest) return {};
  // One that was gone back to on purpose takes the floor with it.
  floor_ = ReleaseRef{"", running.facts.version, *running.digest, false, 0};
  return WriteFileDurably(
      releases_ / "floor.json",
      DumpJson(Json{{"version", floor_->version}, {"digest", floor_->digest.ToString()}}));
}

std::optional<DeployOutcome> ReleaseInstaller::Reconcile(const DesiredState& desired,
                                                         ArtifactSource& source) {
  {
    const std::lock_guard lock(mutex_);
    if (const Status raised = RaiseFloor(running()); !raised)
      LogWarning("cannot store which release was well: {}", raised.error().message());
  }
  if (!desired.release) return std::nullopt;
  const Result<DeployResult> result = Obtain(*desired.release, desired, source);
  DeployOutcome outcome = OutcomeOf(*desired.release, result);
  if (outcome.result == DeployResult::kApplied)
    outcome.reason = "it is unpacked, and the site starts anew to try it";
  return outcome;
}

Result<std::optional<DeployResult>> ReleaseInstaller::Settled(const ReleaseRef& ref,
                                                              bool costly) const {
  const RunningRelease now = running();
  const bool same = now.digest ? *now.digest == ref.digest : now.facts.version == ref.version;
  if (same) return DeployResult::kHeld;
  if (!slot_)
    return Fail(ErrorCode::kFailedPrecondition,
                "this site is not started by skerry-launcher, and runs {}: upgrade it as it was "
                "installed, by its package or image (docs/deploy.md)",
                now.facts.version);
  if (staged_) return DeployResult::kApplied;
  const LauncherState state = ReadState();
  if (state.trial)
    return Fail(ErrorCode::kUnavailable, "release {} is on trial", state.trial->version);
  const auto& back = state.given_back;
  if (back && back->candidate.digest == ref.digest.ToString() &&
      back->candidate.desired_version == ref.since)
    return Fail(ErrorCode::kFailedPrecondition, "it was tried and given back: it {}", back->reason);
  if (IsRefused(ref) && (refused_->for_good || (costly && SteadyClock::now() < refused_->again)))
    return Fail(ErrorCode::kFailedPrecondition, "{}", refused_->reason);
  return std::optional<DeployResult>();
}

Status ReleaseInstaller::CheckFloor(const ReleaseRef& ref) const {
  if (ref.may_be_older) return {};
  const RunningRelease now = running();
  std::string least = now.facts.version;
  if (floor_ && CompareVersions(floor_->version, least) > 0) least = floor_->version;
  const int order = CompareVersions(ref.version, least);
  if (order > 0) return {};
  if (order < 0)
    return Fail(ErrorCode::kConflict,
                "version check: it is older than {}, which this site ran; to go back on purpose, "
                "deploy it with --older",
                least);
  return Fail(ErrorCode::kConflict,
              "version check: this site runs a release {} with other content; give it another "
              "version",
              least);
}

Status ReleaseInstaller::CheckFacts(const ReleaseFacts& facts, const ReleaseRef& ref) const {
  if (facts.name != ref.name || facts.version != ref.version)
    return Fail(ErrorCode::kInvalidArgument, "it says that it is {}:{}", facts.name, facts.version);
  if (facts.os != "linux" || facts.architecture != OwnArchitecture())
    return Fail(ErrorCode::kFailedPrecondition,
                "platform check: it is for {}/{}, this machine is linux/{}", facts.os,
                facts.architecture, OwnArchitecture());
  const DataFormats& here = options_.own.data;
  if (here.writes < facts.data.reads_from || here.writes > facts.data.reads_to)
    return Fail(ErrorCode::kFailedPrecondition,
                "data check: it reads data formats {} to {}, the data here is of format {}",
                facts.data.reads_from, facts.data.reads_to, here.writes);
  if (facts.data.writes > here.reads_to || facts.data.writes < here.reads_from)
    return Fail(ErrorCode::kFailedPrecondition,
                "data check: it writes data format {}, and what runs here reads {} to {}, so that "
                "there would be no way back; upgrade to a release between the two first",
                facts.data.writes, here.reads_from, here.reads_to);
  return {};
}

Status ReleaseInstaller::CheckRoom(const Manifest& manifest) const {
  std::uint64_t bytes = 0;
  for (const Descriptor& layer : manifest.layers) bytes += layer.size;
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t free, FreeBytes(releases_));
  // Once as it comes, once in its slot; the old content of the slot goes.
  if (free >= 2 * bytes + kReleaseLeavesBytes) return {};
  return Fail(ErrorCode::kResourceExhausted,
              "{} bytes do not fit twice on the disk, of whose {} free ones {} are the outbox's",
              bytes, free, kReleaseLeavesBytes);
}

void ReleaseInstaller::HoldSlot(Slot slot, std::vector<HeldFile>& held) const {
  const fs::path directory = releases_ / SlotName(slot);
  const auto bytes = ReadFile(directory / kManifestFile, limits::kManifestBytes);
  const auto manifest =
      bytes ? Manifest::Parse(*bytes) : Result<Manifest>(Fail(ErrorCode::kNotFound, "none"));
  if (!manifest) return;
  for (const Descriptor& layer : manifest->layers)
    if (const auto name = ReleaseFileName(layer))
      held.push_back({layer.digest, layer.size, directory / *name, Digest::Sha256(*bytes)});
}

void ReleaseInstaller::HoldInstalled(std::vector<HeldFile>& held) const {
  const auto files = ReleaseFilesIn(options_.program.parent_path());
  if (!files) return;
  for (const auto& [name, path] : *files)
    if (const auto file = DigestFile(path, "sha256"))
      held.push_back({file->digest, file->size, path, Digest()});
}

// Files that are here already need not come: most libraries stay the same from release to release.
std::vector<HeldFile> ReleaseInstaller::HeldFiles() const {
  std::vector<HeldFile> held;
  HoldSlot(Slot::kA, held);
  HoldSlot(Slot::kB, held);
  if (slot_ == Slot::kInstalled) HoldInstalled(held);
  return held;
}

Result<ReleaseInstaller::Fetched> ReleaseInstaller::Fetch(const ReleaseRef& ref,
                                                          const DesiredState& desired,
                                                          ArtifactSource& source) {
  const std::string repository = RepositoryOf(ref);
  Fetched fetched;
  SKERRY_ASSIGN_OR_RETURN(fetched.manifest_bytes, source.ManifestBytes(repository, ref.digest));
  SKERRY_ASSIGN_OR_RETURN(const auto bundles, source.SignatureBundles(repository, ref.digest));
  SKERRY_RETURN_IF_ERROR(CheckSignedManifest(ref.digest, fetched.manifest_bytes, bundles, desired),
                         "signature check");
  {
    const std::lock_guard lock(mutex_);
    SKERRY_RETURN_IF_ERROR(CheckFloor(ref));
  }
  SKERRY_ASSIGN_OR_RETURN(fetched.manifest, Manifest::Parse(fetched.manifest_bytes));
  SKERRY_RETURN_IF_ERROR(CheckReleaseManifest(fetched.manifest));
  const Descriptor& config = *fetched.manifest.config;
  SKERRY_ASSIGN_OR_RETURN(const fs::path file, source.Blob(repository, config));
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, limits::kSmallReplyBytes));
  SKERRY_ASSIGN_OR_RETURN(const ReleaseFacts facts, ReleaseFacts::FromJson(text));
  SKERRY_RETURN_IF_ERROR(CheckFacts(facts, ref));
  SKERRY_RETURN_IF_ERROR(CheckRoom(fetched.manifest));
  LayerFetcher fetcher(
      {.source = &source, .scratch = releases_, .held = HeldFiles(), .refused = {}});
  fetched.blobs.insert_or_assign(config.digest, file);
  for (const Descriptor& layer : fetched.manifest.layers) {
    if (fetched.blobs.contains(layer.digest)) continue;
    SKERRY_ASSIGN_OR_RETURN(fs::path blob, fetcher.Fetch(repository, layer));
    fetched.blobs.insert_or_assign(layer.digest, std::move(blob));
  }
  LogInfo("release fetched release={} layers=\"{}\"", ref.ToString(), fetcher.traffic().Text());
  return fetched;
}

Status ReleaseInstaller::CheckProgram(const fs::path& directory, const ReleaseFacts& facts) const {
  SKERRY_ASSIGN_OR_RETURN(const ReleaseFacts said, AskRelease(directory / "skerry", directory),
                          "platform check");
  if (said.build == facts.build && said.architecture == facts.architecture &&
      said.data == facts.data)
    return {};
  return Fail(ErrorCode::kInvalidArgument,
              "its program says that it is build {} for {} and writes data format {}; its config "
              "says build {} for {} and {}",
              said.build, said.architecture, said.data.writes, facts.build, facts.architecture,
              facts.data.writes);
}

Status ReleaseInstaller::Stage(const ReleaseRef& ref, const Fetched& fetched) {
  SKERRY_ASSIGN_OR_RETURN(const TemporaryDirectory incoming,
                          TemporaryDirectory::Create(kIncoming, releases_));
  const fs::path unpacked = incoming.path() / "release";
  const auto get_blob = [&](const Descriptor& blob) -> Result<fs::path> {
    const auto found = fetched.blobs.find(blob.digest);
    if (found != fetched.blobs.end()) return found->second;
    return Fail(ErrorCode::kNotFound, "blob {} is not here", blob.digest.ToString());
  };
  SKERRY_RETURN_IF_ERROR(UnpackRelease(fetched.manifest, get_blob, unpacked));
  SKERRY_ASSIGN_OR_RETURN(const std::string config,
                          ReadFile(unpacked / kReleaseJson, limits::kSmallReplyBytes));
  SKERRY_ASSIGN_OR_RETURN(const ReleaseFacts facts, ReleaseFacts::FromJson(config));
  SKERRY_RETURN_IF_ERROR(CheckProgram(unpacked, facts));
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(unpacked / kManifestFile, fetched.manifest_bytes));
  const Slot slot = FreeSlot(ReadState());
  const fs::path target = releases_ / SlotName(slot);
  RemoveAll(target);
  std::error_code error;
  fs::rename(unpacked, target, error);
  if (error)
    return Fail(ErrorCode::kInternal, "renaming to {}: {}", target.string(), error.message());
  SKERRY_RETURN_IF_ERROR(SyncDirectory(releases_));
  const Candidate request{RandomHex(16), slot, ref.version, ref.digest.ToString(), ref.since};
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(RequestFile(releases_), RequestText(request), 0600));
  staged_ = true;
  LogInfo("release staged release={} slot={}", ref.ToString(), SlotName(slot));
  return {};
}

Result<DeployResult> ReleaseInstaller::Obtain(const ReleaseRef& ref, const DesiredState& desired,
                                              ArtifactSource& source) {
  const bool costly = source.costly();
  {
    const std::lock_guard lock(mutex_);
    SKERRY_ASSIGN_OR_RETURN(const auto settled, Settled(ref, costly));
    if (settled) return *settled;
  }
  const Result<Fetched> fetched = Fetch(ref, desired, source);
  {
    const std::lock_guard lock(mutex_);
    // The other road may have been faster.
    SKERRY_ASSIGN_OR_RETURN(const auto settled, Settled(ref, costly));
    if (settled) return *settled;
    const Status staged =
        fetched ? Stage(ref, *fetched) : Status(tl::make_unexpected(fetched.error()));
    if (!staged && !MayComeLater(staged.error().code()))
      Refuse({ref.digest, ref.since, staged.error().message(), fetched.has_value(),
              SteadyClock::now() + limits::kRefusedRetry});
    SKERRY_RETURN_IF_ERROR(Status(staged));
  }
  source.Discard();
  if (options_.on_staged) options_.on_staged();
  return DeployResult::kApplied;
}

std::vector<std::string> ReleaseInstaller::Alarms(
    const std::optional<DesiredState>& desired) const {
  std::vector<std::string> alarms;
  const RunningRelease now = running();
  const std::lock_guard lock(mutex_);
  const LauncherState state = slot_ ? ReadState() : LauncherState{};
  if (slot_ && !state.trial && state.active != *slot_)
    alarms.push_back(fmt::format("slot {} cannot be started; release {}, as installed, runs",
                                 SlotName(state.active), now.facts.version));
  if (!desired || !desired->release) return alarms;
  const ReleaseRef& wanted = *desired->release;
  const bool same = now.digest ? *now.digest == wanted.digest : now.facts.version == wanted.version;
  if (same) return alarms;
  const auto& back = state.given_back;
  if (back && back->candidate.digest == wanted.digest.ToString())
    alarms.push_back(fmt::format("{}: it was tried and given back: it {}; {} runs", WhatOf(wanted),
                                 back->reason, now.facts.version));
  else if (IsRefused(wanted))
    alarms.push_back(fmt::format("{}: {}", WhatOf(wanted), refused_->reason));
  else if (!slot_)
    alarms.push_back(
        fmt::format("{} is wanted, {} runs: this site is not started by "
                    "skerry-launcher, upgrade it as it was installed",
                    WhatOf(wanted), now.facts.version));
  return alarms;
}

}  // namespace skerry
