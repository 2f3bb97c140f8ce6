#include "model/warm_up.h"

#include <vector>

namespace skerry {
namespace {

Result<std::vector<Tensor>> RowOfZeros(const OnnxSession& session) {
  std::vector<Tensor> row;
  for (const TensorSpec& spec : session.inputs()) {
    std::vector<std::int64_t> shape = spec.has_shape ? spec.shape : std::vector<std::int64_t>{1};
    for (std::int64_t& dimension : shape)
      if (dimension == -1) dimension = 1;
    SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const std::size_t elements, CountElements(shape));
    Tensor tensor;
    tensor.name = spec.name;
    tensor.Resize(spec.type, std::move(shape));
    row.push_back(std::move(tensor));
  }
  return row;
}

}  // namespace

Result<std::int64_t> WarmUp(const ModelPackage& package, const Clock& clock) {
  std::int64_t last_us = 0;
  for (int round = 0; round < kWarmUpRuns; ++round) {
    last_us = 0;
    for (const OnnxSession* session : {package.predictor.get(), package.detector.get()}) {
      if (session == nullptr) continue;
      SKERRY_ASSIGN_OR_RETURN(const std::vector<Tensor> row, RowOfZeros(*session));
      const std::int64_t began_us = clock.MonotonicMicros();
      SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const auto outputs, session->Run(row));
      last_us += clock.MonotonicMicros() - began_us;
    }
  }
  return last_us;
}

}  // namespace skerry
