// The plots of a report: what is drawn of judged rows, each an SVG file beside card.md. Pure
// functions: the same rows and figures give the same bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "model/schema.h"
#include "model/tree_ensemble.h"
#include "train/matrix.h"
#include "train/trainer.h"

namespace skerry {

struct PlotFile {
  std::string name{};     // "plot-roc.svg"
  std::string title{};    // what it is
  std::string reading{};  // how it is read, a sentence or two, in Markdown
  std::string svg{};
};

// Rows with what is true of them and the answers that they got.
struct JudgedRows {
  std::string kind{};  // "held-out rows"
  const ModelSchema* schema = nullptr;
  const LabelledRows* rows = nullptr;       // with the predictor's columns
  std::span<const float> outputs{};         // of the predictor, LabelledRows::outputs() a row
  std::span<const float> anomaly_scores{};  // empty: no detector
};

// What the report says of the same rows, as far as the task has it.
struct JudgedFigures {
  const ModelScores* binary = nullptr;
  const ProbabilityScores* probabilities = nullptr;
  const ProbabilityScores* uncalibrated = nullptr;  // null or without bins: not calibrated
  const TaskScores* task = nullptr;
  const TaskScores* alarms = nullptr;
  double threshold = 0, anomaly_threshold = 0;
};

// Binary, and of several classes each against the rest (the kSeriesInks with most rows).
PlotFile PlotPrecisionRecall(const JudgedRows& judged, const JudgedFigures& figures);
PlotFile PlotRoc(const JudgedRows& judged, const JudgedFigures& figures);
// Of a binary task: the share of class 1 over the mean score of each bin, with Wilson's intervals.
PlotFile PlotCalibration(const JudgedRows& judged, const JudgedFigures& figures);
// Of several classes, at most limits::kPlottedClasses of them.
std::optional<PlotFile> PlotConfusion(const JudgedRows& judged, const JudgedFigures& figures);
// Of numbers, at most limits::kPlottedRows of the rows, drawn by `seed`.
PlotFile PlotPredicted(const JudgedRows& judged, const JudgedFigures& figures, std::uint64_t seed);
PlotFile PlotResiduals(const JudgedRows& judged, const JudgedFigures& figures, std::uint64_t seed);
// The anomaly scores and their threshold; of a binary task, each class.
PlotFile PlotAnomalyScores(const JudgedRows& judged, const JudgedFigures& figures);

using FieldGains = std::vector<std::pair<std::string, double>>;
PlotFile PlotImportance(const FieldGains& gains);
// TreeSHAP of at most limits::kPlottedContributions rows, drawn by `seed`: of several classes the
// contributions to the predicted one. Nothing where trees are so many that fewer than
// limits::kLeastContributions rows would be done within limits::kContributionSteps.
std::optional<PlotFile> PlotContributions(const JudgedRows& judged, const TreeEnsemble& trees,
                                          std::uint64_t seed);

// All that the task has. `trees` may be null (no contributions), `gains` empty.
std::vector<PlotFile> DrawPlots(const JudgedRows& judged, const JudgedFigures& figures,
                                const TreeEnsemble* trees, const FieldGains& gains,
                                std::uint64_t seed);

// The plots as a section of a Markdown document beside them.
std::string PlotSection(const std::vector<PlotFile>& plots);

// At most `most` of 0 .. rows-1, rising, the same for a seed.
std::vector<std::size_t> SampleRows(std::size_t rows, std::size_t most, std::uint64_t seed);

}  // namespace skerry
