#include "train/leakage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "train/metrics.h"

namespace skerry {
namespace {

// Fewer mixed values than that by chance say nothing about a function; a column of two values, one
// a class, is caught by how much it tells.
constexpr double kEnoughMixed = 5;

double Auc(const std::vector<float>& scores, std::span<const std::uint8_t> labels) {
  const double area = AreaUnderRoc(CountScores({scores, labels}));
  return std::isnan(area) ? 0.5 : std::max(area, 1 - area);
}

// The key of a value in an ordered map: missing values are one value, below all others.
float KeyOf(float value) {
  return std::isnan(value) ? -std::numeric_limits<float>::infinity() : value;
}

struct LabelCounts {
  std::size_t rows = 0, positives = 0;
};

std::map<float, LabelCounts> CountByValue(std::span<const float> values,
                                          std::span<const std::uint8_t> labels) {
  std::map<float, LabelCounts> counts;
  for (std::size_t row = 0; row < values.size(); ++row) {
    LabelCounts& count = counts[KeyOf(values[row])];
    ++count.rows;
    count.positives += labels[row];
  }
  return counts;
}

// Leaving out the row itself, so that rare categories do not tell their own labels.
double AucOfCategories(std::span<const float> values, std::span<const std::uint8_t> labels) {
  const std::map<float, LabelCounts> counts = CountByValue(values, labels);
  std::vector<float> scores;
  for (std::size_t row = 0; row < values.size(); ++row) {
    const LabelCounts& count = counts.at(KeyOf(values[row]));
    const std::size_t others = count.rows - 1;
    scores.push_back(others == 0 ? 0.0F
                                 : static_cast<float>(count.positives - labels[row]) /
                                       static_cast<float>(others));
  }
  const double area = AreaUnderRoc(CountScores({scores, labels}));
  return std::isnan(area) ? 0.5 : std::max(area, 0.5);
}

// A bin's number a row: of categories and missing values the value's, of numbers the two hundredth,
// equal numbers in one.
std::vector<std::uint32_t> BinsOf(const Field& field, std::span<const float> values) {
  constexpr std::size_t kBins = 200;
  std::vector<std::uint32_t> order(values.size()), bins(values.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return KeyOf(values[a]) < KeyOf(values[b]);
  });
  std::uint32_t bin = 0;
  std::size_t begin = 0;  // of the bin
  const bool category = field.type == FieldType::kCategory;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const bool other = i > 0 && KeyOf(values[order[i]]) != KeyOf(values[order[i - 1]]);
    const bool full = category || std::isnan(values[order[begin]]) ||
                      i - begin >= std::max<std::size_t>(order.size() / kBins, 2);
    if (other && full) {
      ++bin;
      begin = i;
    }
    bins[order[i]] = bin;
  }
  return bins;
}

double ErrorsTold(const std::vector<std::uint32_t>& bins, const LabelledRows& rows) {
  std::vector<std::size_t> all(rows.classes, 0);
  std::vector<std::vector<std::size_t>> counts(*std::ranges::max_element(bins) + 1, all);
  for (std::size_t row = 0; row < bins.size(); ++row) {
    ++all[rows.labels[row]];
    ++counts[bins[row]][rows.labels[row]];
  }
  double right = 0;
  for (std::vector<std::size_t>& count : counts) {
    std::ranges::partial_sort(count, count.begin() + 2, std::greater<>());
    if (count[0] > count[1] + 1) right += static_cast<double>(count[0]);
  }
  const auto most = static_cast<double>(*std::ranges::max_element(all));
  return (right - most) / (static_cast<double>(bins.size()) - most);
}

double VarianceTold(const std::vector<std::uint32_t>& bins, const LabelledRows& rows) {
  const auto count = static_cast<double>(bins.size());
  const double mean = std::accumulate(rows.targets.begin(), rows.targets.end(), 0.0) / count;
  std::vector<std::pair<double, double>> sums(*std::ranges::max_element(bins) + 1);
  for (std::size_t row = 0; row < bins.size(); ++row) {
    sums[bins[row]].first += rows.targets[row];
    ++sums[bins[row]].second;
  }
  double left = 0, all = 0;
  for (std::size_t row = 0; row < bins.size(); ++row) {
    const double target = rows.targets[row];
    const auto& [sum, others] = sums[bins[row]];
    const double predicted = others > 1 ? (sum - target) / (others - 1) : mean;
    left += (target - predicted) * (target - predicted);
    all += (target - mean) * (target - mean);
  }
  return all > 0 ? 1 - left / all : 0;
}

// Of tasks but the binary one.
std::optional<std::string> TaskWarning(const ModelSchema& schema, const Field& field,
                                       std::span<const float> values, const LabelledRows& rows,
                                       std::span<const std::uint32_t> labels) {
  constexpr const char* kAsk =
      "is that column known before the label is? If not, leave it out (--ignore)";
  const MixedValues mixed = CountMixedLabels(values, labels);
  if (mixed.found == 0 && mixed.by_chance >= kEnoughMixed)
    return fmt::format("label '{}' is a function of column '{}': {}", schema.label_column,
                       field.column, kAsk);
  const double told = ToldByFeature(field, values, rows);
  if (told < kTellingShare) return std::nullopt;
  return fmt::format("column '{}' alone tells label '{}' ({}): {}", field.column,
                     schema.label_column,
                     rows.task == ModelTask::kRegression
                         ? fmt::format("R2 {:.3f}", told)
                         : fmt::format("{:.1f} % fewer errors by it alone", told * 100),
                     kAsk);
}

}  // namespace

std::vector<std::uint32_t> LabelNumbers(const LabelledRows& rows) {
  if (rows.task != ModelTask::kRegression) return {rows.labels.begin(), rows.labels.end()};
  std::map<float, std::uint32_t> numbers;
  std::vector<std::uint32_t> labels;
  for (const float target : rows.targets)
    labels.push_back(
        numbers.emplace(target, static_cast<std::uint32_t>(numbers.size())).first->second);
  return labels;
}

MixedValues CountMixedLabels(std::span<const float> values, std::span<const std::uint32_t> labels) {
  struct Seen {
    std::uint32_t first = 0;
    std::size_t rows = 0;
    bool mixed = false;
  };
  std::map<float, Seen> seen;
  std::vector<double> counts(UnitCount(labels), 0);
  for (std::size_t row = 0; row < values.size(); ++row) {
    Seen& of = seen[KeyOf(values[row])];
    if (of.rows++ == 0) of.first = labels[row];
    of.mixed = of.mixed || labels[row] != of.first;
    ++counts[labels[row]];
  }
  double equal = 0;  // how often two rows have one label
  for (const double count : counts)
    equal += count * count / static_cast<double>(values.size() * values.size());
  MixedValues mixed;
  for (const auto& [value, of] : seen) {
    if (of.rows < 2) continue;
    mixed.found += of.mixed ? 1 : 0;
    mixed.by_chance += 1 - std::pow(equal, static_cast<double>(of.rows - 1));
  }
  return mixed;
}

double ToldByFeature(const Field& field, std::span<const float> values, const LabelledRows& rows) {
  const std::vector<std::uint32_t> bins = BinsOf(field, values);
  return rows.task == ModelTask::kRegression ? VarianceTold(bins, rows) : ErrorsTold(bins, rows);
}

double AucOfFeature(const Field& field, std::span<const float> values,
                    std::span<const std::uint8_t> labels) {
  if (field.type == FieldType::kCategory) return AucOfCategories(values, labels);
  double best = 0.5;
  for (const float missing :
       {-std::numeric_limits<float>::infinity(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> scores(values.begin(), values.end());
    for (float& score : scores)
      if (std::isnan(score)) score = missing;
    best = std::max(best, Auc(scores, labels));
  }
  return best;
}

MixedValues CountMixedValues(std::span<const float> values, std::span<const std::uint8_t> labels) {
  MixedValues mixed;
  const auto positives = static_cast<double>(std::count(labels.begin(), labels.end(), 1));
  const double share = positives / static_cast<double>(std::max<std::size_t>(labels.size(), 1));
  for (const auto& [value, count] : CountByValue(values, labels)) {
    if (count.rows < 2) continue;
    mixed.found += count.positives > 0 && count.positives < count.rows ? 1 : 0;
    const auto rows = static_cast<double>(count.rows);
    mixed.by_chance += 1 - std::pow(share, rows) - std::pow(1 - share, rows);
  }
  return mixed;
}

std::vector<std::string> LeakWarnings(const ModelSchema& schema, const LabelledRows& rows) {
  std::vector<std::string> warnings;
  if (rows.task == ModelTask::kAnomaly || rows.rows() == 0) return warnings;
  const std::vector<const Field*> fields = schema.features();
  if (rows.task != ModelTask::kBinary) {
    const std::vector<std::uint32_t> labels = LabelNumbers(rows);
    for (std::size_t i = 0; i < fields.size(); ++i)
      if (auto warning = TaskWarning(schema, *fields[i], rows.features.Column(i), rows, labels))
        warnings.push_back(std::move(*warning));
    return warnings;
  }
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const std::vector<float> values = rows.features.Column(i);
    const MixedValues mixed = CountMixedValues(values, rows.labels);
    const double area = AucOfFeature(*fields[i], values, rows.labels);
    if (mixed.found == 0 && (mixed.by_chance >= kEnoughMixed || area == 1))
      warnings.push_back(fmt::format(
          "label '{}' is a function of column '{}' (AUC {:.3f} by it alone): is that column known "
          "before the label is? If not, leave it out (--ignore)",
          schema.label_column, fields[i]->column, area));
    else if (area >= kTellingAuc)
      warnings.push_back(fmt::format(
          "column '{}' alone tells label '{}' (AUC {:.3f}): is that column known before the label "
          "is? If not, leave it out (--ignore)",
          fields[i]->column, schema.label_column, area));
  }
  return warnings;
}

Copies CountCopies(std::span<const std::uint32_t> units, std::span<const std::uint32_t> labels) {
  Copies copies;
  constexpr std::uint32_t kUnseen = std::numeric_limits<std::uint32_t>::max();
  std::vector<std::uint32_t> first_label(UnitCount(units), kUnseen);
  for (std::size_t row = 0; row < units.size(); ++row) {
    std::uint32_t& label = first_label[units[row]];
    if (label == kUnseen) {
      label = labels[row];
      continue;
    }
    ++copies.rows;
    copies.other_label += label != labels[row] ? 1 : 0;
  }
  return copies;
}

}  // namespace skerry
