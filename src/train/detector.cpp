#include "train/detector.h"

#include <algorithm>
#include <utility>

#include "base/limits.h"
#include "train/isolation_forest.h"
#include "train/metrics.h"
#include "train/onnx_export.h"
#include "train/pca_detector.h"
#include "train/splits.h"

namespace skerry {
namespace {

std::vector<FoldRows> PartByFold(std::span<const std::uint8_t> folds) {
  std::vector<FoldRows> parts;
  for (const std::uint8_t number : FoldNumbers(folds)) {
    FoldRows& fold = parts.emplace_back(RowsOfFold(folds, number));
    if (fold.inside.empty()) fold.inside = fold.outside;  // one fold is all that there is
  }
  return parts;
}

Result<LearntDetector> LearnForest(const DetectorParameters& parameters, const FeatureMatrix& rows,
                                   const std::vector<FoldRows>& folds, std::uint64_t seed,
                                   const CancelCheck& cancelled) {
  IsolationForest forest = GrowIsolationForest(rows, parameters, seed);
  LearntDetector learnt{.graph = ExportIsolationForest(forest, rows.columns),
                        .out_of_fold = std::vector<float>(rows.rows())};
  for (const FoldRows& fold : folds) {
    if (cancelled && cancelled()) return Fail(ErrorCode::kUnavailable, "interrupted");
    const std::vector<float> scores =
        GrowIsolationForest(rows.Select(fold.inside), parameters, seed)
            .Score(rows.Select(fold.outside));
    for (std::size_t i = 0; i < scores.size(); ++i) learnt.out_of_fold[fold.outside[i]] = scores[i];
  }
  learnt.score = [forest = std::move(forest)](const FeatureMatrix& of) { return forest.Score(of); };
  return learnt;
}

Status CheckPca(const FeatureMatrix& rows) {
  const auto categories =
      static_cast<std::size_t>(std::count(rows.categorical.begin(), rows.categorical.end(), 1));
  const std::size_t numbers = rows.columns - categories;
  if (numbers <= limits::kPcaFeatures) return {};
  return Fail(ErrorCode::kTooLarge,
              "a detector by PCA takes up to {} numbers (kPcaFeatures) and there are {}: ignore "
              "some, or use --detector isolation-forest",
              limits::kPcaFeatures, numbers);
}

FeatureMatrix SelectNormal(const FeatureMatrix& rows, std::vector<std::size_t> wanted,
                           std::span<const std::uint8_t> normal) {
  std::erase_if(wanted, [&](std::size_t row) { return normal[row] == 0; });
  return rows.Select(wanted);
}

Result<LearntDetector> LearnPca(const DetectorParameters& parameters, const LabelledRows& training,
                                const std::vector<FoldRows>& folds, const CancelCheck& cancelled) {
  const FeatureMatrix& rows = training.features;
  SKERRY_RETURN_IF_ERROR(CheckPca(rows));
  const std::vector<std::uint8_t> normal = NormalRows(training);
  std::vector<std::size_t> every(rows.rows());
  for (std::size_t row = 0; row < every.size(); ++row) every[row] = row;
  PcaDetector detector = FitPca(SelectNormal(rows, every, normal));
  if (detector.components == 0)
    return Fail(ErrorCode::kInvalidArgument,
                "no feature is a number that varies among normal rows, and a detector by PCA needs "
                "one: use --detector isolation-forest");
  PcaDetector::Distances distances{.t2 = std::vector<double>(rows.rows()),
                                   .q = std::vector<double>(rows.rows())};
  for (const FoldRows& fold : folds) {
    if (cancelled && cancelled()) return Fail(ErrorCode::kUnavailable, "interrupted");
    const PcaDetector::Distances part =
        FitPca(SelectNormal(rows, fold.inside, normal), detector.components)
            .Measure(rows.Select(fold.outside));
    for (std::size_t i = 0; i < fold.outside.size(); ++i) {
      distances.t2[fold.outside[i]] = part.t2[i];
      distances.q[fold.outside[i]] = part.q[i];
    }
  }
  const auto limit = [&](const std::vector<double>& of) {
    return LimitOfRate(std::vector<float>(of.begin(), of.end()), normal, parameters.alarm_rate);
  };
  detector.t2_limit = limit(distances.t2);
  detector.q_limit = limit(distances.q);
  LearntDetector learnt{.graph = detector.Export(), .out_of_fold = detector.Score(distances)};
  learnt.facts = {.components = detector.components,
                  .explained_variance = detector.explained,
                  .t2_limit = detector.t2_limit,
                  .q_limit = detector.q_limit};
  for (std::size_t i = 0; i < rows.columns; ++i)
    if (detector.scales[i] == 0) learnt.left_out.push_back(i);
  learnt.score = [detector = std::move(detector)](const FeatureMatrix& of) {
    return detector.Score(detector.Measure(of));
  };
  return learnt;
}

}  // namespace

std::vector<std::uint8_t> NormalRows(const LabelledRows& rows) {
  std::vector<std::uint8_t> normal(rows.rows(), 1);
  if (rows.task == ModelTask::kBinary)
    for (std::size_t row = 0; row < normal.size(); ++row) normal[row] = rows.labels[row] == 0;
  return normal;
}

double LimitOfRate(std::span<const float> values, std::span<const std::uint8_t> normal,
                   double alarm_rate) {
  std::vector<float> kept;
  for (std::size_t row = 0; row < values.size(); ++row)
    if (normal[row] != 0) kept.push_back(values[row]);
  const std::vector<std::uint8_t> labels(kept.size(), 0);
  return ThresholdOfAlarmRate(CountScores({kept, labels}), alarm_rate);
}

Result<LearntDetector> LearnDetector(const DetectorParameters& parameters,
                                     const LabelledRows& training,
                                     std::span<const std::uint8_t> folds, std::uint64_t seed,
                                     const CancelCheck& cancelled) {
  const std::vector<FoldRows> parts = PartByFold(folds);
  if (parameters.kind == DetectorKind::kPca)
    return LearnPca(parameters, training, parts, cancelled);
  return LearnForest(parameters, training.features, parts, seed, cancelled);
}

}  // namespace skerry
