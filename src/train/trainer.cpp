#include "train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "base/ids.h"
#include "base/limits.h"
#include "base/random.h"
#include "storage/new_directory.h"
#include "tabular/engine.h"
#include "train/data_source.h"
#include "train/disk_engine.h"
#include "train/leakage.h"
#include "train/model_fit.h"
#include "train/package_writer.h"
#include "train/row_plan.h"
#include "train/spark_engine.h"
#include "train/training_set.h"

namespace skerry {
namespace {

Status CheckOptions(const TrainOptions& options) {
  SKERRY_RETURN_IF_ERROR(CheckName("model name", options.name));
  SKERRY_RETURN_IF_ERROR(CheckVersion("model version", options.version));
  SKERRY_RETURN_IF_ERROR(CheckNewDirectory(options.out));
  if (options.data.empty() && options.spark.data.empty())
    return Fail(ErrorCode::kInvalidArgument, "name the data to train on");
  constexpr std::array<std::string_view, 5> kTasks = {"", "classification", "multiclass",
                                                      "regression", "anomaly"};
  if (std::ranges::find(kTasks, options.task) == kTasks.end())
    return Fail(
        ErrorCode::kInvalidArgument,
        "there is no task '{}'; there are classification, multiclass, regression and anomaly",
        options.task);
  if (options.task == "anomaly" && !options.label.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "an anomaly detector learns without a label: leave out --label {}, and ignore the "
                "column if it is no feature (--ignore)",
                options.label);
  if (options.label.empty() && options.task != "anomaly")
    return Fail(ErrorCode::kInvalidArgument, "name the column that is to be learnt (label)");
  if (!(options.holdout >= 0 && options.holdout < 1))
    return Fail(ErrorCode::kInvalidArgument, "holdout is {}; it is a share from 0 to under 1",
                options.holdout);
  if (options.holdout > 0 && !options.holdout_data.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "held-out files were named, so holdout must be 0: all of the data trains");
  if (options.derive > limits::kDerivedFeatures)
    return Fail(ErrorCode::kInvalidArgument,
                "{} derived features are asked for; the limit kDerivedFeatures is {}",
                options.derive, limits::kDerivedFeatures);
  if (options.derive > 0 && options.task == "anomaly")
    return Fail(ErrorCode::kInvalidArgument,
                "an anomaly detector sees the features alone: leave out --derive");
  SKERRY_RETURN_IF_ERROR(CheckWindows(options));
  if (options.search != 0 && (options.search < 2 || options.search > limits::kSearchConfigurations))
    return Fail(ErrorCode::kInvalidArgument,
                "a search tries from 2 to {} configurations (kSearchConfigurations), not {}",
                limits::kSearchConfigurations, options.search);
  if (options.search != 0 && options.task == "anomaly")
    return Fail(ErrorCode::kInvalidArgument,
                "a search is for the parameters of a predictor, and task anomaly has none: leave "
                "out --search");
  const DetectorParameters& detector = options.detector;
  if (detector.trees < 1 || detector.samples < 2 || !(detector.alarm_rate >= 0) ||
      !(detector.alarm_rate < 1))
    return Fail(ErrorCode::kInvalidArgument,
                "the detector needs a tree, two samples and an alarm rate from 0 to under 1");
  return {};
}

// Of the rows that the model will be judged by, while their table is there.
Status SliceJudged(const TrainOptions& options, const Table& table, const LabelledRows& rows,
                   const RowPlan& plan, FitInput& input) {
  if (!options.holdout_data.empty()) return {};  // SplitRows reads them
  const bool held_out = !plan.rows.holdout.empty();
  const std::vector<std::size_t>& judged = held_out ? plan.rows.holdout : plan.rows.training;
  const FeatureMatrix features = rows.features.Select(judged);
  SKERRY_ASSIGN_OR_RETURN(
      input.slices,
      ChooseSlices(
          {.schema = &input.schema, .features = &features, .table = &table, .rows = judged},
          options.slices));
  return {};
}

// Fills training and held-out rows of `input`.
Status SplitRows(const TrainOptions& options, TabularEngine& engine, LabelledRows rows,
                 RowPlan plan, FitInput& input) {
  input.holdout = rows.Select(plan.rows.holdout);
  if (plan.rows.training.size() == rows.rows() && std::ranges::is_sorted(plan.rows.training))
    input.training = std::move(rows);
  else
    input.training = rows.Select(plan.rows.training);
  input.folds = std::move(plan.folds);
  if (options.holdout_data.empty()) return {};
  SKERRY_ASSIGN_OR_RETURN(const SourceData data,
                          ReadSourceData(engine, options.holdout_data, TextColumns(options), {}));
  SKERRY_ASSIGN_OR_RETURN(input.holdout, EncodeRows(data.table, input.schema, ""), "held-out rows");
  std::vector<std::size_t> judged(input.holdout.rows());
  std::iota(judged.begin(), judged.end(), std::size_t{0});
  SKERRY_ASSIGN_OR_RETURN(input.slices, ChooseSlices({.schema = &input.schema,
                                                      .features = &input.holdout.features,
                                                      .table = &data.table,
                                                      .rows = judged},
                                                     options.slices));
  return {};
}

}  // namespace

std::vector<std::size_t> ShuffledRows(std::size_t rows, std::uint64_t seed) {
  std::vector<std::size_t> order(rows);
  std::iota(order.begin(), order.end(), std::size_t{0});
  SeededRandom random(seed);
  random.Shuffle(order);
  return order;
}

Result<TrainReport> Train(const TrainOptions& options) {
  const TrainingClock clock;
  SKERRY_RETURN_IF_ERROR(CheckOptions(options));
  if (options.spark.asked()) return TrainOnSpark(options);
  SKERRY_ASSIGN_OR_RETURN(const auto engine, TabularEngine::Open({}));
  SKERRY_ASSIGN_OR_RETURN(const bool from_disk, IsForDisk(*engine, options));
  if (from_disk) return TrainFromDisk(*engine, options);
  SKERRY_ASSIGN_OR_RETURN(SourceData data, ReadSourceData(*engine, options.data,
                                                          TextColumns(options), options.progress));
  SKERRY_ASSIGN_OR_RETURN(ChosenSchema chosen, ChooseAndTell(data.table, options));
  SKERRY_RETURN_IF_ERROR(ChooseWindows(options, data.table.rows(), chosen.schema));
  SKERRY_ASSIGN_OR_RETURN(LabelledRows rows,
                          EncodeRows(data.table, chosen.schema, options.weight_column));

  FitInput input = MakeFitInput(options, std::move(chosen.schema));
  SKERRY_ASSIGN_OR_RETURN(RowPlan plan, PlanRows(data.table, rows, options));
  SKERRY_RETURN_IF_ERROR(SliceJudged(options, data.table, rows, plan, input));
  data.table = {};  // large, and not needed any more
  const SplitFacts split = plan.facts;
  std::vector<std::string> warnings = LeakWarnings(input.schema, rows);
  warnings.insert(warnings.end(), plan.warnings.begin(), plan.warnings.end());
  if (options.progress)
    for (const std::string& warning : warnings) options.progress("warning: " + warning);
  SKERRY_RETURN_IF_ERROR(SplitRows(options, *engine, std::move(rows), std::move(plan), input));
  input.parameters = input.parameters.ForTable(
      input.training.rows(), input.training.features.columns + input.training.windows.columns);
  DeriveReport derived;
  if (options.derive > 0) {
    SKERRY_ASSIGN_OR_RETURN(derived, ChooseDerived(input, options.derive));
    input.schema.derived = derived.features();
  }
  SKERRY_ASSIGN_OR_RETURN(FittedPackage package, FitPackage(input));
  package.report.derived = std::move(derived);
  package.report.split = split;
  package.report.warnings = std::move(warnings);
  return FinishPackage(std::move(package), options, data, clock);
}

}  // namespace skerry
