#include "model/scorer.h"

#include <algorithm>
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

// Of several classes the first of those that are most probable.
void ChooseClasses(RowBatch& batch, std::size_t classes) {
  batch.prediction.resize(batch.rows);
  batch.score.resize(batch.rows);
  for (std::size_t row = 0; row < batch.rows; ++row) {
    const auto first = batch.probabilities.begin() + static_cast<std::ptrdiff_t>(row * classes);
    const auto best = std::max_element(first, first + static_cast<std::ptrdiff_t>(classes));
    batch.prediction[row] = static_cast<std::uint8_t>(best - first);
    batch.score[row] = *best;
  }
}

// The predictor's columns, [rows][features] where nothing is derived.
Result<std::span<const float>> InputsOf(RowBatch& batch) {
  batch.inputs.clear();
  const DerivedColumns& derived = batch.package->derived;
  if (derived.empty()) return batch.features;
  const ModelSchema& schema = batch.package->schema;
  if (batch.windows.size() != batch.rows * schema.windows.size()) {
    batch.windows.resize(batch.rows * schema.windows.size());
    SKERRY_RETURN_IF_ERROR(WindowState(schema).Take({}, batch.features, batch.windows));
  }
  derived.Expand(batch.features, batch.windows, batch.inputs);
  return batch.inputs;
}

// What the predictor says.
Status Predict(RowBatch& batch) {
  const ModelPackage& package = *batch.package;
  batch.score.clear();
  batch.prediction.clear();
  batch.probabilities.clear();
  if (!package.predictor) return {};
  const std::size_t columns = PredictorColumns(package.schema);
  const bool several = package.schema.task == ModelTask::kMulticlass;
  std::vector<float>& out = several ? batch.probabilities : batch.score;
  out.resize(batch.rows * columns);
  SKERRY_ASSIGN_OR_RETURN(const std::span<const float> inputs, InputsOf(batch));
  SKERRY_RETURN_IF_ERROR(package.predictor->RunMatrix(
      inputs, batch.rows, inputs.size() / batch.rows, package.predictor_output, out, columns));
  if (several) ChooseClasses(batch, columns);
  if (package.schema.task != ModelTask::kBinary) return {};
  // Of the two columns the first is overwritten by P(class 1) in place.
  for (std::size_t row = 0; row < batch.rows; ++row) batch.score[row] = batch.score[row * 2 + 1];
  batch.score.resize(batch.rows);
  batch.prediction.resize(batch.rows);
  for (std::size_t row = 0; row < batch.rows; ++row)
    batch.prediction[row] = batch.score[row] >= static_cast<float>(package.reference.threshold);
  return {};
}

}  // namespace

Status LookBack(RowBatch& batch, WindowState& state) {
  const std::size_t entity = state.entity_text();
  std::span<const std::string> entities;
  if (entity < batch.texts.size()) entities = batch.texts[entity];
  batch.windows.resize(batch.rows * batch.package->schema.windows.size());
  return state.Take(entities, batch.features, batch.windows);
}

Status ScoreRows(RowBatch& batch) {
  if (!batch.package || batch.package->bare)
    return Fail(ErrorCode::kInvalidArgument, "a bare ONNX model has no schema to score rows with");
  const ModelPackage& package = *batch.package;
  const std::size_t columns = package.reference.features.size();
  if (batch.rows == 0 || batch.features.size() != batch.rows * columns)
    return Fail(ErrorCode::kInvalidArgument, "expected {} rows of {} features, got {} values",
                batch.rows, columns, batch.features.size());
  SKERRY_RETURN_IF_ERROR(Predict(batch));
  batch.anomaly_score.clear();
  if (package.detector) {
    batch.anomaly_score.resize(batch.rows);
    SKERRY_RETURN_IF_ERROR(package.detector->RunMatrix(
        batch.features, batch.rows, columns, package.anomaly_output, batch.anomaly_score, 1));
  }
  FindOutOfRange(batch);
  return {};
}

}  // namespace skerry
