// Writes a model package directory as a whole or not at all.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "train/model_fit.h"

namespace skerry {

// kAlreadyExists when `out` is there, kInvalidArgument when its parent is not a directory: to be
// asked before the work, so that nobody waits for a refusal.
Status CheckOutput(const std::filesystem::path& out);

// model.onnx, detector.onnx, schema.json, reference.json, card.md, report.json, each synced, into a
// temporary directory beside `out`, which then gets that name by one rename. `data` says for the
// card where the rows are from, a line each.
Status WritePackage(const FittedPackage& package, const std::vector<std::string>& data,
                    const std::filesystem::path& out);

}  // namespace skerry
