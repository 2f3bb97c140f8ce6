// What in a table makes figures too good to be true: features that give the label away, and copies
// of rows. Warnings, not errors: only a person knows whether the column is there before the label
// is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/schema.h"
#include "train/matrix.h"
#include "train/splits.h"

namespace skerry {

// How well one column alone ranks the classes: the area under the ROC curve, not under 0.5, of the
// values as they are, as they fall, or (categories) by the share of class 1 among the other rows of
// the same value. Missing values rank below or above all others, whichever tells more.
double AucOfFeature(const Field& field, std::span<const float> values,
                    std::span<const std::uint8_t> labels);

// How many values that occur more than once stand beside both labels, and how many would if the
// labels were dealt by chance.
struct MixedValues {
  std::size_t found = 0;
  double by_chance = 0;
};
MixedValues CountMixedValues(std::span<const float> values, std::span<const std::uint8_t> labels);

// The same of any labels, numbered: by chance where two rows have one label as often as here.
MixedValues CountMixedLabels(std::span<const float> values, std::span<const std::uint32_t> labels);

// How much of what the label leaves open the column alone tells, at most 1: of several classes the
// share of the errors of naming the most frequent one that go away, of numbers the share of the
// variance (R2). Each row is predicted by the others of its bin: of its category, or of the two
// hundredth of the numbers that it is in; missing values are a bin.
double ToldByFeature(const Field& field, std::span<const float> values, const LabelledRows& rows);

// From this area, and from this share, on a feature "alone tells the label".
constexpr double kTellingAuc = 0.99;
constexpr double kTellingShare = 0.98;

// A number a row, the same where the label is. All 0 without labels.
std::vector<std::uint32_t> LabelNumbers(const LabelledRows& rows);

// A sentence for each feature that alone tells the label, or of which the label is a function.
std::vector<std::string> LeakWarnings(const ModelSchema& schema, const LabelledRows& rows);

// Rows whose features another row has too.
struct Copies {
  std::size_t rows = 0;         // that are copies of an earlier row
  std::size_t other_label = 0;  // of these: with another label than the first of them
};
Copies CountCopies(std::span<const std::uint32_t> units, std::span<const std::uint32_t> labels);

}  // namespace skerry
