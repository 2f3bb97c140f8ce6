#include "serve/package_outputs.h"

#include <array>

namespace skerry {
namespace {

constexpr PackageOutput kAnomaly = {"anomaly_score", TensorType::kFloat32,
                                    PackageOutputKind::kAnomalyScore};
constexpr std::array<PackageOutput, 4> kOfClasses = {
    {{"probabilities", TensorType::kFloat32, PackageOutputKind::kProbabilities},
     {"prediction", TensorType::kString, PackageOutputKind::kPrediction},
     {"score", TensorType::kFloat32, PackageOutputKind::kScore},
     kAnomaly}};
constexpr std::array<PackageOutput, 2> kOfNumbers = {
    {{"value", TensorType::kFloat32, PackageOutputKind::kScore}, kAnomaly}};

}  // namespace

std::span<const PackageOutput> OutputsOf(const ModelPackage& package) {
  std::span<const PackageOutput> outputs = kOfClasses;
  if (package.schema.classes.empty()) outputs = kOfNumbers;
  if (!package.predictor) outputs = outputs.last(1);
  return package.detector ? outputs : outputs.first(outputs.size() - 1);
}

const PackageOutput* FindOutput(const ModelPackage& package, std::string_view name) {
  for (const PackageOutput& output : OutputsOf(package))
    if (output.name == name) return &output;
  return nullptr;
}

}  // namespace skerry
