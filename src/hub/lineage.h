// Where an answer comes from: the model that gave it, what that was made of, and so on back to the
// first training.
#pragma once

#include <cstddef>
#include <string>

#include "base/error.h"
#include "codec/json.h"
#include "hub/model_shelf.h"

namespace skerry {

// `model` is "name:version". A list, the model first, each the one before it: {"model", "digest",
// "made_of", "segments", "software"}. `made_of` are name and digest of what was read (tables, an
// imported graph), `segments` the files of the lake whose labelled rows it was retrained on:
// {"file", "digest", "rows"}. Ends with a model that has no other before it, or with {"missing":
// why} for one that the registry does not hold (any more). At most kLineageModels.
Result<Json> LineageOf(ModelShelf& shelf, const std::string& model);

constexpr std::size_t kLineageModels = 100;

}  // namespace skerry
