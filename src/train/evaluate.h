// How good a package is on a table: the figures of a training's report on other rows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "codec/json.h"
#include "model/package.h"
#include "train/metrics.h"
#include "train/report_plots.h"
#include "train/slices.h"
#include "train/trainer.h"

namespace skerry {

struct EvaluateOptions {
  BootstrapOptions bootstrap{};
  std::vector<std::string> slices{};  // as TrainOptions::slices
  bool plots = false;                 // whether they are drawn
};

struct EvaluateReport {
  ModelTask task = ModelTask::kBinary;
  std::vector<std::string> classes{};
  TaskScores figures{};  // of any task but the binary one, which has those below
  std::uint64_t rows = 0, positives = 0;
  double threshold = 0;
  std::optional<ThresholdGoal> threshold_goal{};  // none where the package does not tell
  ModelScores scores{};
  ProbabilityScores probabilities{};
  // Of a detector beside a predictor; the rate that was asked for, of any detector, if it is told.
  TaskScores alarms{};
  std::optional<double> asked_alarm_rate{};
  std::optional<std::string> detector{};  // what it is, in words, if that is told
  std::vector<SliceTable> slices{};
  std::vector<PlotFile> plots{};
  Json ToJson() const;
};

// The rows of a labelled table as the package takes them. kInvalidArgument: no rows, a missing
// column, a blank or unknown label (with its rows), or, of a binary task, one class alone.
Result<LabelledRows> ReadJudgedRows(const ModelPackage& package, const Table& table);

// Scores `table` (raw columns by the schema's column names, with the label column) with `package`
// and compares with the labels. kInvalidArgument: as ReadJudgedRows, or a slice that cannot be
// made. Of a detector, which has no label: how often it raises alarms.
Result<EvaluateReport> Evaluate(const ModelPackage& package, const Table& table,
                                const EvaluateOptions& options);

// Writes report.json, report.md and the plots into the directory `out`, which appears whole or not
// at all; `data` says in report.md which rows they are of. kAlreadyExists when it is there.
Status WriteEvaluation(const EvaluateReport& report, const ModelPackage& package,
                       const std::string& data, const std::filesystem::path& out);

}  // namespace skerry
