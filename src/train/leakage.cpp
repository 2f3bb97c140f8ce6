#include "train/leakage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "train/metrics.h"

namespace skerry {
namespace {

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

}  // namespace

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
  // Fewer mixed values than that by chance say nothing about a function; a column of two values,
  // one a class, is caught by its area.
  constexpr double kEnoughMixed = 5;
  std::vector<std::string> warnings;
  if (rows.task != ModelTask::kBinary) return warnings;
  const std::vector<const Field*> fields = schema.features();
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

Copies CountCopies(std::span<const std::uint32_t> units, std::span<const std::uint8_t> labels) {
  Copies copies;
  constexpr std::uint8_t kUnseen = 0xFF;
  std::vector<std::uint8_t> first_label(UnitCount(units), kUnseen);
  for (std::size_t row = 0; row < units.size(); ++row) {
    std::uint8_t& label = first_label[units[row]];
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
