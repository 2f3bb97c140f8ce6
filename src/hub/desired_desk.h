// What each site should run: makes, signs and keeps the desired states.
//
// Every change gets the next version and a fresh expiry; the envelope is kept as it was signed, so
// that link and media carry the same bytes. Borrows what it is given; thread-safe; durable on
// return.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "crypto/key.h"
#include "hub/model_shelf.h"
#include "hub/store.h"
#include "trust/desired_state.h"

namespace skerry {

struct DesiredRequest {
  std::string site;
  std::string model;     // "milling:1"
  std::string fallback;  // empty: none
  std::string policy;    // empty: none
};

class DesiredDesk {
 public:
  DesiredDesk(HubStore& store, ModelShelf& shelf, const PrivateKey& hub_key,
              const PrivateKey& model_key, const Clock& clock)
      : store_(&store),
        shelf_(&shelf),
        hub_key_(&hub_key),
        model_key_(&model_key),
        clock_(&clock) {}

  // kNotFound for an unknown site, model or policy.
  Result<DesiredState> Set(const DesiredRequest& request);
  // The signed envelope; kNotFound until Set.
  Result<std::string> Envelope(std::string_view site);
  // Nothing until Set.
  Result<std::optional<DesiredState>> Current(std::string_view site);

 private:
  HubStore* store_;
  ModelShelf* shelf_;
  const PrivateKey* hub_key_;
  const PrivateKey* model_key_;
  const Clock* clock_;
};

}  // namespace skerry
