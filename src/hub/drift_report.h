// Drift as the hub sees it: per site, window and feature the PSI of the site's summaries against
// the reference of the model that scored.
//
// Reads the `summary` records of the lake. Borrows what it is given; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/json.h"
#include "hub/lake.h"
#include "hub/model_shelf.h"
#include "hub/store.h"
#include "insight/drift.h"

namespace skerry {

// A window of fewer rows is shown and not judged: chance alone moves its PSI by about
// (bins - 1) / rows.
constexpr std::uint64_t kDriftJudgedRows = 500;

// One window of one site and model. `fields` has every feature whose counts policy released, then
// the score (field "") where that was released.
struct DriftWindow {
  std::string site;
  std::string model;  // "milling:1"
  std::int64_t window = 0;
  std::int64_t first_event_us = 0;  // 0 where policy dropped it
  std::int64_t last_event_us = 0;
  std::uint64_t rows = 0;
  bool judged() const { return rows >= kDriftJudgedRows; }
  std::vector<FieldDrift> fields;
};

struct DriftReport {
  std::vector<DriftWindow> windows;  // by site, then in the order in which they were made
  // One a site and model, of all their windows taken together.
  std::vector<DriftWindow> overall;
  std::vector<std::string> unknown_models;  // scored with, but not in the registry

  // The form of GET /v1/drift, see docs/api.md.
  Json ToJson() const;
};

// An empty `site` takes all of them.
Result<DriftReport> MakeDriftReport(HubStore& store, LakeReader& lake, ModelShelf& shelf,
                                    std::string_view site);

}  // namespace skerry
