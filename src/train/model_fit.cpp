#include "train/model_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "train/detector.h"
#include "train/graph_runs.h"
#include "train/logistic_regression.h"
#include "train/onnx_export.h"
#include "train/row_plan.h"
#include "train/search.h"

namespace skerry {
namespace {

// Different draws from one seed for the parts that draw.
constexpr std::uint64_t kDetectorSalt = 0x9E3779B97F4A7C15U;

void Say(const FitInput& input, std::string_view line) {
  if (input.progress) input.progress(line);
}

Status CheckClasses(const FitInput& input) {
  std::vector<std::size_t> rows(input.schema.classes.size(), 0);
  for (const std::uint8_t label : input.training.labels) ++rows[label];
  for (std::size_t k = 0; k < rows.size(); ++k)
    if (rows[k] < kMinRowsPerClass)
      return Fail(ErrorCode::kInvalidArgument,
                  "only {} training rows have label '{}'; at least {} are needed", rows[k],
                  input.schema.classes[k], kMinRowsPerClass);
  const std::size_t held_out = input.holdout.rows();
  if (input.schema.task != ModelTask::kBinary || held_out == 0) return {};
  if (input.holdout.positives() == 0 || input.holdout.positives() == held_out)
    return Fail(ErrorCode::kInvalidArgument,
                "the {} held-out rows have one class only: hold out more rows, or use another seed",
                held_out);
  return {};
}

// Of tasks without classes.
Status CheckRows(const FitInput& input) {
  if (input.training.rows() >= 2 * kMinRowsPerClass) return {};
  return Fail(ErrorCode::kInvalidArgument, "only {} training rows; at least {} are needed",
              input.training.rows(), 2 * kMinRowsPerClass);
}

std::size_t AllRows(const FitInput& input) { return input.training.rows() + input.holdout.rows(); }

// What `score` gives of the training rows, followed by what it gives of the held-out rows.
template <typename Score>
Result<std::vector<float>> OnAllRows(const FitInput& input, const Score& score) {
  Result<std::vector<float>> scores = score(input.training.features);
  if (!scores || input.holdout.rows() == 0) return scores;
  SKERRY_ASSIGN_OR_RETURN(const std::vector<float> others, score(input.holdout.features));
  scores->insert(scores->end(), others.begin(), others.end());
  return scores;
}

// `columns` values a row; of numbers the difference is relative to the trainer's.
struct Agreement {
  std::size_t columns = 1;
  bool relative = false;
  double most = kMaxOnnxDifference;
};
Result<double> LargestDifference(std::span<const float> trainer, std::span<const float> exported,
                                 const Agreement& agreement, std::string_view what) {
  double largest = 0;
  for (std::size_t i = 0; i < trainer.size(); ++i) {
    double difference = std::abs(static_cast<double>(trainer[i]) - exported[i]);
    if (agreement.relative && trainer[i] != 0)
      difference /= std::abs(static_cast<double>(trainer[i]));
    if (!(difference <= agreement.most))
      return Fail(ErrorCode::kInternal,
                  "the exported {} gives {} where its trainer gives {} (row {})", what, exported[i],
                  trainer[i], i / agreement.columns + 1);
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

// Figures from the inner folds; of a binary classifier the threshold too.
void JudgeFolds(const FitInput& input, const CrossValidation& inner, FittedPackage& package) {
  const BootstrapOptions options{.seed = input.seed};
  const LabelledRows& rows = input.training;
  if (rows.task == ModelTask::kMulticlass)
    package.report.task_folds = JudgeClasses(inner.scores, rows.labels, rows.classes, options);
  if (rows.task == ModelTask::kRegression)
    package.report.task_folds = JudgeValues(inner.scores, rows.targets, options);
  if (rows.task != ModelTask::kBinary) return;
  const ScoredRows out_of_fold{inner.scores, rows.labels};
  const double threshold = ThresholdFor(input.threshold, CountScores(out_of_fold));
  package.reference.threshold = threshold;
  package.reference.threshold_goal = input.threshold;
  package.report.cross_validation = JudgeScores(out_of_fold, threshold, input.threshold, options);
  JudgeReleased(input, inner.scores, package.report);
}

// What RowBatch::score is of rows with these outputs.
std::vector<float> ScoresOf(std::span<const float> outputs, std::size_t columns) {
  std::vector<float> scores;
  for (std::size_t i = 0; i < outputs.size(); i += columns)
    scores.push_back(*std::max_element(outputs.begin() + static_cast<std::ptrdiff_t>(i),
                                       outputs.begin() + static_cast<std::ptrdiff_t>(i + columns)));
  return scores;
}

// Makes probabilities of the inner folds' scores, and keeps what they were worth before and after.
void CalibrateFolds(const FitInput& input, std::span<const std::uint8_t> folds,
                    std::vector<float>& scores, CalibrationReport& report) {
  const LabelledRows& rows = input.training;
  const BootstrapOptions options{.seed = input.seed};
  if (input.calibration == CalibrationKind::kNone) {
    report.folds = JudgeProbabilities({scores, rows.labels}, options);
    return;
  }
  report.folds_before = JudgeProbabilities({scores, rows.labels}, options);
  report.folds = JudgeProbabilities(
      {CalibrateAcrossFolds(input.calibration, scores, rows, folds), rows.labels}, options);
  report.function = FitCalibration(input.calibration, scores, rows.labels, rows.weights);
  scores = Calibrate(report.function, scores);
}

// The same of the fitted trees' scores, which are compared with XGBoost's on the way.
Status CalibrateScores(const FitInput& input, FittedTrees& fitted, FittedPackage& package) {
  const Calibration& calibration = package.report.calibration.function;
  if (calibration.kind == CalibrationKind::kNone) return {};
  SKERRY_ASSIGN_OR_RETURN(package.model_onnx, CalibrateGraph(package.model_onnx, calibration));
  const auto margins_of = [&](const FeatureMatrix& rows) -> Result<std::vector<float>> {
    return MarginsOf(fitted.ensemble, rows);
  };
  SKERRY_ASSIGN_OR_RETURN(const std::vector<float> margins, OnAllRows(input, margins_of));
  const auto apply = [&](const Calibration& function) {
    std::vector<float> scores;
    for (const float margin : margins) scores.push_back(static_cast<float>(function.Apply(margin)));
    return scores;
  };
  SKERRY_ASSIGN_OR_RETURN(
      [[maybe_unused]] const double difference,
      LargestDifference(fitted.scores, apply({}), {}, "margin, before calibration,"));
  if (input.holdout.rows() > 0)
    package.report.calibration.holdout_before = JudgeProbabilities(
        {std::span(fitted.scores).subspan(input.training.rows()), input.holdout.labels},
        {.seed = input.seed});
  fitted.scores = apply(calibration);
  return {};
}

// How many trees, and by which parameters, which are put into the report.
Result<CrossValidation> ChooseRounds(const FitInput& input, std::span<const std::uint8_t> folds,
                                     TrainReport& report) {
  report.parameters = input.parameters;
  if (input.learnt != nullptr) return input.learnt->inner;
  if (input.search > 0) {
    Say(input, fmt::format("trying {} choices of parameters on inner folds of {} rows",
                           input.search, input.training.rows()));
    SKERRY_ASSIGN_OR_RETURN(SearchOutcome found,
                            SearchParameters(input.training, folds, input.parameters, input.search,
                                             input.seed, input.progress, input.cancelled));
    report.parameters = found.parameters;
    report.search = std::move(found.facts);
    return std::move(found.inner);
  }
  Say(input,
      fmt::format("choosing the number of trees on inner folds of {} rows", input.training.rows()));
  return CrossValidate(input.training, folds, input.parameters, input.seed, input.cancelled);
}

Result<FittedTrees> FitOrTake(const FitInput& input, const TrainReport& report) {
  if (input.learnt != nullptr) return input.learnt->fitted;
  Say(input, fmt::format("fitting {} trees to {} rows", report.trees, input.training.rows()));
  return FitTrees(input.training, report.parameters, report.trees, input.seed, input.holdout,
                  input.cancelled);
}

// Fits, exports and compares the predictor, of rows with its columns. The exported graph's answers,
// as FittedTrees::scores.
Result<std::vector<float>> FitPredictor(const FitInput& input, std::span<const std::uint8_t> folds,
                                        FittedPackage& package) {
  SKERRY_ASSIGN_OR_RETURN(CrossValidation inner, ChooseRounds(input, folds, package.report));
  const bool binary = input.schema.task == ModelTask::kBinary;
  if (binary) CalibrateFolds(input, folds, inner.scores, package.report.calibration);
  JudgeFolds(input, inner, package);
  package.report.trees = inner.rounds;

  SKERRY_ASSIGN_OR_RETURN(FittedTrees fitted, FitOrTake(input, package.report));
  Say(input, "exporting the trees");
  package.model_onnx = ExportBoostedTrees(fitted.ensemble, input.training.features.columns);
  if (binary) SKERRY_RETURN_IF_ERROR(CalibrateScores(input, fitted, package));
  SKERRY_ASSIGN_OR_RETURN(const auto session,
                          OnnxSession::LoadBytes(package.model_onnx, "model.onnx"));
  Say(input, fmt::format("comparing the exported trees with XGBoost's on {} rows", AllRows(input)));
  const std::size_t columns = input.training.outputs();
  const bool calibrated = input.calibration != CalibrationKind::kNone;
  const Agreement agreement{.columns = columns,
                            .relative = input.training.task == ModelTask::kRegression,
                            .most = calibrated ? kMaxLooseDifference : kMaxOnnxDifference};
  const auto answers = [&](const FeatureMatrix& rows) {
    return binary ? RunGraph(*session, rows, "probabilities", 2, 1)
                  : RunWholeGraph(*session, rows, PredictorOutputName(input.schema), columns);
  };
  SKERRY_ASSIGN_OR_RETURN(std::vector<float> scores, OnAllRows(input, answers));
  SKERRY_ASSIGN_OR_RETURN(package.report.max_model_difference,
                          LargestDifference(fitted.scores, scores, agreement, "predictor"));
  const auto held_out = std::span(scores).subspan(input.training.rows() * columns);
  KeepScoreReference(ScoresOf(held_out, columns), ScoresOf(inner.scores, columns),
                     package.reference);
  package.judged_outputs = held_out.empty() ? std::move(inner.scores)
                                            : std::vector<float>(held_out.begin(), held_out.end());
  const std::vector<std::string_view> names = input.schema.input_names();
  for (std::size_t i = 0; i < names.size(); ++i)
    package.report.gains.emplace_back(names[i], fitted.ensemble.gains[i]);
  std::stable_sort(package.report.gains.begin(), package.report.gains.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return scores;
}

// The same for a schema that derives features or has windows, of rows with their fields alone.
Result<std::vector<float>> FitWithDerived(const FitInput& input,
                                          std::span<const std::uint8_t> folds,
                                          FittedPackage& package) {
  const DerivedColumns derived(input.schema);
  FitInput expanded = input;
  expanded.training = input.training.WithDerived(derived);
  if (input.holdout.rows() > 0) expanded.holdout = input.holdout.WithDerived(derived);
  return FitPredictor(expanded, folds, package);
}

// Learns, exports and compares the detector, and says how often it raises alarms.
Status FitDetector(const FitInput& input, std::span<const std::uint8_t> folds,
                   FittedPackage& package) {
  const bool forest = input.detector.kind == DetectorKind::kIsolationForest;
  Say(input, forest ? fmt::format("growing the anomaly detector: {} trees", input.detector.trees)
                    : "fitting the anomaly detector: PCA");
  SKERRY_ASSIGN_OR_RETURN(LearntDetector learnt,
                          LearnDetector(input.detector, input.training, folds,
                                        input.seed ^ kDetectorSalt, input.cancelled));
  package.detector_onnx = std::move(learnt.graph);
  SKERRY_ASSIGN_OR_RETURN(const auto session,
                          OnnxSession::LoadBytes(package.detector_onnx, "detector.onnx"));
  const auto answers = [&](const FeatureMatrix& rows) {
    return RunGraph(*session, rows, "anomaly_score", 1, 0);
  };
  SKERRY_ASSIGN_OR_RETURN(const std::vector<float> exported, OnAllRows(input, answers));
  const auto own_scores = [&](const FeatureMatrix& rows) -> Result<std::vector<float>> {
    return learnt.score(rows);
  };
  SKERRY_ASSIGN_OR_RETURN(const std::vector<float> own, OnAllRows(input, own_scores));
  TrainReport& report = package.report;
  const Agreement agreement{.relative = !forest, .most = kMaxLooseDifference};
  SKERRY_ASSIGN_OR_RETURN(report.max_detector_difference,
                          LargestDifference(own, exported, agreement, "detector"));
  report.detector = input.detector;
  report.detector_facts = std::move(learnt.facts);
  for (const std::size_t i : learnt.left_out)
    report.detector_facts.left_out.push_back(input.schema.features()[i]->name);
  const auto held_out = std::span(exported).subspan(input.training.rows());
  const std::vector<float> out_of_fold = std::move(learnt.out_of_fold);
  const double threshold =
      LimitOfRate(out_of_fold, NormalRows(input.training), input.detector.alarm_rate);
  package.reference.anomaly_threshold = threshold;
  package.reference.anomaly_alarm_rate = input.detector.alarm_rate;
  package.reference.detector = report.DetectorWords();
  const bool alone = input.schema.task == ModelTask::kAnomaly;
  if (alone) KeepScoreReference(held_out, out_of_fold, package.reference);
  const auto judge = [&](std::span<const float> scores, const LabelledRows& rows) {
    const bool labelled = input.schema.task == ModelTask::kBinary;
    return JudgeAlarms(scores, labelled ? std::span(rows.labels) : std::span<std::uint8_t>{},
                       threshold, {.seed = input.seed});
  };
  (alone ? report.task_folds : report.alarm_folds) = judge(out_of_fold, input.training);
  if (!held_out.empty())
    (alone ? report.task_model : report.alarm_holdout) = judge(held_out, input.holdout);
  package.judged_anomaly_scores =
      held_out.empty() ? out_of_fold : std::vector<float>(held_out.begin(), held_out.end());
  return {};
}

// Against the class frequencies, or the mean, of the training rows.
void JudgeTaskOnHoldout(const FitInput& input, std::span<const float> scores, TrainReport& report) {
  const LabelledRows& holdout = input.holdout;
  const LabelledRows& training = input.training;
  const BootstrapOptions options{.seed = input.seed};
  const auto rows = static_cast<double>(training.rows());
  if (holdout.task == ModelTask::kRegression) {
    const double mean =
        std::accumulate(training.targets.begin(), training.targets.end(), 0.0) / rows;
    const std::vector<float> constant(holdout.rows(), static_cast<float>(mean));
    report.task_model = JudgeValues(scores, holdout.targets, options);
    report.task_baseline = JudgeValues(constant, holdout.targets, options);
    return;
  }
  std::vector<double> shares(holdout.classes, 0);
  for (const std::uint8_t label : training.labels) shares[label] += 1 / rows;
  std::vector<float> frequencies;
  for (std::size_t row = 0; row < holdout.rows(); ++row)
    for (const double share : shares) frequencies.push_back(static_cast<float>(share));
  report.task_model = JudgeClasses(scores, holdout.labels, holdout.classes, options);
  report.task_baseline = JudgeClasses(frequencies, holdout.labels, holdout.classes, options);
}

void JudgeOnHoldout(const FitInput& input, std::span<const float> scores, FittedPackage& package) {
  if (input.schema.task != ModelTask::kBinary)
    return JudgeTaskOnHoldout(input, scores, package.report);
  const LabelledRows& holdout = input.holdout;
  const double threshold = package.reference.threshold;
  const BootstrapOptions options{.seed = input.seed};
  const ThresholdGoal& goal = input.threshold;
  package.report.model = JudgeScores({scores, holdout.labels}, threshold, goal, options);
  package.report.calibration.holdout = JudgeProbabilities({scores, holdout.labels}, options);

  const LogisticRegression baseline =
      LogisticRegression::Fit(input.training, input.schema, input.seed);
  const std::vector<float> fitted = baseline.Score(input.training.features);
  const double baseline_threshold =
      ThresholdFor(goal, CountScores({fitted, input.training.labels}));
  const std::vector<float> baseline_scores = baseline.Score(holdout.features);
  package.report.logistic_regression =
      JudgeScores({baseline_scores, holdout.labels}, baseline_threshold, goal, options);

  const bool mostly_positive = input.training.positives() * 2 > input.training.rows();
  const std::vector<float> constant(holdout.rows(), mostly_positive ? 1.0F : 0.0F);
  package.report.majority = JudgeScores({constant, holdout.labels}, 0.5, goal, options);
}

// Slices and plots: of the held-out rows; without any, of the training rows as the inner folds'
// models answer them.
void DescribeJudged(const FitInput& input, FittedPackage& package) {
  TrainReport& report = package.report;
  const bool held_out = input.holdout.rows() > 0;
  const LabelledRows& judged_rows = held_out ? input.holdout : input.training;
  const DerivedColumns derived(input.schema);
  const bool derives = !derived.empty();
  const LabelledRows expanded = derives ? judged_rows.WithDerived(derived) : LabelledRows{};
  const JudgedRows judged{.kind = held_out ? "held-out rows" : "rows of the inner folds",
                          .schema = &input.schema,
                          .rows = derives ? &expanded : &judged_rows,
                          .outputs = package.judged_outputs,
                          .anomaly_scores = package.judged_anomaly_scores};
  const bool alone = input.schema.task == ModelTask::kAnomaly;
  const TaskScores& task = held_out ? report.task_model : report.task_folds;
  const CalibrationReport& calibration = report.calibration;
  const JudgedFigures figures{
      .binary = held_out ? &report.model : &report.cross_validation,
      .probabilities = held_out ? &calibration.holdout : &calibration.folds,
      .uncalibrated = held_out ? &calibration.holdout_before : &calibration.folds_before,
      .task = &task,
      .alarms = alone      ? &task
                : held_out ? &report.alarm_holdout
                           : &report.alarm_folds,
      .threshold = report.threshold,
      .anomaly_threshold = report.anomaly_threshold};
  const Result<TreeEnsemble> trees =
      ReadTreeEnsemble(package.model_onnx, input.schema.input_names().size());
  report.slices = JudgeSlices(input.slices, judged, figures, input.seed);
  package.plots = DrawPlots(judged, figures, trees ? &*trees : nullptr, report.gains, input.seed);
}

}  // namespace

ModelScores JudgeScores(const ScoredRows& rows, double threshold, const ThresholdGoal& goal,
                        const BootstrapOptions& options) {
  const auto at_threshold = [threshold](auto figure) -> Metric {
    return [=](const ScoreCounts& counts) { return figure(ConfusionAt(counts, threshold)); };
  };
  std::vector<Metric> metrics = {
      AreaUnderRoc, AveragePrecision, at_threshold([](const Confusion& c) { return c.f1(); }),
      at_threshold([](const Confusion& c) { return c.alarm_rate(); }),
      at_threshold([](const Confusion& c) { return c.false_alarm_rate(); })};
  const bool costs = goal.kind == ThresholdGoal::Kind::kCost;
  if (costs) metrics.push_back(at_threshold([goal](const Confusion& c) { return c.cost(goal); }));
  BootstrapOptions at = options;
  at.threshold = threshold;
  const std::vector<Interval> intervals = BootstrapIntervals(rows, metrics, at);
  ModelScores scores{.auc = intervals[0],
                     .average_precision = intervals[1],
                     .f1 = intervals[2],
                     .alarm_rate = intervals[3],
                     .false_alarm_rate = intervals[4],
                     .confusion = ConfusionOf(rows, threshold)};
  if (costs) scores.cost = intervals[5];
  return scores;
}

FitInput MakeFitInput(const TrainOptions& options, ModelSchema schema) {
  return {.schema = std::move(schema),
          .threshold = options.threshold.value_or(ThresholdGoal{}),
          .calibration = options.calibration,
          .parameters = options.parameters,
          .search = options.search,
          .detector = options.detector,
          .seed = options.seed,
          .progress = options.progress,
          .cancelled = options.cancelled};
}

Result<FittedPackage> FitPackage(const FitInput& input) {
  const bool predicts = input.schema.task != ModelTask::kAnomaly;
  SKERRY_RETURN_IF_ERROR(input.schema.classes.empty() ? CheckRows(input) : CheckClasses(input));
  FittedPackage package;
  package.schema = input.schema;
  package.reference.rows = input.training.rows();
  const std::vector<const Field*> fields = input.schema.features();
  if (input.learnt != nullptr) package.reference.features = input.learnt->features;
  for (std::size_t i = package.reference.features.size(); i < fields.size(); ++i)
    package.reference.features.push_back(
        MakeFeatureReference(*fields[i], input.training.features.Column(i)));

  const std::vector<std::uint8_t> folds =
      input.folds.empty() ? FoldsOf(input.training, input.seed) : input.folds;
  std::vector<float> scores;
  if (predicts) {
    const auto fit = DerivedColumns(input.schema).empty() ? FitPredictor : FitWithDerived;
    SKERRY_ASSIGN_OR_RETURN(scores, fit(input, folds, package));
  }
  SKERRY_RETURN_IF_ERROR(FitDetector(input, folds, package));
  if (predicts && input.holdout.rows() > 0)
    JudgeOnHoldout(input,
                   std::span(scores).subspan(input.training.rows() * input.training.outputs()),
                   package);

  TrainReport& report = package.report;
  report.task = input.schema.task;
  report.classes = input.schema.classes;
  report.windows = input.schema.windows;
  report.seed = input.seed;
  report.training_rows = input.training.rows();
  report.holdout_rows = input.holdout.rows();
  report.rows = report.training_rows + report.holdout_rows;
  report.training_positives = input.training.positives();
  report.holdout_positives = input.holdout.positives();
  report.threshold = package.reference.threshold;
  report.threshold_goal = input.threshold;
  report.anomaly_threshold = package.reference.anomaly_threshold;
  Say(input, "judging slices, drawing the plots");
  DescribeJudged(input, package);
  return package;
}

}  // namespace skerry
