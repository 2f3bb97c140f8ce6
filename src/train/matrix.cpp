#include "train/matrix.h"

#include <algorithm>

namespace skerry {

FeatureMatrix FeatureMatrix::Select(std::span<const std::size_t> wanted) const {
  FeatureMatrix selected{.columns = columns, .categorical = categorical};
  selected.values.reserve(wanted.size() * columns);
  for (const std::size_t index : wanted) {
    const std::span<const float> values_of_row = row(index);
    selected.values.insert(selected.values.end(), values_of_row.begin(), values_of_row.end());
  }
  return selected;
}

std::vector<float> FeatureMatrix::Column(std::size_t index) const {
  std::vector<float> column;
  column.reserve(rows());
  for (std::size_t i = index; i < values.size(); i += columns) column.push_back(values[i]);
  return column;
}

FeatureMatrix FeatureMatrix::WithDerived(const DerivedColumns& derived,
                                         const FeatureMatrix& windows) const {
  FeatureMatrix expanded{.columns = columns + derived.size(), .categorical = categorical};
  if (!categorical.empty()) expanded.categorical.resize(expanded.columns, 0);
  derived.Expand(values, windows.values, expanded.values);
  return expanded;
}

std::size_t LabelledRows::positives() const {
  return static_cast<std::size_t>(std::count(labels.begin(), labels.end(), 1));
}

LabelledRows LabelledRows::Select(std::span<const std::size_t> wanted) const {
  LabelledRows selected{.features = features.Select(wanted),
                        .windows = windows.Select(wanted),
                        .task = task,
                        .classes = classes};
  for (const std::size_t index : wanted) {
    selected.labels.push_back(labels[index]);
    selected.weights.push_back(weights[index]);
    if (!targets.empty()) selected.targets.push_back(targets[index]);
  }
  return selected;
}

LabelledRows LabelledRows::WithDerived(const DerivedColumns& derived) const {
  LabelledRows expanded = *this;
  expanded.features = features.WithDerived(derived, windows);
  expanded.windows = {};
  return expanded;
}

}  // namespace skerry
