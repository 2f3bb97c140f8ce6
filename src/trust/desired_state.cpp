#include "trust/desired_state.h"

#include <cctype>

#include "base/ids.h"
#include "base/limits.h"
#include "codec/json.h"

namespace skerry {
namespace {

template <typename Ref>
Json RefToJson(const Ref& ref) {
  return Json{{"name", ref.name}, {"version", ref.version}, {"digest", ref.digest.ToString()}};
}

template <typename Ref>
Result<Ref> RefFromJson(const JsonObject& object) {
  SKERRY_ASSIGN_OR_RETURN(std::string name, object.String("name"));
  SKERRY_ASSIGN_OR_RETURN(std::string version, object.String("version"));
  SKERRY_ASSIGN_OR_RETURN(const std::string digest_text, object.String("digest"));
  SKERRY_RETURN_IF_ERROR(CheckName("name", name), object.path());
  SKERRY_RETURN_IF_ERROR(CheckVersion("version", version), object.path());
  SKERRY_ASSIGN_OR_RETURN(Digest digest, Digest::Parse(digest_text), object.path());
  return Ref{std::move(name), std::move(version), std::move(digest)};
}

template <typename Ref>
Result<std::optional<Ref>> OptionalRef(const JsonObject& object, const char* member) {
  if (!object.Has(member)) return std::optional<Ref>();
  SKERRY_ASSIGN_OR_RETURN(const JsonObject inner, object.Object(member));
  SKERRY_ASSIGN_OR_RETURN(Ref ref, RefFromJson<Ref>(inner));
  return std::optional<Ref>(std::move(ref));
}

Result<std::optional<ReleaseRef>> ReleaseOf(const JsonObject& object) {
  if (!object.Has("release")) return std::optional<ReleaseRef>();
  SKERRY_ASSIGN_OR_RETURN(const JsonObject inner, object.Object("release"));
  SKERRY_ASSIGN_OR_RETURN(ModelRef ref, RefFromJson<ModelRef>(inner));
  SKERRY_ASSIGN_OR_RETURN(const bool may_be_older, inner.BoolOr("may_be_older", false));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t since, inner.UintOr("since", 0));
  return std::optional<ReleaseRef>(ReleaseRef{std::move(ref.name), std::move(ref.version),
                                              std::move(ref.digest), may_be_older, since});
}

bool IsDigit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

// Takes a run of digits off the front of `text`, without its leading zeros.
std::string_view TakeNumber(std::string_view& text) {
  std::size_t end = 0;
  while (end < text.size() && IsDigit(text[end])) ++end;
  std::string_view digits = text.substr(0, end);
  text.remove_prefix(end);
  while (digits.size() > 1 && digits.front() == '0') digits.remove_prefix(1);
  return digits;
}

}  // namespace

std::string DesiredStatePath(std::string_view site) {
  return fmt::format("sites/{}/desired.json", site);
}

std::string ModelRef::ToString() const { return name + ":" + version; }
std::string PolicyRef::ToString() const { return name + ":" + version; }
std::string ReleaseRef::ToString() const { return name + ":" + version; }

std::string DesiredState::ToJson() const {
  Json json{{"site", site},
            {"version", version},
            {"issued_at_us", issued_at_us},
            {"active", RefToJson(active)},
            {"model_key_pems", model_key_pems}};
  if (fallback) json["fallback"] = RefToJson(*fallback);
  if (policy) json["policy"] = RefToJson(*policy);
  if (release) {
    json["release"] = RefToJson(*release);
    json["release"]["since"] = release->since;
    if (release->may_be_older) json["release"]["may_be_older"] = true;
  }
  return DumpJson(json);
}

Result<DesiredState> DesiredState::FromJson(std::string_view text) {
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(text, limits::kDesiredStateBytes),
                          "desired state");
  const JsonObject object(json, "desired_state");
  SKERRY_ASSIGN_OR_RETURN(const JsonObject active_object, object.Object("active"));
  SKERRY_ASSIGN_OR_RETURN(ModelRef active, RefFromJson<ModelRef>(active_object));
  SKERRY_ASSIGN_OR_RETURN(auto fallback, OptionalRef<ModelRef>(object, "fallback"));
  SKERRY_ASSIGN_OR_RETURN(auto policy, OptionalRef<PolicyRef>(object, "policy"));
  SKERRY_ASSIGN_OR_RETURN(auto release, ReleaseOf(object));
  SKERRY_ASSIGN_OR_RETURN(std::string site, object.String("site"));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t version, object.Uint("version"));
  SKERRY_ASSIGN_OR_RETURN(const std::int64_t issued_at_us, object.Int("issued_at_us"));
  SKERRY_ASSIGN_OR_RETURN(std::vector<std::string> keys, object.Strings("model_key_pems"));
  SKERRY_RETURN_IF_ERROR(CheckName("site name", site), object.path());
  if (version == 0)
    return Fail(ErrorCode::kInvalidArgument, "desired_state.version is 0; the first is 1");
  if (keys.size() > limits::kTrustedKeys)
    return Fail(ErrorCode::kTooLarge, "desired_state.model_key_pems: {} keys, the limit is {}",
                keys.size(), limits::kTrustedKeys);
  DesiredState state{std::move(site),     version,           issued_at_us,       std::move(active),
                     std::move(fallback), std::move(policy), std::move(release), std::move(keys)};
  SKERRY_RETURN_IF_ERROR(state.ModelKeys());
  return state;
}

Result<std::vector<PublicKey>> DesiredState::ModelKeys() const {
  std::vector<PublicKey> keys;
  for (const std::string& pem : model_key_pems) {
    SKERRY_ASSIGN_OR_RETURN(PublicKey key, PublicKey::FromPem(pem), "desired_state.model_key_pems");
    keys.push_back(std::move(key));
  }
  return keys;
}

Result<DesiredState> ReadDesiredState(std::string_view text, std::string_view site) {
  SKERRY_ASSIGN_OR_RETURN(DesiredState state, DesiredState::FromJson(text));
  if (state.site != site)
    return Fail(ErrorCode::kPermissionDenied, "the desired state is for site {}, this site is {}",
                state.site, site);
  return state;
}

int CompareVersions(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty()) {
    if (IsDigit(a.front()) && IsDigit(b.front())) {
      const std::string_view left = TakeNumber(a);
      const std::string_view right = TakeNumber(b);
      if (left.size() != right.size()) return left.size() < right.size() ? -1 : 1;
      if (const int order = left.compare(right); order != 0) return order;
      continue;
    }
    if (a.front() != b.front())
      return static_cast<unsigned char>(a.front()) < static_cast<unsigned char>(b.front()) ? -1 : 1;
    a.remove_prefix(1);
    b.remove_prefix(1);
  }
  if (a.empty() && b.empty()) return 0;
  return a.empty() ? -1 : 1;
}

}  // namespace skerry
