// What a site should run: the hub's answer, a target of its TUF repository.
//
// Role: the document. Who says it, and that it is the newest, is the repository's business
// (trust/tuf_client.h, SiteIdentity::FollowDesired). A desired state pins the model and policy
// artifacts by manifest digest and lists the keys that may sign models, so these can come by any
// road from anyone.
//   hub:  repository.Publish(DesiredStatePath(site), state.ToJson(), now_us)
//   site: ReadDesiredState(bytes, site)
// Values and free functions; thread-safe. Format: docs/formats/desired-state.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/digest.h"
#include "crypto/key.h"

namespace skerry {

// Its path among the targets: "sites/north/desired.json".
std::string DesiredStatePath(std::string_view site);

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

// A release of skerry itself: repository releases/<name>, tag <version>, manifest `digest`.
struct ReleaseRef {
  std::string name;
  std::string version;
  Digest digest;
  bool may_be_older = false;  // the hub means to go back
  // The version of the desired state that asked for it; asking again is another try.
  std::uint64_t since = 0;

  std::string ToString() const;
  bool operator==(const ReleaseRef&) const = default;
};

struct DesiredState {
  std::string site;
  std::uint64_t version = 0;  // for people and refusals: grows with every change; 0 is none
  std::int64_t issued_at_us = 0;
  ModelRef active;
  std::optional<ModelRef> fallback;   // the only older package that the site may return to
  std::optional<PolicyRef> policy;    // none: nothing but counts leaves the site
  std::optional<ReleaseRef> release;  // none: that which runs
  // Whose signatures make a package, or a release, acceptable.
  std::vector<std::string> model_key_pems;

  std::string ToJson() const;
  // kInvalidArgument names the member. Names and versions obey their grammar (base/ids.h).
  static Result<DesiredState> FromJson(std::string_view text);
  Result<std::vector<PublicKey>> ModelKeys() const;
  bool operator==(const DesiredState&) const = default;
};

// kPermissionDenied: it is another site's.
Result<DesiredState> ReadDesiredState(std::string_view text, std::string_view site);

// Order of version texts: runs of digits by value, everything else byte by byte ("2" < "10",
// "1.9" < "1.10", "1" < "1.1"). Negative, 0, positive.
int CompareVersions(std::string_view a, std::string_view b);

}  // namespace skerry
