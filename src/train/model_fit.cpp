#include "train/model_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "train/boosted_trees.h"
#include "train/isolation_forest.h"
#include "train/logistic_regression.h"
#include "train/onnx_export.h"
#include "train/row_plan.h"

namespace skerry {
namespace {

// Different draws from one seed for the parts that draw.
constexpr std::uint64_t kDetectorSalt = 0x9E3779B97F4A7C15U;

void Say(const FitInput& input, std::string_view line) {
  if (input.progress) input.progress(line);
}

Status CheckClasses(const FitInput& input) {
  const std::size_t positives = input.training.positives();
  const std::size_t negatives = input.training.rows() - positives;
  const ModelSchema& schema = input.schema;
  for (const auto& [rows, word] :
       {std::pair(negatives, schema.classes[0]), std::pair(positives, schema.classes[1])})
    if (rows < kMinRowsPerClass)
      return Fail(ErrorCode::kInvalidArgument,
                  "only {} training rows have label '{}'; at least {} are needed", rows, word,
                  kMinRowsPerClass);
  const std::size_t held_out = input.holdout.rows();
  if (held_out > 0 && (input.holdout.positives() == 0 || input.holdout.positives() == held_out))
    return Fail(ErrorCode::kInvalidArgument,
                "the {} held-out rows have one class only: hold out more rows, or use another seed",
                held_out);
  return {};
}

LabelledRows Concatenate(const LabelledRows& a, const LabelledRows& b) {
  LabelledRows all = a;
  const auto append = [](auto& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  append(all.features.values, b.features.values);
  append(all.labels, b.labels);
  append(all.weights, b.weights);
  return all;
}

Result<double> LargestDifference(std::span<const float> trainer, std::span<const float> exported,
                                 std::string_view what) {
  double largest = 0;
  for (std::size_t i = 0; i < trainer.size(); ++i) {
    const double difference = std::abs(static_cast<double>(trainer[i]) - exported[i]);
    if (!(difference <= kMaxOnnxDifference))
      return Fail(ErrorCode::kInternal,
                  "the exported {} gives {} where its trainer gives {} (row {})", what, exported[i],
                  trainer[i], i + 1);
    largest = std::max(largest, difference);
  }
  return largest;
}

// How well the inner folds tell the released rows' labels apart.
void JudgeReleased(const FitInput& input, std::span<const float> out_of_fold, TrainReport& report) {
  report.released_rows = input.released_rows;
  if (input.released_rows == 0) return;
  const std::size_t first = input.training.rows() - input.released_rows;
  const Metric metrics[] = {AreaUnderRoc};
  report.released_auc = BootstrapIntervals({out_of_fold.subspan(first),
                                            std::span(input.training.labels).subspan(first)},
                                           metrics, {.seed = input.seed})
                            .front();
}

// What the site's scores are compared with: those of this model on rows that it has not seen. The
// folds' models are others, and on a skewed score that alone looks like drift; they stand in where
// few rows were held out.
void KeepScoreReference(std::span<const float> held_out, std::span<const float> out_of_fold,
                        ModelReference& reference) {
  constexpr std::size_t kFewRows =
      200;  // deciles of fewer move by more than the alarm's quiet band
  const auto scores = held_out.size() < kFewRows ? out_of_fold : held_out;
  reference.score_edges = DecileEdges(scores);
  reference.score_counts = CountBins(reference.score_edges, scores);
}

// Fits, exports and compares the classifier. `all` are the training rows followed by the held-out.
Result<std::vector<float>> FitClassifier(const FitInput& input, const LabelledRows& all,
                                         FittedPackage& package) {
  Say(input,
      fmt::format("choosing the number of trees on inner folds of {} rows", input.training.rows()));
  SKERRY_ASSIGN_OR_RETURN(
      const CrossValidation inner,
      CrossValidate(input.training,
                    input.folds.empty() ? FoldsOf(input.training, input.seed) : input.folds,
                    input.parameters, input.seed, input.cancelled));
  const ScoredRows out_of_fold{inner.scores, input.training.labels};
  const double threshold = ThresholdOfMaxF1(CountScores(out_of_fold));
  package.reference.threshold = threshold;
  package.report.cross_validation = JudgeScores(out_of_fold, threshold, {.seed = input.seed});
  package.report.trees = inner.rounds;
  JudgeReleased(input, inner.scores, package.report);

  Say(input, fmt::format("fitting {} trees to {} rows", inner.rounds, input.training.rows()));
  SKERRY_ASSIGN_OR_RETURN(
      const FittedTrees fitted,
      FitTrees(input.training, input.parameters, inner.rounds, input.seed, all, input.cancelled));
  package.model_onnx = ExportBoostedTrees(fitted.ensemble, all.features.columns);
  SKERRY_ASSIGN_OR_RETURN(const auto session,
                          OnnxSession::LoadBytes(package.model_onnx, "model.onnx"));
  SKERRY_ASSIGN_OR_RETURN(std::vector<float> scores,
                          RunGraph(*session, all.features, "probabilities", 2, 1));
  SKERRY_ASSIGN_OR_RETURN(package.report.max_model_difference,
                          LargestDifference(fitted.scores, scores, "classifier"));
  KeepScoreReference(std::span(scores).subspan(input.training.rows()), inner.scores,
                     package.reference);
  const std::vector<const Field*> fields = input.schema.features();
  for (std::size_t i = 0; i < fields.size(); ++i)
    package.report.gains.emplace_back(fields[i]->name, fitted.ensemble.gains[i]);
  std::stable_sort(package.report.gains.begin(), package.report.gains.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return scores;
}

Status FitDetector(const FitInput& input, const LabelledRows& all, FittedPackage& package) {
  Say(input, fmt::format("growing the anomaly detector: {} trees", input.detector.trees));
  const IsolationForest forest =
      GrowIsolationForest(input.training.features, input.detector, input.seed ^ kDetectorSalt);
  package.detector_onnx = ExportIsolationForest(forest, all.features.columns);
  SKERRY_ASSIGN_OR_RETURN(const auto session,
                          OnnxSession::LoadBytes(package.detector_onnx, "detector.onnx"));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<float> exported,
                          RunGraph(*session, all.features, "anomaly_score", 1, 0));
  const std::vector<float> own = forest.Score(all.features);
  SKERRY_ASSIGN_OR_RETURN(package.report.max_detector_difference,
                          LargestDifference(own, exported, "detector"));
  package.reference.anomaly_threshold =
      AlarmThreshold(std::span(exported).first(input.training.rows()), input.detector.alarm_rate);
  return {};
}

void JudgeOnHoldout(const FitInput& input, std::span<const float> scores, FittedPackage& package) {
  const LabelledRows& holdout = input.holdout;
  const double threshold = package.reference.threshold;
  const BootstrapOptions options{.seed = input.seed};
  package.report.model = JudgeScores({scores, holdout.labels}, threshold, options);

  const LogisticRegression baseline =
      LogisticRegression::Fit(input.training, input.schema, input.seed);
  const std::vector<float> fitted = baseline.Score(input.training.features);
  const double baseline_threshold = ThresholdOfMaxF1(CountScores({fitted, input.training.labels}));
  const std::vector<float> baseline_scores = baseline.Score(holdout.features);
  package.report.logistic_regression =
      JudgeScores({baseline_scores, holdout.labels}, baseline_threshold, options);

  const bool mostly_positive = input.training.positives() * 2 > input.training.rows();
  const std::vector<float> constant(holdout.rows(), mostly_positive ? 1.0F : 0.0F);
  package.report.majority = JudgeScores({constant, holdout.labels}, 0.5, options);
}

}  // namespace

Result<std::vector<float>> RunGraph(const OnnxSession& session, const FeatureMatrix& rows,
                                    std::string_view output, std::size_t out_columns,
                                    std::size_t column) {
  constexpr std::size_t kBlockRows = 4'096;
  SKERRY_ASSIGN_OR_RETURN(const std::size_t index,
                          session.RequireMatrix(rows.columns, output, out_columns));
  std::vector<float> results;
  results.reserve(rows.rows());
  std::vector<float> block;
  for (std::size_t first = 0; first < rows.rows(); first += kBlockRows) {
    const std::size_t count = std::min(kBlockRows, rows.rows() - first);
    block.resize(count * out_columns);
    SKERRY_RETURN_IF_ERROR(session.RunMatrix(
        std::span(rows.values).subspan(first * rows.columns, count * rows.columns), count,
        rows.columns, index, block, out_columns));
    for (std::size_t i = 0; i < count; ++i) results.push_back(block[i * out_columns + column]);
  }
  return results;
}

ModelScores JudgeScores(const ScoredRows& rows, double threshold, const BootstrapOptions& options) {
  const Metric metrics[] = {AreaUnderRoc, AveragePrecision, [threshold](const ScoreCounts& counts) {
                              return ConfusionAt(counts, threshold).f1();
                            }};
  const std::vector<Interval> intervals = BootstrapIntervals(rows, metrics, options);
  return {.auc = intervals[0],
          .average_precision = intervals[1],
          .f1 = intervals[2],
          .confusion = ConfusionAt(CountScores(rows), threshold)};
}

Result<FittedPackage> FitPackage(const FitInput& input) {
  SKERRY_RETURN_IF_ERROR(CheckClasses(input));
  FittedPackage package;
  package.schema = input.schema;
  package.reference.rows = input.training.rows();
  const std::vector<const Field*> fields = input.schema.features();
  for (std::size_t i = 0; i < fields.size(); ++i)
    package.reference.features.push_back(
        MakeFeatureReference(*fields[i], input.training.features.Column(i)));

  const LabelledRows all = Concatenate(input.training, input.holdout);
  SKERRY_ASSIGN_OR_RETURN(const std::vector<float> scores, FitClassifier(input, all, package));
  SKERRY_RETURN_IF_ERROR(FitDetector(input, all, package));
  if (input.holdout.rows() > 0)
    JudgeOnHoldout(input, std::span(scores).subspan(input.training.rows()), package);

  TrainReport& report = package.report;
  report.seed = input.seed;
  report.training_rows = input.training.rows();
  report.holdout_rows = input.holdout.rows();
  report.rows = report.training_rows + report.holdout_rows;
  report.training_positives = input.training.positives();
  report.holdout_positives = input.holdout.positives();
  report.threshold = package.reference.threshold;
  report.anomaly_threshold = package.reference.anomaly_threshold;
  report.parameters = input.parameters;
  report.detector = input.detector;
  return package;
}

}  // namespace skerry
