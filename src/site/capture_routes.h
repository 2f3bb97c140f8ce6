// What scorers of their own ask of the site: to keep their rows, and for the package to score with.
//
//   POST /v1/capture                  a message of docs/formats/hand-over.md ->
//                                     {"kept":true,"active":"sha256:..."}; "kept" means durable
//   GET  /v1/capture/package {"name","version","digest","files":{"model.onnx":"sha256:..."}} GET
//   /v1/capture/package/{file}?digest=...   the file, of the package that runs
//
// Only with `Authorization: Bearer KEY`, a key of the scorers' file (serve/api_keys.h). The rows go
// through the policy of their package and into the journal as if this site had scored them. Errors
// of POST: 400 what is wrong with the message, 412 a package that the site does not run, 409 a
// number that the scorer has gone on from, 503 not kept, and what became of the number is not
// known. Everything is borrowed and outlives the server. Handlers run on the server's pool.
#pragma once

#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "http/server.h"
#include "outbox/outbox.h"
#include "serve/api_keys.h"
#include "site/active_model.h"
#include "site/journal.h"

namespace skerry {

struct CaptureParts {
  const ApiKeys* keys = nullptr;
  Outbox* outbox = nullptr;
  const ActiveModel* active = nullptr;
  Journal* journal = nullptr;  // null when it is off
  const Clock* clock = nullptr;
  MetricRegistry* metrics = nullptr;
};

std::vector<Route> CaptureRoutes(const CaptureParts& parts);

}  // namespace skerry
