#include "train/sampled_fit.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/limits.h"
#include "train/leakage.h"

namespace skerry {
namespace {

std::vector<std::string> WarningsOf(const SampledFit& fit, const ModelSchema& schema) {
  LabelledRows all = fit.training;
  const auto append = [](auto& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  append(all.features.values, fit.holdout.features.values);
  append(all.labels, fit.holdout.labels);
  append(all.weights, fit.holdout.weights);
  append(all.targets, fit.holdout.targets);
  std::vector<std::string> warnings = LeakWarnings(schema, all);
  if (fit.split.copies > 0)
    warnings.push_back(fmt::format(
        "{} of {} rows have the features of an earlier row: {}", fit.split.copies, fit.rows,
        fit.copies_by_nature
            ? "so few different rows are taken to repeat by nature, and split as they come"
            : "such rows stay on one side of every split"));
  for (const auto& [column, cells] : fit.unlisted)
    warnings.push_back(
        fmt::format("column '{}' has a text in {} rows that is not among the categories of the "
                    "first {} rows: taken for one that was never seen",
                    column, cells, limits::kSchemaRows));
  const std::uint64_t kept = fit.training_rows + fit.holdout_rows;
  if (all.rows() < kept)
    warnings.push_back(
        fmt::format("the figures, the threshold and the detector are of {} of {} rows, drawn at "
                    "random; the trees are of all {} training rows",
                    all.rows(), kept, fit.training_rows));
  return warnings;
}

}  // namespace

std::uint64_t SampledRows(const ModelSchema& schema) {
  return std::min(limits::kReturnedRows,
                  limits::kReturnedCells / std::max<std::size_t>(schema.feature_count(), 1));
}

Status CheckSampledSlices(const TrainOptions& options, const ModelSchema& schema) {
  const FeatureMatrix none{.columns = schema.feature_count()};
  SKERRY_RETURN_IF_ERROR(ChooseSlices({.schema = &schema, .features = &none}, options.slices));
  return {};
}

Result<FittedPackage> PackageSampled(SampledFit fit, const TrainOptions& options,
                                     const ModelSchema& schema) {
  std::vector<std::string> warnings = WarningsOf(fit, schema);
  if (options.progress)
    for (const std::string& warning : warnings) options.progress("warning: " + warning);
  FitInput input = MakeFitInput(options, schema);
  input.parameters =
      options.parameters.ForTable(fit.rows, schema.feature_count());  // as the trees were fitted
  input.training = std::move(fit.training);
  input.holdout = std::move(fit.holdout);
  input.folds = std::move(fit.folds);
  input.learnt = &fit.learnt;
  const LabelledRows& judged = input.holdout.rows() > 0 ? input.holdout : input.training;
  SKERRY_ASSIGN_OR_RETURN(
      input.slices,
      ChooseSlices({.schema = &schema, .features = &judged.features}, options.slices));
  SKERRY_ASSIGN_OR_RETURN(FittedPackage package, FitPackage(input));
  package.reference.rows = fit.training_rows;
  TrainReport& report = package.report;
  report.engine = fit.engine;
  report.rows = fit.training_rows + fit.holdout_rows;
  report.training_rows = fit.training_rows;
  report.holdout_rows = fit.holdout_rows;
  report.training_positives = fit.training_positives;
  report.holdout_positives = fit.holdout_positives;
  report.split = fit.split;
  report.split.group_column = options.group_column;
  report.split.time_column = options.time_column;
  report.warnings = std::move(warnings);
  return package;
}

}  // namespace skerry
