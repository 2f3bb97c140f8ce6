#include "trust/tuf_client.h"

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/log.h"
#include "base/tuf_limits.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr const char* kTop = "targets";

// Nothing can be fetched: what is held is looked at alone.
class NoSource final : public TufSource {
 public:
  Result<std::string> Fetch(const std::string& name, std::size_t /*max_bytes*/) override {
    return Fail(ErrorCode::kUnavailable, "{} is not held", name);
  }
};

std::size_t BoundOf(const TufFileRef& ref, std::size_t most) {
  return ref.length ? std::min<std::size_t>(*ref.length, most) : most;
}

// What there has to be, since something that is verified refers to it.
Result<std::string> FetchNamed(TufSource& source, const std::string& name, std::size_t max_bytes) {
  auto bytes = source.Fetch(name, max_bytes);
  if (!bytes && bytes.error().code() == ErrorCode::kNotFound)
    return Fail(ErrorCode::kDataLoss, "{} is missing in the repository", name);
  return bytes;
}

// A document that is verified and of the version that is asked for.
Result<TufSigned> ReadVerified(std::string_view bytes, std::string_view type, std::size_t max_bytes,
                               const TufKeys& keys, const TufRole& role) {
  SKERRY_ASSIGN_OR_RETURN(TufSigned document, ParseTuf(bytes, type, max_bytes));
  SKERRY_RETURN_IF_ERROR(VerifyTuf(document, keys, role, type));
  return document;
}

Status CheckIsVersion(std::string_view what, std::uint64_t version, std::uint64_t wanted) {
  if (version == wanted) return {};
  return Fail(ErrorCode::kDataLoss, "{} is of version {}, what refers to it says {}", what, version,
              wanted);
}

}  // namespace

std::filesystem::path TufClient::FileOf(const std::string& role) const {
  const bool top = role == "root" || role == "timestamp" || role == "snapshot" || role == kTop;
  return (top ? directory_ : directory_ / "roles") / (role + ".json");
}

Status TufClient::Save(const std::string& name, std::string_view bytes) const {
  return WriteFileDurably(FileOf(name), bytes);
}

Result<TufClient> TufClient::Open(std::filesystem::path directory) {
  SKERRY_RETURN_IF_ERROR(CreateDirectories(directory / "roles", 0700));
  TufClient client(std::move(directory));
  const auto root = ReadFile(client.FileOf("root"), limits::kTufRootBytes);
  if (!root && root.error().code() == ErrorCode::kNotFound) return client;
  const Status trusted = root ? client.Trust(*root) : Status(tl::make_unexpected(root.error()));
  if (!trusted)
    return Fail(ErrorCode::kDataLoss, "{} is damaged: {}", client.FileOf("root").string(),
                trusted.error().message());
  // The others can be fetched again.
  const auto load = [&]<typename T>(const std::string& name, std::string_view type,
                                    std::size_t most) -> std::optional<Held<T>> {
    auto bytes = ReadFile(client.FileOf(name), most);
    if (!bytes) return std::nullopt;
    auto document = ParseTuf(*bytes, type, most);
    if (!document) return std::nullopt;
    auto value = T::FromJson(document->body);
    if (!value) return std::nullopt;
    return Held<T>{std::move(*bytes), std::move(*document), std::move(*value)};
  };
  client.timestamp_ =
      load.operator()<TufTimestamp>("timestamp", "timestamp", limits::kTufTimestampBytes);
  client.snapshot_ =
      load.operator()<TufSnapshot>("snapshot", "snapshot", limits::kTufSnapshotBytes);
  std::vector<std::string> names = {kTop};
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(client.directory_ / "roles", error))
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  for (const std::string& name : names)
    if (auto held = load.operator()<TufTargets>(name, kTop, limits::kTufTargetsBytes); held)
      client.targets_.emplace(name, std::move(*held));
  client.DropUnverified();
  return client;
}

Status TufClient::Trust(std::string_view root_json) {
  if (root_) return {};
  SKERRY_ASSIGN_OR_RETURN(TufSigned document, ParseTuf(root_json, "root", limits::kTufRootBytes));
  SKERRY_ASSIGN_OR_RETURN(TufRoot root, TufRoot::FromJson(document.body));
  SKERRY_RETURN_IF_ERROR(VerifyTuf(document, root.keys, root.role("root"), "the first root"));
  SKERRY_RETURN_IF_ERROR(Save("root", root_json));
  root_ = Held<TufRoot>{std::string(root_json), std::move(document), std::move(root)};
  return {};
}

// Metadata by keys that the root does not name (any more) is not trusted, whatever version it has:
// so an attacker with a stolen key cannot bar the way with high version numbers (5.3.11).
void TufClient::DropUnverified() {
  const TufRoot& root = root_->value;
  if (timestamp_ && CountSignatures(timestamp_->document, root.keys, root.role("timestamp")) <
                        root.role("timestamp").threshold)
    timestamp_.reset();
  if (snapshot_ && CountSignatures(snapshot_->document, root.keys, root.role("snapshot")) <
                       root.role("snapshot").threshold)
    snapshot_.reset();
  if (const auto top = targets_.find(kTop);
      top != targets_.end() &&
      CountSignatures(top->second.document, root.keys, root.role(kTop)) < root.role(kTop).threshold)
    targets_.clear();
}

Status TufClient::UpdateRoot(TufSource& source) {
  for (std::size_t i = 0; i < limits::kTufRootsAtOnce; ++i) {
    const TufRoot& held = root_->value;
    const std::uint64_t next = held.version + 1;
    auto bytes = source.Fetch(TufMetadataName("root", next), limits::kTufRootBytes);
    if (!bytes && bytes.error().code() == ErrorCode::kNotFound) return {};
    if (!bytes) return tl::make_unexpected(bytes.error());
    const std::string what = fmt::format("root {}", next);
    SKERRY_ASSIGN_OR_RETURN(TufSigned document, ParseTuf(*bytes, "root", limits::kTufRootBytes));
    SKERRY_RETURN_IF_ERROR(VerifyTuf(document, held.keys, held.role("root"), what));
    SKERRY_ASSIGN_OR_RETURN(TufRoot root, TufRoot::FromJson(document.body));
    SKERRY_RETURN_IF_ERROR(VerifyTuf(document, root.keys, root.role("root"), what));
    SKERRY_RETURN_IF_ERROR(CheckIsVersion(what, root.version, next));
    SKERRY_RETURN_IF_ERROR(Save("root", *bytes));
    const bool rotated = root.role("timestamp") != held.role("timestamp") ||
                         root.role("snapshot") != held.role("snapshot");
    LogInfo("root of trust version={} rotated={}", root.version, rotated);
    root_ = Held<TufRoot>{std::move(*bytes), std::move(document), std::move(root)};
    if (rotated) {
      timestamp_.reset();
      snapshot_.reset();
      SKERRY_RETURN_IF_ERROR(RemoveFile(FileOf("timestamp")));
      SKERRY_RETURN_IF_ERROR(RemoveFile(FileOf("snapshot")));
    }
    DropUnverified();
  }
  return Fail(ErrorCode::kTooLarge, "more than {} new roots at once", limits::kTufRootsAtOnce);
}

Status TufClient::UpdateTimestamp(TufSource& source) {
  SKERRY_ASSIGN_OR_RETURN(std::string bytes, FetchNamed(source, std::string(kTufTimestampName),
                                                        limits::kTufTimestampBytes));
  const TufRoot& root = root_->value;
  SKERRY_ASSIGN_OR_RETURN(TufSigned document,
                          ReadVerified(bytes, "timestamp", limits::kTufTimestampBytes, root.keys,
                                       root.role("timestamp")));
  SKERRY_ASSIGN_OR_RETURN(TufTimestamp offered, TufTimestamp::FromJson(document.body));
  if (timestamp_) {
    const TufTimestamp& held = timestamp_->value;
    if (offered.version < held.version)
      return Fail(ErrorCode::kConflict,
                  "the timestamp {} is older than {}, which this site has seen (a rollback)",
                  offered.version, held.version);
    if (offered.version == held.version) return {};
    if (offered.snapshot.version < held.snapshot.version)
      return Fail(ErrorCode::kConflict,
                  "the snapshot {} is older than {}, which this site has seen (a rollback)",
                  offered.snapshot.version, held.snapshot.version);
  }
  SKERRY_RETURN_IF_ERROR(Save("timestamp", bytes));
  timestamp_ = Held<TufTimestamp>{std::move(bytes), std::move(document), std::move(offered)};
  return {};
}

Status TufClient::CheckSnapshotOrder(const TufSnapshot& offered) const {
  if (!snapshot_) return {};
  for (const auto& [name, held] : snapshot_->value.files) {
    const auto found = offered.files.find(name);
    if (found == offered.files.end())
      return Fail(ErrorCode::kConflict, "the snapshot {} does not name {} any more (a rollback)",
                  offered.version, name);
    if (found->second.version < held.version)
      return Fail(ErrorCode::kConflict,
                  "{} {} is older than {}, which this site has seen (a rollback)", name,
                  found->second.version, held.version);
  }
  return {};
}

Status TufClient::UpdateSnapshot(TufSource& source) {
  const TufFileRef& ref = timestamp_->value.snapshot;
  if (snapshot_ && snapshot_->value.version == ref.version &&
      ref.Check("the snapshot", snapshot_->bytes))
    return {};
  SKERRY_ASSIGN_OR_RETURN(std::string bytes,
                          FetchNamed(source, TufMetadataName("snapshot", ref.version),
                                     BoundOf(ref, limits::kTufSnapshotBytes)));
  SKERRY_RETURN_IF_ERROR(ref.Check("the snapshot", bytes));
  const TufRoot& root = root_->value;
  SKERRY_ASSIGN_OR_RETURN(
      TufSigned document,
      ReadVerified(bytes, "snapshot", limits::kTufSnapshotBytes, root.keys, root.role("snapshot")));
  SKERRY_ASSIGN_OR_RETURN(TufSnapshot offered, TufSnapshot::FromJson(document.body));
  SKERRY_RETURN_IF_ERROR(CheckIsVersion("the snapshot", offered.version, ref.version));
  SKERRY_RETURN_IF_ERROR(CheckSnapshotOrder(offered));
  SKERRY_RETURN_IF_ERROR(Save("snapshot", bytes));
  snapshot_ = Held<TufSnapshot>{std::move(bytes), std::move(document), std::move(offered)};
  return {};
}

bool TufClient::HoldsTargets(const std::string& name, const TufKeys& keys, const TufRole& role,
                             const TufFileRef& ref) const {
  const auto held = targets_.find(name);
  return held != targets_.end() && held->second.value.version == ref.version &&
         ref.Check(name, held->second.bytes) &&
         CountSignatures(held->second.document, keys, role) >= role.threshold;
}

Result<const TufTargets*> TufClient::EnsureTargets(const std::string& name, const TufKeys& keys,
                                                   const TufRole& role, TufSource& source) {
  const auto named = snapshot_->value.files.find(name + ".json");
  if (named == snapshot_->value.files.end())
    return Fail(ErrorCode::kDataLoss, "the snapshot {} does not name {}.json",
                snapshot_->value.version, name);
  const TufFileRef& ref = named->second;
  if (HoldsTargets(name, keys, role, ref)) return &targets_.at(name).value;
  SKERRY_ASSIGN_OR_RETURN(std::string bytes, FetchNamed(source, TufMetadataName(name, ref.version),
                                                        BoundOf(ref, limits::kTufTargetsBytes)));
  SKERRY_RETURN_IF_ERROR(ref.Check(name, bytes));
  SKERRY_ASSIGN_OR_RETURN(TufSigned document, ParseTuf(bytes, kTop, limits::kTufTargetsBytes));
  SKERRY_RETURN_IF_ERROR(VerifyTuf(document, keys, role, fmt::format("the role {}", name)));
  SKERRY_ASSIGN_OR_RETURN(TufTargets offered, TufTargets::FromJson(document.body));
  SKERRY_RETURN_IF_ERROR(CheckIsVersion(name, offered.version, ref.version));
  SKERRY_RETURN_IF_ERROR(Save(name, bytes));
  targets_.insert_or_assign(
      name, Held<TufTargets>{std::move(bytes), std::move(document), std::move(offered)});
  return &targets_.at(name).value;
}

Status TufClient::Update(TufSource& source) {
  if (!root_)
    return Fail(ErrorCode::kFailedPrecondition, "there is no root, so nothing can be believed");
  SKERRY_RETURN_IF_ERROR(UpdateRoot(source));
  SKERRY_RETURN_IF_ERROR(UpdateTimestamp(source));
  SKERRY_RETURN_IF_ERROR(UpdateSnapshot(source));
  const auto top = EnsureTargets(kTop, root_->value.keys, root_->value.role(kTop), source);
  if (!top) return tl::make_unexpected(top.error());
  return {};
}

Result<TufTarget> TufClient::FindTarget(std::string_view path, TufSource& source) {
  struct Visit {
    std::string name;
    TufKeys keys;
    TufRole role;
  };
  if (!snapshot_)
    return Fail(ErrorCode::kFailedPrecondition, "there is no snapshot yet: update first");
  std::vector<Visit> waiting = {{kTop, root_->value.keys, root_->value.role(kTop)}};
  visited_.clear();
  while (!waiting.empty()) {
    const Visit visit = std::move(waiting.back());
    waiting.pop_back();
    if (!visited_.insert(visit.name).second) continue;
    if (visited_.size() > limits::kTufRolesVisited)
      return Fail(ErrorCode::kTooLarge, "{}: more than {} delegated roles on the way", path,
                  limits::kTufRolesVisited);
    SKERRY_ASSIGN_OR_RETURN(const TufTargets* targets,
                            EnsureTargets(visit.name, visit.keys, visit.role, source));
    if (const auto found = targets->targets.find(std::string(path));
        found != targets->targets.end())
      return found->second;
    std::vector<Visit> children;
    for (const TufDelegation& delegation : targets->delegations) {
      if (!delegation.Matches(path)) continue;
      children.push_back({delegation.name, targets->keys, delegation.role});
      if (!delegation.terminating) continue;
      waiting.clear();
      break;
    }
    waiting.insert(waiting.end(), children.rbegin(), children.rend());
  }
  return Fail(ErrorCode::kNotFound, "there is no target {}", path);
}

Result<std::string> TufClient::FetchTarget(std::string_view path, const TufTarget& target,
                                           TufSource& source) const {
  if (target.length > limits::kTufTargetBytes)
    return Fail(ErrorCode::kTooLarge, "{} has {} bytes, the limit is {}", path, target.length,
                limits::kTufTargetBytes);
  SKERRY_ASSIGN_OR_RETURN(std::string bytes,
                          FetchNamed(source, TufTargetName(path, target), target.length));
  SKERRY_RETURN_IF_ERROR(target.Check(path, bytes));
  return bytes;
}

Result<TufTarget> TufClient::FindHeld(std::string_view path) {
  NoSource none;
  if (!timestamp_ || !snapshot_)
    return Fail(ErrorCode::kUnavailable, "no timestamp and snapshot are held");
  SKERRY_RETURN_IF_ERROR(UpdateSnapshot(none));
  return FindTarget(path, none);
}

std::optional<TufExpiry> TufClient::expiry() const {
  if (!root_ || !timestamp_ || !snapshot_) return std::nullopt;
  TufExpiry first{"root", root_->value.expires_us};
  const auto look = [&](const std::string& role, std::int64_t expires_us) {
    if (expires_us < first.expires_us) first = {role, expires_us};
  };
  look("timestamp", timestamp_->value.expires_us);
  look("snapshot", snapshot_->value.expires_us);
  for (const auto& [name, held] : targets_)
    if (name == kTop || visited_.contains(name)) look(name, held.value.expires_us);
  return first;
}

}  // namespace skerry
