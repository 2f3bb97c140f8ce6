// What a site should run: the hub's signed answer, by link or media.
//
// Role: the document, its signature and the order of its versions. Who may sign is the site's list
// of hub keys (SiteIdentity). A desired state pins the model and policy artifacts by manifest
// digest and lists the keys that may sign models, so these can come by any road from anyone.
//   hub:  SignDesiredState(state, hub_key) -> envelope JSON
//   site: VerifyDesiredState(envelope, hub_keys, site); CheckDesiredStateOrder(state, floor)
// Values and free functions; thread-safe. Format: docs/formats/desired-state.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/digest.h"
#include "crypto/key.h"

namespace skerry {

// DSSE payload type.
constexpr std::string_view kDesiredStateType = "application/vnd.skerry.desired-state.v1+json";

// A model package: repository models/<name>, tag <version>, manifest `digest`.
struct ModelRef {
  std::string name;
  std::string version;
  Digest digest;

  std::string ToString() const;  // "milling:1"
  bool operator==(const ModelRef&) const = default;
};

// A policy artifact: repository policies/<name>, tag <version>, manifest `digest`.
struct PolicyRef {
  std::string name;
  std::string version;
  Digest digest;

  std::string ToString() const;
  bool operator==(const PolicyRef&) const = default;
};

struct DesiredState {
  std::string site;
  std::uint64_t version = 0;  // grows by at least 1 with every change; 0 is no version
  std::int64_t issued_at_us = 0;
  std::int64_t expires_us = 0;
  ModelRef active;
  std::optional<ModelRef> fallback;         // the only older package that the site may return to
  std::optional<PolicyRef> policy;          // none: nothing but counts leaves the site
  std::vector<std::string> model_key_pems;  // whose signatures make a package acceptable

  std::string ToJson() const;
  // kInvalidArgument names the member. Names and versions obey their grammar (base/ids.h).
  static Result<DesiredState> FromJson(std::string_view text);
  Result<std::vector<PublicKey>> ModelKeys() const;
  // Expiry alarms and never stops anything (design, invariant 6).
  bool ExpiredAt(std::int64_t utc_us) const { return utc_us >= expires_us; }
  bool operator==(const DesiredState&) const = default;
};

// A DSSE envelope (JSON text) of kDesiredStateType.
Result<std::string> SignDesiredState(const DesiredState& state, const PrivateKey& hub_key);

// kPermissionDenied: no hub key signed it, or it is another site's. Expiry is not judged here.
Result<DesiredState> VerifyDesiredState(std::string_view envelope_json,
                                        std::span<const PublicKey> hub_keys, std::string_view site);

// kConflict when `offered` is older than `held`, or has its version with other content. Equal is
// fine (a repeat). `held` empty accepts anything.
Status CheckDesiredStateOrder(const DesiredState& offered, const std::optional<DesiredState>& held);

// Order of version texts: runs of digits by value, everything else byte by byte ("2" < "10",
// "1.9" < "1.10", "1" < "1.1"). Negative, 0, positive.
int CompareVersions(std::string_view a, std::string_view b);

}  // namespace skerry
