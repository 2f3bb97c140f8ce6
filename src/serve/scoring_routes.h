// The scoring API: the Open Inference Protocol v2 (REST) and skerry's own /v1/score.
//
//   GET  /v2 · /v2/health/live · /v2/health/ready
//   GET  /v2/models/{model}[/versions/{version}][/ready]
//   POST /v2/models/{model}[/versions/{version}]/infer
//   GET  /v2/models/{model}[/versions/{version}]/{config,stats} · /v2/models/stats
//   POST /v2/repository/index · /v2/repository/models/{model}/{load,unload}
//   GET  /openapi.json (openapi.json beside this file says the same)
//   GET  /v1/models · POST /v1/score[?model=NAME][&explain=1]
//
// Requests and answers: docs/formats/scoring-api.md. Source: Open Inference Protocol v2,
// kserve.github.io/open-inference-protocol. Every refused request is 4xx {"error": "..."} that
// names the field or tensor, what was expected and what came.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "http/server.h"
#include "serve/capture.h"
#include "serve/model_library.h"
#include "serve/repository.h"
#include "serve/row_numbers.h"

namespace skerry {

class ApiKeys;
class RunQueue;

// Everything is borrowed and must outlive the server that the routes are given to.
struct ScoringParts {
  ModelRepository* repository = nullptr;
  RowNumbers* row_numbers = nullptr;
  const Clock* clock = nullptr;
  MetricRegistry* metrics = nullptr;
  CaptureSink* capture = nullptr;     // null: every model is served as with capture off
  RunQueue* queue = nullptr;          // null: every model runs on the thread that read the request
  ModelLibrary* library = nullptr;    // null: models are loaded and unloaded by this process alone
  const ApiKeys* api_keys = nullptr;  // null: clients need no key
  std::string server_name = "skerry";
  std::string server_version{};
};

// Score runs inline on the event loop that read the request, and so does infer but for models that
// the queue takes; load, unload and explained scores on the server's workers; scores of CSV and
// NDJSON on its stream workers.
std::vector<Route> ScoringRoutes(const ScoringParts& parts);

}  // namespace skerry
