// Plots of classes, numbers and alarms; and all plots of a task together.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/limits.h"
#include "plot/chart.h"
#include "train/report_plots.h"
#include "train/task_report.h"

namespace skerry {
namespace {

std::string RowsText(const JudgedRows& judged, std::size_t shown) {
  const std::size_t all = judged.rows->rows();
  if (shown < all) return fmt::format("{} of {} {}, drawn at random", shown, all, judged.kind);
  return fmt::format("{} {}", all, judged.kind);
}

// "RMSE 1.2 [1.1, 1.3], R2 ...".
std::string FiguresText(const TaskScores& scores) {
  std::string text;
  for (const auto& [name, interval] : scores.figures) {
    text += fmt::format("{}{} {:.3g} [{:.3g}, {:.3g}]", text.empty() ? "" : ", ", FigureName(name),
                        interval.value, interval.low, interval.high);
  }
  return text;
}

struct Predicted {
  std::vector<ChartPoint> points{};  // x predicted, y actual
  double low = 0, high = 0;          // of both
};

Predicted SamplePredicted(const JudgedRows& judged, std::uint64_t seed) {
  Predicted sample;
  for (const std::size_t row : SampleRows(judged.rows->rows(), limits::kPlottedRows, seed)) {
    const double predicted = judged.outputs[row];
    const double actual = judged.rows->targets[row];
    const auto [low, high] = std::minmax(predicted, actual);
    if (sample.points.empty()) sample.low = sample.high = low;
    sample.low = std::min(sample.low, low);
    sample.high = std::max(sample.high, high);
    sample.points.push_back({predicted, actual});
  }
  return sample;
}

// Shares of the scores in bins of equal width over the axis, one bar a bin.
std::vector<ChartBox> Histogram(const std::vector<float>& scores, const Axis& axis) {
  constexpr std::size_t kBins = 48;
  std::array<std::size_t, kBins> counts{};
  const double width = (axis.high - axis.low) / kBins;
  for (const float score : scores)
    ++counts[static_cast<std::size_t>(
        std::clamp((static_cast<double>(score) - axis.low) / width, 0.0, kBins - 1.0))];
  std::vector<ChartBox> bars;
  for (std::size_t i = 0; i < kBins; ++i)
    if (counts[i] > 0)
      bars.push_back({axis.low + width * static_cast<double>(i),
                      axis.low + width * static_cast<double>(i + 1), 0,
                      static_cast<double>(counts[i]) / static_cast<double>(scores.size())});
  return bars;
}

double Highest(const std::vector<ChartBox>& bars) {
  double most = 0;
  for (const ChartBox& bar : bars) most = std::max(most, bar.y_high);
  return most;
}

}  // namespace

std::vector<std::size_t> SampleRows(std::size_t rows, std::size_t most, std::uint64_t seed) {
  std::vector<std::size_t> sample = ShuffledRows(rows, seed);
  sample.resize(std::min(rows, most));
  std::sort(sample.begin(), sample.end());
  return sample;
}

std::optional<PlotFile> PlotConfusion(const JudgedRows& judged, const JudgedFigures& figures) {
  const auto& confusion = figures.task->confusion;
  if (confusion.empty() || confusion.size() > limits::kPlottedClasses) return std::nullopt;
  PlotFile plot{.name = "plot-confusion.svg", .title = "Classes and predictions"};
  plot.reading =
      "Rows by their class (each row of the matrix) and by what was predicted; the deeper, the "
      "larger the share of the class.";
  const auto& classes = judged.schema->classes;
  Chart chart({.title = plot.title,
               .subtitle = RowsText(judged, judged.rows->rows()),
               .x = AxisOfNames("predicted", classes),
               .y = AxisOfNames("class", classes),
               .height = static_cast<int>(std::clamp<std::size_t>(classes.size() * 36, 160, 520))});
  for (std::size_t i = 0; i < confusion.size(); ++i) {
    const auto rows = static_cast<double>(
        std::accumulate(confusion[i].begin(), confusion[i].end(), std::uint64_t{0}));
    for (std::size_t j = 0; j < confusion[i].size(); ++j) {
      const auto x = static_cast<double>(j);
      const auto y = static_cast<double>(i);
      chart.AddCell({x, x + 1, y, y + 1},
                    rows == 0 ? 0 : static_cast<double>(confusion[i][j]) / rows,
                    std::to_string(confusion[i][j]));
    }
  }
  chart.AddNote(FiguresText(*figures.task));
  plot.svg = chart.ToSvg();
  return plot;
}

PlotFile PlotPredicted(const JudgedRows& judged, const JudgedFigures& figures, std::uint64_t seed) {
  PlotFile plot{.name = "plot-predicted.svg", .title = "Predicted and actual"};
  plot.reading = "A dot is a row; on the dashed line the prediction was right.";
  const Predicted sample = SamplePredicted(judged, seed);
  const std::string& label = judged.schema->label_column;
  Chart chart({.title = plot.title,
               .subtitle = RowsText(judged, sample.points.size()),
               .x = AxisAround("predicted " + label, sample.low, sample.high),
               .y = AxisAround("actual " + label, sample.low, sample.high)});
  chart.AddDashed({{sample.low, sample.low}, {sample.high, sample.high}});
  chart.AddDots(sample.points, Ink::kBlue, 2.2);
  chart.AddNote(FiguresText(*figures.task));
  plot.svg = chart.ToSvg();
  return plot;
}

PlotFile PlotResiduals(const JudgedRows& judged, const JudgedFigures& figures, std::uint64_t seed) {
  PlotFile plot{.name = "plot-residuals.svg", .title = "Residuals"};
  plot.reading =
      "A dot is a row: how far the actual number was above the prediction. A slope or a funnel is "
      "something that the model does not know.";
  const Predicted sample = SamplePredicted(judged, seed);
  std::vector<ChartPoint> residuals;
  double x_low = 0, x_high = 0, most = 0;
  for (const ChartPoint& point : sample.points) {
    if (residuals.empty()) x_low = x_high = point.x;
    x_low = std::min(x_low, point.x);
    x_high = std::max(x_high, point.x);
    most = std::max(most, std::abs(point.y - point.x));
    residuals.push_back({point.x, point.y - point.x});
  }
  Chart chart({.title = plot.title,
               .subtitle = RowsText(judged, sample.points.size()),
               .x = AxisAround("predicted " + judged.schema->label_column, x_low, x_high),
               .y = AxisAround("actual - predicted", -most, most)});
  chart.AddDashed({{x_low, 0}, {x_high, 0}});
  chart.AddDots(residuals, Ink::kBlue, 2.2);
  chart.AddNote(FiguresText(*figures.task));
  plot.svg = chart.ToSvg();
  return plot;
}

PlotFile PlotAnomalyScores(const JudgedRows& judged, const JudgedFigures& figures) {
  PlotFile plot{.name = "plot-anomaly.svg", .title = "Anomaly scores"};
  plot.reading = "How strange the rows are; those right of the dashed line raise an alarm.";
  const bool labelled = judged.schema->task == ModelTask::kBinary;
  const double threshold = figures.anomaly_threshold;
  const auto [low, high] =
      std::minmax_element(judged.anomaly_scores.begin(), judged.anomaly_scores.end());
  // Those of PCA have no bound.
  constexpr double kFarthest = 4;
  const double most = std::max(std::min<double>(*high, kFarthest * threshold), threshold);
  if (*high > most) plot.reading += fmt::format(" Scores over {:.4g} are in the last bar.", most);
  std::array<std::vector<float>, 2> scores;
  for (std::size_t row = 0; row < judged.anomaly_scores.size(); ++row)
    scores[labelled ? judged.rows->labels[row] : 0].push_back(judged.anomaly_scores[row]);
  const Axis axis = AxisAround("anomaly score", std::min<double>(*low, threshold), most);
  const std::vector<ChartBox> normal = Histogram(scores[0], axis);
  const std::vector<ChartBox> positive = Histogram(scores[1], axis);
  Axis shares = AxisAround(labelled ? "share of the class's rows" : "share of the rows", 0,
                           std::max(Highest(normal), Highest(positive)));
  shares.is_share = true;
  const double top = shares.high;
  Chart chart({.title = plot.title,
               .subtitle = RowsText(judged, judged.anomaly_scores.size()),
               .x = axis,
               .y = std::move(shares)});
  const auto label = [&](std::size_t k) {
    return labelled ? fmt::format("{} rows of '{}' (class {})", scores[k].size(),
                                  judged.schema->classes[k], k)
                    : std::string();
  };
  chart.AddBars(normal, Ink::kBlue, label(0));
  if (labelled) chart.AddBars(positive, Ink::kOrange, label(1));
  chart.AddDashed({{threshold, 0}, {threshold, top}},
                  fmt::format("threshold {:.4g}: {}", threshold, FiguresText(*figures.alarms)));
  plot.svg = chart.ToSvg();
  return plot;
}

std::vector<PlotFile> DrawPlots(const JudgedRows& judged, const JudgedFigures& figures,
                                const TreeEnsemble* trees, const FieldGains& gains,
                                std::uint64_t seed) {
  const ModelTask task = judged.schema->task;
  std::vector<PlotFile> plots;
  const auto add = [&plots](std::optional<PlotFile> plot) {
    if (plot) plots.push_back(std::move(*plot));
  };
  if (judged.rows->rows() == 0) return plots;
  if (task == ModelTask::kMulticlass) add(PlotConfusion(judged, figures));
  if (task == ModelTask::kBinary || task == ModelTask::kMulticlass) {
    add(PlotPrecisionRecall(judged, figures));
    add(PlotRoc(judged, figures));
  }
  if (task == ModelTask::kBinary) add(PlotCalibration(judged, figures));
  if (task == ModelTask::kRegression) {
    add(PlotPredicted(judged, figures, seed));
    add(PlotResiduals(judged, figures, seed));
  }
  if (!gains.empty()) add(PlotImportance(gains));
  if (trees != nullptr) add(PlotContributions(judged, *trees, seed));
  if (!judged.anomaly_scores.empty()) add(PlotAnomalyScores(judged, figures));
  return plots;
}

std::string PlotSection(const std::vector<PlotFile>& plots) {
  if (plots.empty()) return {};
  std::string text = "## Plots\n\n";
  for (const PlotFile& plot : plots)
    text += fmt::format("![{}]({})\n\n{}\n\n", plot.title, plot.name, plot.reading);
  return text;
}

}  // namespace skerry
