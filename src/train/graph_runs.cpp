#include "train/graph_runs.h"

#include "base/parallel.h"

namespace skerry {
namespace {

// A block of rows at a time, whose derived columns, if any, are all that is added to memory.
// `windows`: of the rows, where the graph takes them.
Result<std::vector<float>> RunBlocks(const OnnxSession& session, const FeatureMatrix& rows,
                                     const FeatureMatrix& windows, const DerivedColumns& derived,
                                     std::string_view output, std::size_t out_columns) {
  constexpr std::size_t kBlockRows = 4'096;
  const std::size_t columns = rows.columns + derived.size();
  SKERRY_ASSIGN_OR_RETURN(const std::size_t index,
                          session.RequireMatrix(columns, output, out_columns));
  std::vector<float> results(rows.rows() * out_columns);
  const auto run = [&](std::size_t first, std::size_t count) {
    std::span<const float> block =
        std::span(rows.values).subspan(first * rows.columns, count * rows.columns);
    std::vector<float> expanded;
    if (!derived.empty()) {
      derived.Expand(
          block,
          std::span(windows.values).subspan(first * windows.columns, count * windows.columns),
          expanded);
      block = expanded;
    }
    return session.RunMatrix(block, count, columns, index,
                             std::span(results).subspan(first * out_columns, count * out_columns),
                             out_columns);
  };
  SKERRY_RETURN_IF_ERROR(ForBlocks(rows.rows(), kBlockRows, run));
  return results;
}

}  // namespace

Result<std::vector<float>> RunWholeGraph(const OnnxSession& session, const FeatureMatrix& rows,
                                         std::string_view output, std::size_t out_columns) {
  return RunBlocks(session, rows, {}, {}, output, out_columns);
}

Result<std::vector<float>> RunPredictor(const ModelPackage& package, const LabelledRows& rows) {
  return RunBlocks(*package.predictor, rows.features, rows.windows, package.derived,
                   PredictorOutputName(package.schema), PredictorColumns(package.schema));
}

Result<std::vector<float>> OutputsOf(const ModelPackage& package, const LabelledRows& rows) {
  SKERRY_ASSIGN_OR_RETURN(std::vector<float> outputs, RunPredictor(package, rows));
  if (package.schema.task != ModelTask::kBinary) return outputs;
  for (std::size_t row = 0; row < rows.rows(); ++row) outputs[row] = outputs[row * 2 + 1];
  outputs.resize(rows.rows());
  return outputs;
}

Result<std::vector<float>> RunGraph(const OnnxSession& session, const FeatureMatrix& rows,
                                    std::string_view output, std::size_t out_columns,
                                    std::size_t column) {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<float> all,
                          RunWholeGraph(session, rows, output, out_columns));
  std::vector<float> results;
  results.reserve(rows.rows());
  for (std::size_t i = column; i < all.size(); i += out_columns) results.push_back(all[i]);
  return results;
}

}  // namespace skerry
