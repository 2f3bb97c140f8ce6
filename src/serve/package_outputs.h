// Which outputs a package's model has in the Open Inference Protocol, by its task. Inside serve.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "model/package.h"
#include "model/tensor.h"

namespace skerry {

enum class PackageOutputKind : std::uint8_t {
  kProbabilities,  // [N,K], a class each
  kPrediction,     // [N], the class's word
  kScore,          // [N]: RowBatch::score
  kAnomalyScore,   // [N]
};
struct PackageOutput {
  std::string_view name;
  TensorType type;
  PackageOutputKind kind;
};

// Of classes probabilities, prediction and score; of a regression value; with a detector
// anomaly_score. In this order; never empty. Not for bare graphs.
std::span<const PackageOutput> OutputsOf(const ModelPackage& package);
// Null when there is none of that name.
const PackageOutput* FindOutput(const ModelPackage& package, std::string_view name);

}  // namespace skerry
