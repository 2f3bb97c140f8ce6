#include "model/scorer.h"

#include <cmath>

namespace skerry {
namespace {

bool IsOutOfRange(const Field& field, const FeatureReference& reference, float value) {
  if (std::isnan(value)) return false;
  if (field.type == FieldType::kCategory)
    return value < 0 || value >= static_cast<float>(field.categories.size());
  return value < static_cast<float>(reference.min) || value > static_cast<float>(reference.max);
}

void FindOutOfRange(RowBatch& batch) {
  const ModelPackage& package = *batch.package;
  batch.out_of_range.resize(batch.rows);
  for (auto& row : batch.out_of_range) row.clear();
  std::size_t feature = 0;
  for (const Field& field : package.schema.fields) {
    if (field.role != FieldRole::kFeature) continue;
    const FeatureReference& reference = package.reference.features[feature];
    for (std::size_t row = 0; row < batch.rows; ++row)
      if (IsOutOfRange(field, reference, batch.Row(row)[feature]))
        batch.out_of_range[row].push_back(static_cast<std::uint16_t>(feature));
    ++feature;
  }
}

}  // namespace

Status ScoreRows(RowBatch& batch) {
  if (!batch.package || batch.package->bare)
    return Fail(ErrorCode::kInvalidArgument, "a bare ONNX model has no schema to score rows with");
  const ModelPackage& package = *batch.package;
  const std::size_t columns = package.reference.features.size();
  if (batch.rows == 0 || batch.features.size() != batch.rows * columns)
    return Fail(ErrorCode::kInvalidArgument, "expected {} rows of {} features, got {} values",
                batch.rows, columns, batch.features.size());
  // The predictor's output has two columns; the first is overwritten by P(class 1) in place.
  batch.score.resize(batch.rows * 2);
  SKERRY_RETURN_IF_ERROR(package.predictor->RunMatrix(
      batch.features, batch.rows, columns, package.probabilities_output, batch.score, 2));
  for (std::size_t row = 0; row < batch.rows; ++row) batch.score[row] = batch.score[row * 2 + 1];
  batch.score.resize(batch.rows);
  batch.anomaly_score.clear();
  if (package.detector) {
    batch.anomaly_score.resize(batch.rows);
    SKERRY_RETURN_IF_ERROR(package.detector->RunMatrix(
        batch.features, batch.rows, columns, package.anomaly_output, batch.anomaly_score, 1));
  }
  batch.prediction.resize(batch.rows);
  for (std::size_t row = 0; row < batch.rows; ++row)
    batch.prediction[row] = batch.score[row] >= static_cast<float>(package.reference.threshold);
  FindOutOfRange(batch);
  return {};
}

}  // namespace skerry
