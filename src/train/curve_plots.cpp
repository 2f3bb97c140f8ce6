// Plots of rankings and probabilities: precision and recall, ROC, reliability.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "plot/chart.h"
#include "train/report_plots.h"

namespace skerry {
namespace {

std::string IntervalText(const Interval& interval) {
  return fmt::format("{:.3f} [{:.3f}, {:.3f}]", interval.value, interval.low, interval.high);
}

std::string RowsText(const JudgedRows& judged) {
  const LabelledRows& rows = *judged.rows;
  if (judged.schema->task != ModelTask::kBinary)
    return fmt::format("{} {}", rows.rows(), judged.kind);
  return fmt::format("{} {}, {} of them '{}' (class 1)", rows.rows(), judged.kind, rows.positives(),
                     judged.schema->classes[1]);
}

// One class against the rest.
struct ClassCurve {
  std::string label{};
  ScoreCounts counts{};
  double positives = 0, negatives = 0;
};

double Sum(const std::vector<std::uint32_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), 0.0);
}

ClassCurve CurveOf(std::string label, std::span<const float> scores,
                   std::span<const std::uint8_t> labels) {
  ClassCurve curve{.label = std::move(label), .counts = CountScores({scores, labels})};
  curve.positives = Sum(curve.counts.positives);
  curve.negatives = Sum(curve.counts.negatives);
  return curve;
}

// The classes of most rows first; classes without rows, or with every row, have no curve.
std::vector<ClassCurve> ClassCurves(const JudgedRows& judged) {
  const LabelledRows& rows = *judged.rows;
  std::vector<std::pair<std::size_t, std::size_t>> by_rows;  // rows, class
  for (std::size_t k = 0; k < rows.classes; ++k) {
    const auto count = static_cast<std::size_t>(
        std::count(rows.labels.begin(), rows.labels.end(), static_cast<std::uint8_t>(k)));
    if (count > 0 && count < rows.rows()) by_rows.emplace_back(count, k);
  }
  std::stable_sort(by_rows.begin(), by_rows.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  by_rows.resize(std::min(by_rows.size(), kSeriesInks));
  std::vector<ClassCurve> curves;
  std::vector<float> scores(rows.rows());
  std::vector<std::uint8_t> labels(rows.rows());
  for (const auto& [count, k] : by_rows) {
    for (std::size_t row = 0; row < rows.rows(); ++row) {
      scores[row] = judged.outputs[row * rows.classes + k];
      labels[row] = rows.labels[row] == k ? 1 : 0;
    }
    curves.push_back(CurveOf(judged.schema->classes[k], scores, labels));
  }
  return curves;
}

// Steps, so that the area below is the average precision.
std::vector<ChartPoint> PrecisionSteps(const ClassCurve& curve) {
  std::vector<ChartPoint> points;
  double found = 0;
  double taken = 0;
  for (std::size_t i = 0; i < curve.counts.scores.size(); ++i) {
    const double before = found / curve.positives;
    found += curve.counts.positives[i];
    taken += curve.counts.positives[i] + curve.counts.negatives[i];
    points.push_back({before, found / taken});
    points.push_back({found / curve.positives, found / taken});
  }
  return points;
}

std::vector<ChartPoint> RocPoints(const ClassCurve& curve) {
  std::vector<ChartPoint> points = {{0, 0}};
  double found = 0;
  double false_alarms = 0;
  for (std::size_t i = 0; i < curve.counts.scores.size(); ++i) {
    found += curve.counts.positives[i];
    false_alarms += curve.counts.negatives[i];
    points.push_back({false_alarms / curve.negatives, found / curve.positives});
  }
  return points;
}

void AddClassLines(const std::vector<ClassCurve>& curves, double (*area)(const ScoreCounts&),
                   std::vector<ChartPoint> (*points)(const ClassCurve&), std::string_view figure,
                   std::size_t classes, Chart& chart) {
  for (std::size_t i = curves.size(); i-- > 0;) chart.AddLine(points(curves[i]), SeriesInk(i));
  for (std::size_t i = 0; i < curves.size(); ++i)
    chart.AddLine({}, SeriesInk(i),
                  fmt::format("{} against the rest: {} {:.3f}, {:.0f} rows", curves[i].label,
                              figure, area(curves[i].counts), curves[i].positives));
  if (curves.size() < classes)
    chart.AddNote(fmt::format("the {} classes of most rows, of {}", curves.size(), classes));
}

// Wilson 1927: the 95 % interval of a share, sound for few rows and for shares near 0 and 1.
Interval WilsonInterval(double share, double rows) {
  constexpr double kZ = 1.959963984540054;
  const double z2 = kZ * kZ;
  const double middle = (share + z2 / (2 * rows)) / (1 + z2 / rows);
  const double half =
      kZ / (1 + z2 / rows) * std::sqrt(share * (1 - share) / rows + z2 / (4 * rows * rows));
  return {share, std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

std::vector<ChartInterval> ReliabilityIntervals(const ProbabilityScores& scores) {
  std::vector<ChartInterval> intervals;
  for (const ProbabilityScores::Bin& bin : scores.bins) {
    if (bin.rows == 0) continue;
    const Interval share = WilsonInterval(bin.positive_share, static_cast<double>(bin.rows));
    intervals.push_back({bin.mean_score, share.low, share.value, share.high});
  }
  return intervals;
}

Axis ShareAxis(std::string title) { return {.title = std::move(title), .is_share = true}; }

}  // namespace

PlotFile PlotPrecisionRecall(const JudgedRows& judged, const JudgedFigures& figures) {
  PlotFile plot{.name = "plot-precision-recall.svg", .title = "Precision and recall"};
  plot.reading =
      "Recall is the share of a class's rows that are found from some threshold on, precision the "
      "share of the found rows that are of it.";
  Chart chart({.title = plot.title,
               .subtitle = RowsText(judged),
               .x = ShareAxis("recall"),
               .y = ShareAxis("precision")});
  if (judged.schema->task == ModelTask::kBinary) {
    const ClassCurve curve = CurveOf("", judged.outputs, judged.rows->labels);
    const double share = curve.positives / (curve.positives + curve.negatives);
    const Confusion& c = figures.binary->confusion;
    chart.AddDashed({{0, share}, {1, share}},
                    fmt::format("rows taken at random: {:.4g} % are of class 1", share * 100));
    chart.AddLine(
        PrecisionSteps(curve), Ink::kBlue,
        "this model: average precision " + IntervalText(figures.binary->average_precision));
    chart.AddDots({{c.recall(), c.precision()}}, Ink::kOrange, 5.5,
                  fmt::format("at the threshold {:.4g}: F1 {}", figures.threshold,
                              IntervalText(figures.binary->f1)));
  } else {
    AddClassLines(ClassCurves(judged), AveragePrecision, PrecisionSteps, "average precision",
                  judged.rows->classes, chart);
  }
  plot.svg = chart.ToSvg();
  return plot;
}

PlotFile PlotRoc(const JudgedRows& judged, const JudgedFigures& figures) {
  PlotFile plot{.name = "plot-roc.svg", .title = "ROC"};
  plot.reading =
      "What is found against what is raised in vain, over all thresholds; the dashed line is "
      "chance. Where a class is rare, precision and recall tell more.";
  Chart chart({.title = plot.title,
               .subtitle = RowsText(judged),
               .x = ShareAxis("false-alarm rate: share of the other rows that are taken for it"),
               .y = ShareAxis("recall")});
  chart.AddDashed({{0, 0}, {1, 1}});
  if (judged.schema->task == ModelTask::kBinary) {
    const ClassCurve curve = CurveOf("", judged.outputs, judged.rows->labels);
    const Confusion& c = figures.binary->confusion;
    chart.AddLine(RocPoints(curve), Ink::kBlue,
                  "this model: AUC " + IntervalText(figures.binary->auc));
    chart.AddDots({{c.false_alarm_rate(), c.recall()}}, Ink::kOrange, 5.5,
                  fmt::format("at the threshold {:.4g}: false-alarm rate {}", figures.threshold,
                              IntervalText(figures.binary->false_alarm_rate)));
  } else {
    AddClassLines(ClassCurves(judged), AreaUnderRoc, RocPoints, "AUC", judged.rows->classes, chart);
  }
  plot.svg = chart.ToSvg();
  return plot;
}

PlotFile PlotCalibration(const JudgedRows& judged, const JudgedFigures& figures) {
  PlotFile plot{.name = "plot-calibration.svg", .title = "Are the scores probabilities?"};
  plot.reading =
      "Of the rows with about the same score, the share that is of class 1: on the dashed line "
      "where scores are probabilities. The bars are the 95 % intervals of the shares (Wilson).";
  const ProbabilityScores& scores = *figures.probabilities;
  Chart chart({.title = plot.title,
               .subtitle = RowsText(judged) + ", in ten bins of the score",
               .x = {.title = "mean score of the bin"},
               .y = ShareAxis("share of class 1")});
  // How the rows are spread, as a floor under the intervals.
  constexpr double kFloor = 0.18;
  std::uint64_t most = 1;
  for (const ProbabilityScores::Bin& bin : scores.bins) most = std::max(most, bin.rows);
  std::vector<ChartBox> spread;
  for (const ProbabilityScores::Bin& bin : scores.bins)
    if (bin.rows > 0)
      spread.push_back({bin.low + 0.01, bin.high - 0.01, 0,
                        kFloor * std::log1p(static_cast<double>(bin.rows)) /
                            std::log1p(static_cast<double>(most))});
  chart.AddBars(spread, Ink::kGrey);
  chart.AddDashed({{0, 0}, {1, 1}});
  const auto label = [](std::string_view what, const ProbabilityScores& of) {
    return fmt::format("{}: Brier score {}, calibration error {}", what, IntervalText(of.brier),
                       IntervalText(of.ece));
  };
  const bool calibrated = figures.uncalibrated != nullptr && !figures.uncalibrated->bins.empty();
  if (calibrated)
    chart.AddIntervals(ReliabilityIntervals(*figures.uncalibrated), Ink::kOrange,
                       label("before calibration", *figures.uncalibrated));
  chart.AddIntervals(ReliabilityIntervals(scores), Ink::kBlue,
                     label(calibrated ? "calibrated" : "scores as they are", scores));
  chart.AddBars({}, Ink::kGrey, fmt::format("rows in the bin, {} at most (logarithmic)", most));
  plot.svg = chart.ToSvg();
  return plot;
}

}  // namespace skerry
