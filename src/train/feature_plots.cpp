// Plots of what the features do: gain, and contributions (TreeSHAP) as a swarm of dots a feature.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>

#include "base/limits.h"
#include "insight/contributions.h"
#include "plot/chart.h"
#include "train/report_plots.h"

namespace skerry {
namespace {

constexpr std::size_t kFeaturesShown = 15;
constexpr int kRowHeight = 27;

int HeightOf(std::size_t rows) { return static_cast<int>(rows) * kRowHeight + 14; }

struct Explained {
  std::vector<std::size_t> rows{};      // of the judged rows
  std::vector<double> values{};         // row-major [rows][features]
  std::vector<double> means{};          // by feature: mean |contribution|
  std::vector<std::size_t> features{};  // the greatest means first, those that have one
};

std::size_t PredictedOutput(const JudgedRows& judged, std::size_t row) {
  const std::size_t outputs = judged.rows->outputs();
  const auto of_row = judged.outputs.subspan(row * outputs, outputs);
  return static_cast<std::size_t>(std::max_element(of_row.begin(), of_row.end()) - of_row.begin());
}

// How many rows are explained: TreeSHAP takes steps of about leaves * depth^2 a row.
std::size_t RowsToExplain(const TreeEnsemble& trees) {
  std::uint64_t leaves = 0;
  for (const Tree& tree : trees.trees)
    leaves += static_cast<std::uint64_t>(std::count_if(
        tree.begin(), tree.end(), [](const TreeNode& node) { return node.is_leaf(); }));
  const std::uint64_t depth = std::max<std::uint64_t>(trees.depth, 1);
  const std::uint64_t steps = std::max<std::uint64_t>(leaves / trees.outputs * depth * depth, 1);
  return static_cast<std::size_t>(
      std::min<std::uint64_t>(limits::kContributionSteps / steps, limits::kPlottedContributions));
}

Explained Explain(const JudgedRows& judged, const TreeEnsemble& trees, std::size_t most,
                  std::uint64_t seed) {
  Explained explained{.rows = SampleRows(judged.rows->rows(), most, seed)};
  const std::size_t features = trees.features;
  explained.values.assign(explained.rows.size() * features, 0);
  explained.means.assign(features, 0);
  for (std::size_t i = 0; i < explained.rows.size(); ++i) {
    const std::size_t row = explained.rows[i];
    const std::span<double> values = std::span(explained.values).subspan(i * features, features);
    AddContributions(trees, judged.rows->features.row(row), PredictedOutput(judged, row), values);
    for (std::size_t j = 0; j < features; ++j)
      explained.means[j] += std::abs(values[j]) / static_cast<double>(explained.rows.size());
  }
  for (std::size_t j = 0; j < features; ++j)
    if (explained.means[j] > 0) explained.features.push_back(j);
  std::stable_sort(
      explained.features.begin(), explained.features.end(),
      [&](std::size_t a, std::size_t b) { return explained.means[a] > explained.means[b]; });
  explained.features.resize(std::min(explained.features.size(), kFeaturesShown));
  return explained;
}

// By explained row, how large its value is among the others', 0 to 1; negative: missing.
std::vector<double> RanksOf(const JudgedRows& judged, const Explained& explained,
                            std::size_t feature) {
  std::vector<float> sorted;
  for (const std::size_t row : explained.rows)
    if (const float value = judged.rows->features.row(row)[feature]; !std::isnan(value))
      sorted.push_back(value);
  std::sort(sorted.begin(), sorted.end());
  std::vector<double> ranks;
  for (const std::size_t row : explained.rows) {
    const float value = judged.rows->features.row(row)[feature];
    const auto [first, last] = std::equal_range(sorted.begin(), sorted.end(), value);
    const double middle =
        static_cast<double>((first - sorted.begin()) + (last - sorted.begin())) / 2;
    ranks.push_back(std::isnan(value) ? -1 : middle / static_cast<double>(sorted.size()));
  }
  return ranks;
}

constexpr std::array<Ink, 6> kSwarmInks = {Ink::kLowest, Ink::kLow,     Ink::kMiddle,
                                           Ink::kHigh,   Ink::kHighest, Ink::kGrey};

// Dots of about one contribution stand above each other.
void AddSwarm(const std::vector<double>& values, const std::vector<std::size_t>& inks, double row,
              const Axis& axis, Chart& chart) {
  constexpr double kColumns = 130;  // that dots are stacked in, over the axis
  constexpr double kHalf = 0.42;    // of the row's height, on each side
  std::map<int, std::vector<std::size_t>> columns;
  for (std::size_t i = 0; i < values.size(); ++i)
    columns[static_cast<int>(
                std::lround((values[i] - axis.low) / (axis.high - axis.low) * kColumns))]
        .push_back(i);
  std::size_t tallest = 1;
  for (const auto& [at, members] : columns) tallest = std::max(tallest, members.size());
  const double step = std::min(0.12, 2 * kHalf / static_cast<double>(tallest));
  std::array<std::vector<ChartPoint>, kSwarmInks.size()> dots;
  for (const auto& [at, members] : columns)
    for (std::size_t k = 0; k < members.size(); ++k) {
      const double offset =
          step * (static_cast<double>(k) - static_cast<double>(members.size() - 1) / 2);
      dots[inks[members[k]]].push_back({values[members[k]], row + 0.5 + offset});
    }
  for (std::size_t k = kSwarmInks.size(); k-- > 0;) chart.AddDots(dots[k], kSwarmInks[k], 1.9);
}

std::vector<std::size_t> SwarmInks(const JudgedRows& judged, const Explained& explained,
                                   std::size_t feature) {
  constexpr std::size_t kGrey = kSwarmInks.size() - 1;
  std::vector<std::size_t> inks;
  const auto& categorical = judged.rows->features.categorical;
  const bool is_category = !categorical.empty() && categorical[feature] != 0;
  for (const double rank : RanksOf(judged, explained, feature))
    inks.push_back(
        is_category || rank < 0
            ? kGrey
            : std::min(kGrey - 1, static_cast<std::size_t>(rank * static_cast<double>(kGrey))));
  return inks;
}

std::string MarginWords(const ModelSchema& schema) {
  if (schema.task == ModelTask::kBinary) return "contribution to the log-odds of class 1";
  if (schema.task == ModelTask::kMulticlass) return "contribution to the predicted class's margin";
  return "contribution to the prediction's margin";
}

}  // namespace

PlotFile PlotImportance(const FieldGains& gains) {
  PlotFile plot{.name = "plot-importance.svg", .title = "What the trees split on"};
  plot.reading =
      "The share of each feature in all that the splits gained in training. It tells what the "
      "model uses, not what causes the outcome.";
  double all = 0;
  for (const auto& [field, gain] : gains) all += gain;
  const std::size_t shown = std::min(gains.size(), kFeaturesShown);
  std::vector<std::string> names;
  std::vector<std::string> notes;
  std::vector<ChartBox> bars;
  for (std::size_t i = 0; i < shown; ++i) {
    const double share = all > 0 ? gains[i].second / all : 0;
    const auto row = static_cast<double>(i);
    names.push_back(gains[i].first);
    notes.push_back(fmt::format("{:.3g} %", share * 100));
    bars.push_back({0, share, row + 0.18, row + 0.82});
  }
  Axis x = AxisAround("share of the total gain", 0, bars.empty() ? 1 : bars[0].x_high);
  x.is_share = true;
  Chart chart({.title = plot.title,
               .subtitle = shown < gains.size()
                               ? fmt::format("the {} greatest of {} features", shown, gains.size())
                               : fmt::format("{} features", shown),
               .x = std::move(x),
               .y = AxisOfNames("", std::move(names)),
               .height = HeightOf(shown),
               .notes = std::move(notes)});
  chart.AddBars(bars, Ink::kBlue);
  plot.svg = chart.ToSvg();
  return plot;
}

std::optional<PlotFile> PlotContributions(const JudgedRows& judged, const TreeEnsemble& trees,
                                          std::uint64_t seed) {
  const std::size_t most = RowsToExplain(trees);
  if (most < limits::kLeastContributions) return std::nullopt;
  const Explained explained = Explain(judged, trees, most, seed);
  if (explained.features.empty()) return std::nullopt;
  PlotFile plot{.name = "plot-contributions.svg", .title = "What moves a prediction"};
  plot.reading =
      "A dot is a row: how much the feature's value moved its prediction (TreeSHAP); at the right "
      "the mean of the amounts. Blue values are low, red ones high, grey ones categories or "
      "missing.";
  const std::vector<std::string_view> inputs = judged.schema->input_names();
  std::vector<std::string> names;
  std::vector<std::string> notes;
  double low = 0;
  double high = 0;
  for (const std::size_t feature : explained.features) {
    names.emplace_back(inputs[feature]);
    notes.push_back(fmt::format("{:.3g}", explained.means[feature]));
    for (std::size_t i = feature; i < explained.values.size(); i += trees.features) {
      low = std::min(low, explained.values[i]);
      high = std::max(high, explained.values[i]);
    }
  }
  const Axis x = AxisAround(MarginWords(*judged.schema), low, high);
  const auto shown = static_cast<double>(names.size());
  Chart chart({.title = plot.title,
               .subtitle = fmt::format("{} of {} {}; {} of {} features, mean amount at the right",
                                       explained.rows.size(), judged.rows->rows(), judged.kind,
                                       names.size(), trees.features),
               .x = x,
               .y = AxisOfNames("", std::move(names)),
               .height = HeightOf(explained.features.size()),
               .notes = std::move(notes)});
  chart.AddDashed({{0, 0}, {0, shown}});
  for (std::size_t k = 0; k < explained.features.size(); ++k) {
    std::vector<double> values;
    for (std::size_t i = explained.features[k]; i < explained.values.size(); i += trees.features)
      values.push_back(explained.values[i]);
    AddSwarm(values, SwarmInks(judged, explained, explained.features[k]), static_cast<double>(k), x,
             chart);
  }
  chart.AddDots({}, Ink::kLowest, 2, "low values of the feature");
  chart.AddDots({}, Ink::kHighest, 2, "high values of the feature");
  chart.AddDots({}, Ink::kGrey, 2, "categories and missing values");
  plot.svg = chart.ToSvg();
  return plot;
}

}  // namespace skerry
