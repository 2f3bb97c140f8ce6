// The part that training and retraining share: encoded rows in; exported, compared and judged
// models out. Nothing is written here.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/package.h"
#include "model/reference.h"
#include "model/schema.h"
#include "model/session.h"
#include "train/boosted_trees.h"
#include "train/matrix.h"
#include "train/report_plots.h"
#include "train/trainer.h"

namespace skerry {

// Trees that another engine fitted to the rows of a FitInput.
struct LearntTrees {
  CrossValidation inner{};  // scores of the training rows
  FittedTrees fitted{};     // scores of the training rows, then of the held-out
  // Of every row that they were fitted to, where FitInput has a part of them.
  std::vector<FeatureReference> features{};
};

struct FitInput {
  ModelSchema schema{};
  LabelledRows training{};
  LabelledRows holdout{};  // may be empty
  // A fold number a training row; empty: dealt so that rows of equal features stay together.
  std::vector<std::uint8_t> folds{};
  std::size_t released_rows = 0;  // the last rows of `training` that came back from sites
  ThresholdGoal threshold{};      // of a binary task
  CalibrationKind calibration = CalibrationKind::kNone;  // of a binary task
  std::vector<SliceColumn> slices{};  // of the held-out rows; without any, of the training rows
  HyperParameters parameters{};
  int search = 0;  // configurations, `parameters` among them; 0: no search
  DetectorParameters detector{};
  std::uint64_t seed = 1;
  ProgressSink progress{};
  CancelCheck cancelled{};
  const LearntTrees* learnt = nullptr;  // null: the trees are fitted here
};

// What TrainOptions say, of rows that are still to be filled in; the same for every engine.
FitInput MakeFitInput(const TrainOptions& options, ModelSchema schema);

// What goes into the package directory, and the figures so far (everything but name, version, rows
// read, digest and seconds).
struct FittedPackage {
  std::string model_onnx{}, detector_onnx{};
  ModelSchema schema{};
  ModelReference reference{};
  TrainReport report{};
  // Answers to the held-out rows; without any, to the training rows by the inner folds' models.
  std::vector<float> judged_outputs{}, judged_anomaly_scores{};
  std::vector<PlotFile> plots{};  // of those
};

// kInvalidArgument: fewer than kMinRowsPerClass rows of a class in training, or a hold-out of one
// class. kInternal: an exported graph that differs from its trainer on any row by more than
// kMaxOnnxDifference; by more than kMaxLooseDifference where the trainer's arithmetic is not the
// graph's: a calibration (scaled leaves are rounded again), and the detector.
constexpr std::size_t kMinRowsPerClass = 10;
constexpr double kMaxOnnxDifference = 1e-6;
constexpr double kMaxLooseDifference = 1e-5;
Result<FittedPackage> FitPackage(const FitInput& input);

// AUC, average precision and the figures at the threshold, with intervals.
ModelScores JudgeScores(const ScoredRows& rows, double threshold, const ThresholdGoal& goal,
                        const BootstrapOptions& options);

}  // namespace skerry
