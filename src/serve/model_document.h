// Served models as JSON documents: what can be asked of each.
#pragma once

#include <string>
#include <vector>

#include "codec/json.h"
#include "serve/repository.h"

namespace skerry {

// Open Inference Protocol v2, model metadata. `versions` are those served under the name; empty:
// the package's own.
Json OipMetadata(const ModelPackage& package, const std::vector<std::string>& versions = {});
// Triton's model configuration, in the names of its model_config.proto; the part that clients ask
// for. max_batch_size is 0, so dims hold every dimension.
Json ModelConfig(const ServedModel& model);
// Triton's statistics extension, in the names of its ModelStatisticsResponse.
Json StatisticsDocument(const std::vector<StatisticsReading>& readings);
// One entry of GET /v1/models: name, version, kind, capture, digest, fields, thresholds.
Json ModelDocument(const ServedModel& model);

}  // namespace skerry
