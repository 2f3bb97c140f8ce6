#include "trust/tuf_repository.h"

#include <algorithm>
#include <chrono>

#include "base/clock.h"
#include "base/ids.h"
#include "base/limits.h"
#include "base/tuf_limits.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr std::int64_t Micros(std::chrono::hours time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
}
constexpr std::int64_t kDay = Micros(std::chrono::hours(24));
constexpr std::int64_t kRootLife = 5 * 365 * kDay;
constexpr std::int64_t kTargetsLife = 365 * kDay;
// A site that hears nothing for this long raises an alarm, and runs on.
constexpr std::int64_t kTimestampLife = 90 * kDay;
constexpr std::int64_t kTimestampAge = kDay;  // then it is signed again

constexpr const char* kTop = "targets";

bool IsTop(const std::string& role) {
  return role == "root" || role == "timestamp" || role == "snapshot" || role == kTop;
}

// A third of its life is left, or less.
bool IsOld(std::int64_t expires_us, std::int64_t life_us, std::int64_t now_us) {
  return expires_us - now_us < life_us / 3;
}

std::string SiteOfPath(std::string_view path) {
  constexpr std::string_view kPrefix = "sites/";
  if (!path.starts_with(kPrefix)) return "";
  path.remove_prefix(kPrefix.size());
  return std::string(path.substr(0, path.find('/')));
}

Json KeyFacts(const TufKeyDirectory& keys, const TufRole& role) {
  Json list = Json::array();
  for (const std::string& id : role.key_ids)
    list.push_back(Json{{"id", id}, {"here", keys.Find(id).has_value()}});
  return list;
}

}  // namespace

Result<PrivateKey> TufKeyDirectory::Find(std::string_view key_id) const {
  // An id comes out of documents, which may be of others.
  if (key_id.empty() || key_id.find_first_not_of("0123456789abcdef") != std::string_view::npos)
    return Fail(ErrorCode::kNotFound, "no key {}", key_id);
  return PrivateKey::Load(directory_ / fmt::format("{}.pem", key_id));
}

Result<PublicKey> TufKeyDirectory::Generate() const {
  SKERRY_ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Generate());
  SKERRY_ASSIGN_OR_RETURN(const std::string pem, key.ToPem());
  SKERRY_RETURN_IF_ERROR(CreateDirectories(directory_, 0700));
  SKERRY_RETURN_IF_ERROR(
      WriteFileDurably(directory_ / fmt::format("{}.pem", TufKeyId(key.public_key())), pem, 0600));
  return key.public_key();
}

Result<TufRepository> TufRepository::Create(TufKeyDirectory keys, std::int64_t now_us) {
  TufRepository made(std::move(keys));
  made.root_.version = 1;
  made.root_.expires_us = now_us + kRootLife;
  for (const char* role : {"root", "timestamp", "snapshot", kTop}) {
    SKERRY_ASSIGN_OR_RETURN(const PublicKey key, made.keys_.Generate());
    made.root_.keys[TufKeyId(key)] = key;
    made.root_.roles[role] = {{TufKeyId(key)}, 1};
  }
  SKERRY_ASSIGN_OR_RETURN(made.root_json_, made.Sign(made.root_.ToJson(), made.root_.role("root")));
  made.Emit("root", 1, made.root_json_);
  SKERRY_RETURN_IF_ERROR(made.AddDelegation(std::string(kTufSitesRole), {"sites/*/*"}));
  SKERRY_RETURN_IF_ERROR(made.SignDirty(now_us));
  return made;
}

Result<TufRepository> TufRepository::Load(TufKeyDirectory keys, std::span<const TufFile> newest) {
  TufRepository loaded(std::move(keys));
  for (const TufFile& file : newest) {
    const std::string type = file.family == kTufDraft ? "root"
                             : IsTop(file.family)     ? file.family
                                                      : kTop;
    SKERRY_ASSIGN_OR_RETURN(TufSigned document,
                            ParseTuf(file.bytes, type, limits::kTufTargetsBytes));
    const Json& body = document.body;
    if (file.family == "root") {
      SKERRY_ASSIGN_OR_RETURN(loaded.root_, TufRoot::FromJson(body));
      loaded.root_json_ = file.bytes;
    } else if (file.family == kTufDraft) {
      loaded.draft_ = std::move(document);
    } else if (file.family == "timestamp") {
      SKERRY_ASSIGN_OR_RETURN(loaded.timestamp_, TufTimestamp::FromJson(body));
    } else if (file.family == "snapshot") {
      SKERRY_ASSIGN_OR_RETURN(loaded.snapshot_, TufSnapshot::FromJson(body));
    } else {
      SKERRY_ASSIGN_OR_RETURN(TufTargets targets, TufTargets::FromJson(body));
      (file.family == kTop ? loaded.top_ : loaded.groups_[file.family]) = std::move(targets);
    }
  }
  if (loaded.root_json_.empty() || loaded.timestamp_.version == 0)
    return Fail(ErrorCode::kDataLoss, "the TUF repository has no root or no timestamp");
  // A draft of a root that has been overtaken.
  if (loaded.draft_ && loaded.draft_->version() <= loaded.root_.version) loaded.draft_.reset();
  return loaded;
}

std::uint64_t TufRepository::Next(std::uint64_t version) const {
  return std::max(version, floor_) + 1;
}

void TufRepository::Emit(const std::string& role, std::uint64_t version, std::string bytes) {
  const std::string name =
      role == "timestamp" ? std::string(kTufTimestampName) : TufMetadataName(role, version);
  files_.push_back({name, role, version, std::move(bytes)});
}

Result<std::string> TufRepository::Sign(Json body, const TufRole& role) const {
  SKERRY_ASSIGN_OR_RETURN(TufSigned document, MakeTuf(std::move(body)));
  for (const std::string& id : role.key_ids) {
    SKERRY_ASSIGN_OR_RETURN(const PrivateKey key, keys_.Find(id));
    SKERRY_RETURN_IF_ERROR(SignTuf(document, key));
  }
  return document.ToJson();
}

const TufDelegation* TufRepository::DelegationOf(std::string_view name) const {
  const auto found = std::ranges::find(top_.delegations, name, &TufDelegation::name);
  return found == top_.delegations.end() ? nullptr : &*found;
}

Status TufRepository::SignTargets(const std::string& name, std::int64_t now_us) {
  TufTargets& targets = name == kTop ? top_ : groups_[name];
  const TufDelegation* delegation = DelegationOf(name);
  if (name != kTop && delegation == nullptr) return {};  // a group that ended
  targets.version = Next(targets.version);
  targets.expires_us = now_us + kTargetsLife;
  SKERRY_ASSIGN_OR_RETURN(
      std::string bytes,
      Sign(targets.ToJson(), delegation == nullptr ? root_.role(kTop) : delegation->role));
  snapshot_.files[name + ".json"] = TufFileRef::Of(targets.version, bytes);
  Emit(name, targets.version, std::move(bytes));
  return {};
}

// A new timestamp means that nobody looks again for a day: what is old is signed with it.
void TufRepository::MarkOld(std::int64_t now_us) {
  if (IsOld(top_.expires_us, kTargetsLife, now_us)) dirty_.insert(kTop);
  for (const auto& [name, targets] : groups_)
    if (IsOld(targets.expires_us, kTargetsLife, now_us) && DelegationOf(name) != nullptr)
      dirty_.insert(name);
}

Status TufRepository::SignDirty(std::int64_t now_us) {
  MarkOld(now_us);
  for (const std::string& name : dirty_) SKERRY_RETURN_IF_ERROR(SignTargets(name, now_us));
  dirty_.clear();
  snapshot_.version = Next(snapshot_.version);
  snapshot_.expires_us = now_us + kTargetsLife;
  SKERRY_ASSIGN_OR_RETURN(std::string bytes, Sign(snapshot_.ToJson(), root_.role("snapshot")));
  timestamp_.version = Next(timestamp_.version);
  timestamp_.expires_us = now_us + kTimestampLife;
  timestamp_.snapshot = TufFileRef::Of(snapshot_.version, bytes);
  Emit("snapshot", snapshot_.version, std::move(bytes));
  SKERRY_ASSIGN_OR_RETURN(bytes, Sign(timestamp_.ToJson(), root_.role("timestamp")));
  Emit("timestamp", timestamp_.version, std::move(bytes));
  return {};
}

void TufRepository::MarkAll() {
  dirty_.insert(kTop);
  for (const TufDelegation& delegation : top_.delegations) dirty_.insert(delegation.name);
}

bool TufRepository::IsDue(const TufTimestamp& timestamp, std::uint64_t floor, std::int64_t now_us) {
  const std::int64_t left_us = timestamp.expires_us - now_us;
  // By a clock that was far ahead for a while, it would be good for ever.
  return timestamp.version <= floor || left_us < kTimestampLife - kTimestampAge ||
         left_us > kTimestampLife + kTimestampAge;
}

Status TufRepository::Refresh(std::int64_t now_us) {
  if (IsOld(root_.expires_us, kRootLife, now_us) && !draft_) {
    SKERRY_ASSIGN_OR_RETURN(TufSigned document, MakeTuf(NextRoot(now_us).ToJson()));
    SKERRY_RETURN_IF_ERROR(OfferRoot(std::move(document), now_us));
  }
  if (timestamp_.version <= floor_) MarkAll();
  return SignDirty(now_us);
}

std::string TufRepository::RoleOfPath(std::string_view path) const {
  for (const TufDelegation& delegation : top_.delegations)
    if (delegation.Matches(path)) return delegation.name;
  return "";
}

Status TufRepository::Publish(const std::string& path, std::string_view bytes,
                              std::int64_t now_us) {
  const std::string role = RoleOfPath(path);
  if (role.empty())
    return Fail(ErrorCode::kInvalidArgument, "no role may say anything of the target {}", path);
  const TufTarget target = TufTarget::Of(bytes);
  groups_[role].targets[path] = target;
  dirty_.insert(role);
  SKERRY_RETURN_IF_ERROR(SignDirty(now_us));
  files_.push_back({TufTargetName(path, target), path, timestamp_.version, std::string(bytes)});
  return {};
}

Status TufRepository::AddDelegation(const std::string& name, std::vector<std::string> paths) {
  SKERRY_ASSIGN_OR_RETURN(const PublicKey key, keys_.Generate());
  top_.keys[TufKeyId(key)] = key;
  TufDelegation delegation{.name = name,
                           .role = {{TufKeyId(key)}, 1},
                           .terminating = true,
                           .paths = std::move(paths),
                           .hash_prefixes = {}};
  // The first that matches decides, and "sites" matches everything.
  top_.delegations.insert(top_.delegations.begin(), std::move(delegation));
  groups_.try_emplace(name);
  dirty_.insert({kTop, name});
  return {};
}

// Each target to the role that is to say it now.
void TufRepository::SortTargets() {
  std::map<std::string, std::map<std::string, TufTarget>> sorted;
  for (auto& [name, targets] : groups_)
    for (auto& [path, target] : targets.targets) sorted[RoleOfPath(path)][path] = target;
  for (auto& [name, targets] : groups_) {
    if (targets.targets == sorted[name]) continue;
    targets.targets = sorted[name];
    dirty_.insert(name);
  }
}

Status TufRepository::SetGroup(const std::string& group, const std::set<std::string>& sites,
                               std::int64_t now_us) {
  SKERRY_RETURN_IF_ERROR(CheckName("group", group));
  if (IsTop(group) || group == kTufSitesRole)
    return Fail(ErrorCode::kInvalidArgument, "a group cannot be called {}", group);
  std::vector<std::string> paths;
  for (const std::string& site : sites) {
    SKERRY_RETURN_IF_ERROR(CheckName("site name", site));
    paths.push_back(fmt::format("sites/{}/*", site));
  }
  // A site is in one group: what it was in loses it.
  for (TufDelegation& other : top_.delegations)
    if (other.name != group)
      std::erase_if(other.paths, [&](const std::string& path) {
        return std::ranges::find(paths, path) != paths.end();
      });
  const auto found = std::ranges::find(top_.delegations, group, &TufDelegation::name);
  if (paths.empty() && found == top_.delegations.end())
    return Fail(ErrorCode::kNotFound, "there is no group {}", group);
  if (found == top_.delegations.end())
    SKERRY_RETURN_IF_ERROR(AddDelegation(group, std::move(paths)));
  else if (!paths.empty())
    found->paths = std::move(paths);
  else
    top_.delegations.erase(found);
  dirty_.insert(kTop);
  SortTargets();
  return SignDirty(now_us);
}

Status TufRepository::RotateDelegated(const std::string& role, std::int64_t now_us) {
  const auto found = std::ranges::find(top_.delegations, role, &TufDelegation::name);
  if (found == top_.delegations.end())
    return Fail(ErrorCode::kNotFound,
                "there is no role {}: root, timestamp, snapshot, targets, "
                "or a group",
                role);
  SKERRY_ASSIGN_OR_RETURN(const PublicKey key, keys_.Generate());
  for (const std::string& id : found->role.key_ids) top_.keys.erase(id);
  top_.keys[TufKeyId(key)] = key;
  found->role = {{TufKeyId(key)}, 1};
  dirty_.insert({kTop, role});
  return SignDirty(now_us);
}

Status TufRepository::Rotate(const std::string& role, std::int64_t now_us) {
  if (!IsTop(role)) return RotateDelegated(role, now_us);
  TufRoot next = NextRoot(now_us);
  TufRole& changed = next.roles[role];
  // Of root, the keys that are elsewhere stay.
  const auto held = std::ranges::find_if(
      changed.key_ids, [&](const std::string& id) { return keys_.Find(id).has_value(); });
  if (held == changed.key_ids.end())
    return Fail(ErrorCode::kFailedPrecondition,
                "no key of the role {} is here: give the new list of keys instead", role);
  SKERRY_ASSIGN_OR_RETURN(const PublicKey key, keys_.Generate());
  next.keys.erase(*held);
  *held = TufKeyId(key);
  next.keys[*held] = key;
  SKERRY_ASSIGN_OR_RETURN(TufSigned document, MakeTuf(next.ToJson()));
  return OfferRoot(std::move(document), now_us);
}

Status TufRepository::SetRootKeys(std::uint64_t threshold, std::span<const PublicKey> keys,
                                  std::int64_t now_us) {
  TufRoot next = NextRoot(now_us);
  for (const std::string& id : next.role("root").key_ids) next.keys.erase(id);
  TufRole role{{}, threshold};
  for (const PublicKey& key : keys) {
    role.key_ids.push_back(TufKeyId(key));
    next.keys[role.key_ids.back()] = key;
  }
  if (threshold == 0 || threshold > keys.size() || keys.size() > limits::kTrustedKeys)
    return Fail(ErrorCode::kInvalidArgument,
                "a root that takes {} of {} keys: at least one, and at most as many as there are "
                "(limit {})",
                threshold, keys.size(), limits::kTrustedKeys);
  next.roles["root"] = std::move(role);
  SKERRY_ASSIGN_OR_RETURN(TufSigned document, MakeTuf(next.ToJson()));
  return OfferRoot(std::move(document), now_us);
}

TufRoot TufRepository::NextRoot(std::int64_t now_us) const {
  TufRoot next = root_;
  if (draft_)
    if (auto drafted = TufRoot::FromJson(draft_->body); drafted) next = std::move(*drafted);
  next.version = root_.version + 1;
  next.expires_us = now_us + kRootLife;
  return next;
}

Status TufRepository::SignRootHere(TufSigned& document, const TufRoot& root) const {
  std::vector<std::string> ids = root_.role("root").key_ids;
  ids.insert(ids.end(), root.role("root").key_ids.begin(), root.role("root").key_ids.end());
  for (const std::string& id : ids) {
    const auto key = keys_.Find(id);
    if (!key && key.error().code() == ErrorCode::kNotFound) continue;
    if (!key) return tl::make_unexpected(key.error());
    if (!document.signatures.contains(id)) SKERRY_RETURN_IF_ERROR(SignTuf(document, *key));
  }
  return {};
}

bool TufRepository::IsSignedEnough(const TufSigned& document, const TufRoot& root) const {
  return VerifyTuf(document, root_.keys, root_.role("root"), "the root").has_value() &&
         VerifyTuf(document, root.keys, root.role("root"), "the root").has_value();
}

Status TufRepository::OfferRoot(TufSigned document, std::int64_t now_us) {
  SKERRY_ASSIGN_OR_RETURN(TufRoot root, TufRoot::FromJson(document.body));
  SKERRY_RETURN_IF_ERROR(SignRootHere(document, root));
  if (!IsSignedEnough(document, root)) {
    files_.push_back({"", std::string(kTufDraft), root.version, document.ToJson()});
    draft_ = std::move(document);
    return {};
  }
  root_json_ = document.ToJson();
  root_ = std::move(root);
  draft_.reset();
  Emit("root", root_.version, root_json_);
  // What its keys sign: by the new ones.
  MarkAll();
  return SignDirty(now_us);
}

Status TufRepository::TakeRoot(std::string_view root_json, std::int64_t now_us) {
  SKERRY_ASSIGN_OR_RETURN(TufSigned offered, ParseTuf(root_json, "root", limits::kTufRootBytes));
  SKERRY_ASSIGN_OR_RETURN(const TufRoot root, TufRoot::FromJson(offered.body));
  if (root.version != root_.version + 1)
    return Fail(ErrorCode::kConflict, "this is root {}; the next is root {}", root.version,
                root_.version + 1);
  // What is no signature of a key that it takes is left out.
  std::erase_if(offered.signatures, [&](const auto& entry) {
    const auto good = [&](const TufKeys& keys) {
      const auto key = keys.find(entry.first);
      return key != keys.end() && key->second.Verify(offered.canonical, entry.second);
    };
    return !good(root_.keys) && !good(root.keys);
  });
  if (draft_ && draft_->canonical == offered.canonical)
    offered.signatures.insert(draft_->signatures.begin(), draft_->signatures.end());
  else if (!IsSignedEnough(offered, root))
    return Fail(ErrorCode::kPermissionDenied,
                "root {} is not the draft of this hub, and is not signed by the keys that it takes",
                root.version);
  return OfferRoot(std::move(offered), now_us);
}

std::vector<std::string> TufRepository::NamesFor(std::string_view path) const {
  std::vector<std::string> names = {std::string(kTufTimestampName),
                                    TufMetadataName("snapshot", snapshot_.version),
                                    TufMetadataName(kTop, top_.version)};
  const auto group = groups_.find(RoleOfPath(path));
  if (group == groups_.end()) return names;
  names.push_back(TufMetadataName(group->first, group->second.version));
  const auto target = group->second.targets.find(std::string(path));
  if (target != group->second.targets.end()) names.push_back(TufTargetName(path, target->second));
  return names;
}

std::optional<std::string> TufRepository::draft_json() const {
  if (!draft_) return std::nullopt;
  return draft_->ToJson();
}

Json TufRepository::ToJson() const {
  Json roles = Json::array();
  const auto add = [&](const std::string& name, std::uint64_t version, std::int64_t expires_us,
                       const TufRole& role) {
    roles.push_back(Json{{"role", name},
                         {"version", version},
                         {"expires", FormatUtc(expires_us)},
                         {"threshold", role.threshold},
                         {"keys", KeyFacts(keys_, role)}});
  };
  add("root", root_.version, root_.expires_us, root_.role("root"));
  add("timestamp", timestamp_.version, timestamp_.expires_us, root_.role("timestamp"));
  add("snapshot", snapshot_.version, snapshot_.expires_us, root_.role("snapshot"));
  add(kTop, top_.version, top_.expires_us, root_.role(kTop));
  for (const TufDelegation& delegation : top_.delegations) {
    const TufTargets& group = groups_.at(delegation.name);
    add(delegation.name, group.version, group.expires_us, delegation.role);
    Json sites = Json::array();
    for (const std::string& path : delegation.paths) sites.push_back(SiteOfPath(path));
    roles.back()["sites"] = std::move(sites);
  }
  Json draft;
  if (draft_)
    if (const auto root = TufRoot::FromJson(draft_->body); root)
      draft = Json{{"version", root->version},
                   {"signatures", draft_->signatures.size()},
                   {"signed_by_old", CountSignatures(*draft_, root_.keys, root_.role("root"))},
                   {"old_threshold", root_.role("root").threshold},
                   {"signed_by_new", CountSignatures(*draft_, root->keys, root->role("root"))},
                   {"new_threshold", root->role("root").threshold}};
  return Json{{"roles", std::move(roles)}, {"draft", std::move(draft)}};
}

std::vector<TufFile> TufRepository::TakeFiles() { return std::exchange(files_, {}); }

}  // namespace skerry
