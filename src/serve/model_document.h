// Served models as JSON documents: what can be asked of each.
#pragma once

#include "codec/json.h"
#include "serve/repository.h"

namespace skerry {

// Open Inference Protocol v2, model metadata.
Json OipMetadata(const ModelPackage& package);
// One entry of GET /v1/models: name, version, kind, capture, digest, fields, thresholds.
Json ModelDocument(const ServedModel& model);

}  // namespace skerry
