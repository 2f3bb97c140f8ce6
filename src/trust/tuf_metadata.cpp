#include "trust/tuf_metadata.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/clock.h"
#include "base/limits.h"
#include "base/tuf_limits.h"
#include "codec/text.h"

namespace skerry {
namespace {

constexpr std::string_view kSpecVersion = "1.0.31";
constexpr std::string_view kKeyType = "ecdsa";
constexpr std::string_view kScheme = "ecdsa-sha2-nistp256";
constexpr std::int64_t kSecond = 1'000'000;
constexpr std::array<const char*, 4> kTopRoles = {"root", "snapshot", "targets", "timestamp"};

Json Head(std::string_view type, std::uint64_t version, std::int64_t expires_us) {
  return Json{{"_type", type},
              {"spec_version", kSpecVersion},
              {"version", version},
              {"expires", FormatUtc(expires_us / kSecond * kSecond)}};
}

Status ReadHead(const JsonObject& object, std::uint64_t& version, std::int64_t& expires_us) {
  SKERRY_ASSIGN_OR_RETURN(version, object.Uint("version"));
  SKERRY_ASSIGN_OR_RETURN(const std::string expires, object.String("expires"));
  SKERRY_ASSIGN_OR_RETURN(expires_us, ParseUtc(expires), object.path());
  if (version == 0 || version > static_cast<std::uint64_t>(INT64_MAX))
    return Fail(ErrorCode::kInvalidArgument, "{}.version is {}", object.path(), version);
  return {};
}

Json RoleJson(const TufRole& role) {
  return Json{{"keyids", role.key_ids}, {"threshold", role.threshold}};
}

Result<TufRole> ReadRole(const JsonObject& object) {
  TufRole role;
  SKERRY_ASSIGN_OR_RETURN(role.key_ids, object.Strings("keyids"));
  SKERRY_ASSIGN_OR_RETURN(role.threshold, object.Uint("threshold"));
  if (role.threshold == 0)
    return Fail(ErrorCode::kInvalidArgument, "{}.threshold is 0", object.path());
  if (role.key_ids.size() > limits::kTrustedKeys)
    return Fail(ErrorCode::kTooLarge, "{}: {} keys, the limit is {}", object.path(),
                role.key_ids.size(), limits::kTrustedKeys);
  if (std::set<std::string>(role.key_ids.begin(), role.key_ids.end()).size() != role.key_ids.size())
    return Fail(ErrorCode::kInvalidArgument, "{}.keyids has a key twice", object.path());
  return role;
}

Json KeysJson(const TufKeys& keys) {
  Json json = Json::object();
  for (const auto& [id, key] : keys) json[id] = TufKeyJson(key);
  return json;
}

// Keys of other kinds are left out.
Result<TufKeys> ReadKeys(const JsonObject& object) {
  TufKeys keys;
  SKERRY_ASSIGN_OR_RETURN(const JsonObject list, object.Object("keys"));
  if (list.json().size() > limits::kTufKeys)
    return Fail(ErrorCode::kTooLarge, "{}.keys: {} keys, the limit is {}", object.path(),
                list.json().size(), limits::kTufKeys);
  for (const auto& [id, value] : list.json().items()) {
    const JsonObject entry(value, fmt::format("{}.keys.{}", object.path(), id));
    SKERRY_ASSIGN_OR_RETURN(const std::string scheme, entry.String("scheme"));
    SKERRY_ASSIGN_OR_RETURN(const JsonObject keyval, entry.Object("keyval"));
    if (scheme != kScheme) continue;
    SKERRY_ASSIGN_OR_RETURN(const std::string pem, keyval.String("public"));
    SKERRY_ASSIGN_OR_RETURN(PublicKey key, PublicKey::FromPem(pem), entry.path());
    keys.emplace(id, std::move(key));
  }
  return keys;
}

Json FileRefJson(const TufFileRef& ref) {
  Json json{{"version", ref.version}};
  if (ref.length) json["length"] = *ref.length;
  if (!ref.sha256.empty()) json["hashes"] = Json{{"sha256", ref.sha256.hex()}};
  return json;
}

// "hashes": {"sha256": hex}; the empty digest where there is none.
Result<Digest> ReadSha256(const JsonObject& object) {
  if (!object.Has("hashes")) return Digest();
  SKERRY_ASSIGN_OR_RETURN(const JsonObject hashes, object.Object("hashes"));
  if (!hashes.Has("sha256")) return Digest();
  SKERRY_ASSIGN_OR_RETURN(const std::string hex, hashes.String("sha256"));
  return Digest::Parse("sha256:" + hex);
}

Result<TufFileRef> ReadFileRef(const JsonObject& object) {
  TufFileRef ref;
  SKERRY_ASSIGN_OR_RETURN(ref.version, object.Uint("version"));
  if (object.Has("length")) {
    SKERRY_ASSIGN_OR_RETURN(ref.length, object.Uint("length"));
  }
  SKERRY_ASSIGN_OR_RETURN(ref.sha256, ReadSha256(object));
  return ref;
}

Result<std::map<std::string, TufFileRef>> ReadFiles(const JsonObject& object) {
  SKERRY_ASSIGN_OR_RETURN(const JsonObject meta, object.Object("meta"));
  std::map<std::string, TufFileRef> files;
  for (const auto& [name, value] : meta.json().items()) {
    SKERRY_ASSIGN_OR_RETURN(
        files[name],
        ReadFileRef(JsonObject(value, fmt::format("{}.meta.{}", object.path(), name))));
  }
  return files;
}

// The name of a role becomes part of a URL and of a file's name.
Status CheckRoleName(const std::string& name) {
  const bool plain = !name.empty() && name.size() <= limits::kTufRoleNameBytes &&
                     name.front() != '.' && name.find_first_of("/\\%?#") == std::string::npos &&
                     std::ranges::none_of(name, [](char c) { return c >= 0 && c < ' '; });
  if (plain && std::ranges::find(kTopRoles, name) == kTopRoles.end()) return {};
  return Fail(ErrorCode::kInvalidArgument, "\"{}\" is no name for a delegated role", name);
}

Result<TufDelegation> ReadDelegation(const JsonObject& object) {
  TufDelegation delegation;
  SKERRY_ASSIGN_OR_RETURN(delegation.name, object.String("name"));
  SKERRY_RETURN_IF_ERROR(CheckRoleName(delegation.name), object.path());
  SKERRY_ASSIGN_OR_RETURN(delegation.role, ReadRole(object));
  SKERRY_ASSIGN_OR_RETURN(delegation.terminating, object.BoolOr("terminating", false));
  if (object.Has("paths")) {
    SKERRY_ASSIGN_OR_RETURN(delegation.paths, object.Strings("paths"));
  }
  if (object.Has("path_hash_prefixes")) {
    SKERRY_ASSIGN_OR_RETURN(delegation.hash_prefixes, object.Strings("path_hash_prefixes"));
  }
  return delegation;
}

Status ReadDelegations(const JsonObject& object, TufTargets& targets) {
  if (!object.Has("delegations")) return {};
  SKERRY_ASSIGN_OR_RETURN(const JsonObject delegations, object.Object("delegations"));
  SKERRY_ASSIGN_OR_RETURN(targets.keys, ReadKeys(delegations));
  if (!delegations.Has("roles")) return {};
  SKERRY_ASSIGN_OR_RETURN(const Json* roles, delegations.Array("roles"));
  for (std::size_t i = 0; i < roles->size(); ++i) {
    SKERRY_ASSIGN_OR_RETURN(
        TufDelegation delegation,
        ReadDelegation(JsonObject((*roles)[i], delegations.ElementPath("roles", i))));
    targets.delegations.push_back(std::move(delegation));
  }
  return {};
}

}  // namespace

Json TufKeyJson(const PublicKey& key) {
  return Json{
      {"keytype", kKeyType}, {"keyval", Json{{"public", key.ToPem()}}}, {"scheme", kScheme}};
}

std::string TufKeyId(const PublicKey& key) {
  // Texts alone, which canonical JSON can always say.
  return std::string(Digest::Sha256(DumpCanonicalJson(TufKeyJson(key)).value()).hex());
}

std::string TufSigned::ToJson() const {
  Json list = Json::array();
  for (const auto& [id, signature] : signatures)
    list.push_back(Json{{"keyid", id}, {"sig", EncodeHex(signature)}});
  return DumpJson(Json{{"signatures", std::move(list)}, {"signed", body}});
}

Result<TufSigned> ParseTuf(std::string_view text, std::string_view type, std::size_t max_bytes) {
  SKERRY_ASSIGN_OR_RETURN(Json json, ParseJson(text, max_bytes), type);
  const JsonObject object(json, std::string(type));
  TufSigned document;
  SKERRY_ASSIGN_OR_RETURN(const JsonObject body, object.Object("signed"));
  SKERRY_ASSIGN_OR_RETURN(const std::string found, body.String("_type"));
  SKERRY_ASSIGN_OR_RETURN(const std::string spec, body.String("spec_version"));
  if (found != type)
    return Fail(ErrorCode::kInvalidArgument, "{}: the document is of the type {}", type, found);
  if (!spec.starts_with("1."))
    return Fail(ErrorCode::kUnimplemented, "{}: TUF {} is not known here, 1.0 is", type, spec);
  std::uint64_t version = 0;
  std::int64_t expires_us = 0;
  SKERRY_RETURN_IF_ERROR(ReadHead(body, version, expires_us));
  SKERRY_ASSIGN_OR_RETURN(const Json* list, object.Array("signatures"));
  if (list->size() > limits::kTufKeys)
    return Fail(ErrorCode::kTooLarge, "{}: {} signatures, the limit is {}", type, list->size(),
                limits::kTufKeys);
  for (std::size_t i = 0; i < list->size(); ++i) {
    const JsonObject entry((*list)[i], object.ElementPath("signatures", i));
    SKERRY_ASSIGN_OR_RETURN(std::string id, entry.String("keyid"));
    SKERRY_ASSIGN_OR_RETURN(const std::string hex, entry.String("sig"));
    SKERRY_ASSIGN_OR_RETURN(std::string signature, DecodeHex(hex), entry.path());
    if (!document.signatures.emplace(std::move(id), std::move(signature)).second)
      return Fail(ErrorCode::kInvalidArgument, "{}: two signatures of one key", type);
  }
  SKERRY_ASSIGN_OR_RETURN(document.canonical, DumpCanonicalJson(body.json()), type);
  document.body = std::move(json["signed"]);
  return document;
}

Result<TufSigned> MakeTuf(Json body) {
  TufSigned document;
  SKERRY_ASSIGN_OR_RETURN(document.canonical, DumpCanonicalJson(body));
  document.body = std::move(body);
  return document;
}

Status SignTuf(TufSigned& document, const PrivateKey& key) {
  SKERRY_ASSIGN_OR_RETURN(document.signatures[TufKeyId(key.public_key())],
                          key.Sign(document.canonical));
  return {};
}

std::uint64_t CountSignatures(const TufSigned& document, const TufKeys& keys, const TufRole& role) {
  std::set<std::string> signers;  // by the key itself
  for (const std::string& id : role.key_ids) {
    const auto key = keys.find(id);
    const auto signature = document.signatures.find(id);
    if (key == keys.end() || signature == document.signatures.end()) continue;
    if (key->second.Verify(document.canonical, signature->second))
      signers.insert(key->second.key_id());
  }
  return signers.size();
}

Status VerifyTuf(const TufSigned& document, const TufKeys& keys, const TufRole& role,
                 std::string_view what) {
  const std::uint64_t good = CountSignatures(document, keys, role);
  if (good >= role.threshold) return {};
  return Fail(ErrorCode::kPermissionDenied, "{} is signed by {} of the {} keys that it takes", what,
              good, role.threshold);
}

TufFileRef TufFileRef::Of(std::uint64_t version, std::string_view bytes) {
  return {version, bytes.size(), Digest::Sha256(bytes)};
}

Status TufFileRef::Check(std::string_view what, std::string_view bytes) const {
  if (length && *length != bytes.size())
    return Fail(ErrorCode::kDataLoss, "{} has {} bytes, what refers to it says {}", what,
                bytes.size(), *length);
  if (!sha256.empty() && Digest::Sha256(bytes) != sha256)
    return Fail(ErrorCode::kDataLoss, "{} is not the one that is referred to ({})", what,
                sha256.ToString());
  return {};
}

Json TufRoot::ToJson() const {
  Json json = Head("root", version, expires_us);
  json["consistent_snapshot"] = true;
  json["keys"] = KeysJson(keys);
  json["roles"] = Json::object();
  for (const auto& [name, role] : roles) json["roles"][name] = RoleJson(role);
  return json;
}

Result<TufRoot> TufRoot::FromJson(const Json& body) {
  const JsonObject object(body, "root");
  TufRoot root;
  SKERRY_RETURN_IF_ERROR(ReadHead(object, root.version, root.expires_us));
  SKERRY_ASSIGN_OR_RETURN(const bool consistent, object.BoolOr("consistent_snapshot", false));
  if (!consistent)
    return Fail(ErrorCode::kUnimplemented, "root: only consistent snapshots are read");
  SKERRY_ASSIGN_OR_RETURN(root.keys, ReadKeys(object));
  SKERRY_ASSIGN_OR_RETURN(const JsonObject roles, object.Object("roles"));
  for (const char* name : kTopRoles) {
    SKERRY_ASSIGN_OR_RETURN(const JsonObject role, roles.Object(name));
    SKERRY_ASSIGN_OR_RETURN(root.roles[name], ReadRole(role));
  }
  return root;
}

Json TufTimestamp::ToJson() const {
  Json json = Head("timestamp", version, expires_us);
  json["meta"] = Json{{"snapshot.json", FileRefJson(snapshot)}};
  return json;
}

Result<TufTimestamp> TufTimestamp::FromJson(const Json& body) {
  const JsonObject object(body, "timestamp");
  TufTimestamp timestamp;
  SKERRY_RETURN_IF_ERROR(ReadHead(object, timestamp.version, timestamp.expires_us));
  SKERRY_ASSIGN_OR_RETURN(const auto files, ReadFiles(object));
  const auto snapshot = files.find("snapshot.json");
  if (snapshot == files.end())
    return Fail(ErrorCode::kInvalidArgument, "timestamp.meta: 'snapshot.json' is missing");
  timestamp.snapshot = snapshot->second;
  return timestamp;
}

Json TufSnapshot::ToJson() const {
  Json json = Head("snapshot", version, expires_us);
  json["meta"] = Json::object();
  for (const auto& [name, ref] : files) json["meta"][name] = FileRefJson(ref);
  return json;
}

Result<TufSnapshot> TufSnapshot::FromJson(const Json& body) {
  const JsonObject object(body, "snapshot");
  TufSnapshot snapshot;
  SKERRY_RETURN_IF_ERROR(ReadHead(object, snapshot.version, snapshot.expires_us));
  SKERRY_ASSIGN_OR_RETURN(snapshot.files, ReadFiles(object));
  return snapshot;
}

TufTarget TufTarget::Of(std::string_view bytes) { return {bytes.size(), Digest::Sha256(bytes)}; }

Status TufTarget::Check(std::string_view path, std::string_view bytes) const {
  if (bytes.size() == length && Digest::Sha256(bytes) == sha256) return {};
  return Fail(ErrorCode::kDataLoss, "{} is not the target that is signed for ({})", path,
              sha256.ToString());
}

bool TufDelegation::Matches(std::string_view path) const {
  const std::string text(path);
  if (std::ranges::any_of(paths, [&](const std::string& pattern) {
        return ::fnmatch(pattern.c_str(), text.c_str(), FNM_PATHNAME | FNM_NOESCAPE) == 0;
      }))
    return true;
  const Digest digest = Digest::Sha256(path);
  return std::ranges::any_of(
      hash_prefixes, [&](const std::string& prefix) { return digest.hex().starts_with(prefix); });
}

Json TufTargets::ToJson() const {
  Json json = Head("targets", version, expires_us);
  json["targets"] = Json::object();
  for (const auto& [path, target] : targets)
    json["targets"][path] =
        Json{{"length", target.length}, {"hashes", Json{{"sha256", target.sha256.hex()}}}};
  if (delegations.empty()) return json;
  Json roles = Json::array();
  for (const TufDelegation& delegation : delegations) {
    Json role = RoleJson(delegation.role);
    role["name"] = delegation.name;
    role["terminating"] = delegation.terminating;
    role["paths"] = delegation.paths;
    roles.push_back(std::move(role));
  }
  json["delegations"] = Json{{"keys", KeysJson(keys)}, {"roles", std::move(roles)}};
  return json;
}

Result<TufTargets> TufTargets::FromJson(const Json& body) {
  const JsonObject object(body, "targets");
  TufTargets targets;
  SKERRY_RETURN_IF_ERROR(ReadHead(object, targets.version, targets.expires_us));
  SKERRY_ASSIGN_OR_RETURN(const JsonObject list, object.Object("targets"));
  for (const auto& [path, value] : list.json().items()) {
    const JsonObject entry(value, "targets.targets");
    TufTarget target;
    SKERRY_ASSIGN_OR_RETURN(target.length, entry.Uint("length"));
    SKERRY_ASSIGN_OR_RETURN(target.sha256, ReadSha256(entry));
    if (target.sha256.empty())
      return Fail(ErrorCode::kUnimplemented, "targets: {} has no SHA-256", path);
    targets.targets.emplace(path, std::move(target));
  }
  SKERRY_RETURN_IF_ERROR(ReadDelegations(object, targets));
  return targets;
}

std::string TufMetadataName(std::string_view role, std::uint64_t version) {
  return fmt::format("metadata/{}.{}.json", version, role);
}

std::string TufTargetName(std::string_view path, const TufTarget& target) {
  const std::size_t slash = path.rfind('/');
  const std::size_t name = slash == std::string_view::npos ? 0 : slash + 1;
  return fmt::format("targets/{}{}.{}", path.substr(0, name), target.sha256.hex(),
                     path.substr(name));
}

}  // namespace skerry
