// What each site should run: makes the desired states, keeps them, and publishes each as a target
// of the hub's TUF repository (trust_desk.h), in one transaction. Borrows what it is given;
// thread-safe; durable on return.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "crypto/key.h"
#include "hub/model_shelf.h"
#include "hub/store.h"
#include "hub/trust_desk.h"
#include "trust/desired_state.h"

namespace skerry {

struct DesiredRequest {
  std::string site;
  std::string model;     // "milling:1"
  std::string fallback;  // empty: none
  std::string policy;    // empty: none
};

struct ReleaseRequest {
  std::string site;
  std::string release;  // "skerry-linux-amd64:0.2.0"; empty: that which runs
  bool may_be_older = false;
};

class DesiredDesk {
 public:
  DesiredDesk(HubStore& store, ModelShelf& shelf, TrustDesk& trust, const PrivateKey& model_key,
              const Clock& clock)
      : store_(&store), shelf_(&shelf), trust_(&trust), model_key_(&model_key), clock_(&clock) {}

  // kNotFound for an unknown site, model or policy. The release stays.
  Result<DesiredState> Set(const DesiredRequest& request);
  // The same desired state with another release of skerry, or none; kFailedPrecondition before the
  // first Set.
  Result<DesiredState> SetRelease(const ReleaseRequest& request);
  // Nothing until Set.
  Result<std::optional<DesiredState>> Current(std::string_view site);

 private:
  static Result<std::uint64_t> NextVersion(Database& db, std::uint64_t before);
  // Keeps the state under its version, and publishes it.
  Status Put(Database& db, DesiredState& state);

  HubStore* store_;
  ModelShelf* shelf_;
  TrustDesk* trust_;
  const PrivateKey* model_key_;
  const Clock* clock_;
};

}  // namespace skerry
