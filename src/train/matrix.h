// The numbers that models are fitted to: one row of float32 features a source row, as the exported
// model will get them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/schema.h"

namespace skerry {

// Row-major, NaN = missing. A plain value.
struct FeatureMatrix {
  std::size_t columns = 0;
  std::vector<float> values{};
  // By column whether it holds codes of categories; empty: none does.
  std::vector<std::uint8_t> categorical{};

  std::size_t rows() const { return columns == 0 ? 0 : values.size() / columns; }
  std::span<const float> row(std::size_t index) const {
    return std::span(values).subspan(index * columns, columns);
  }
  // The given rows, in that order.
  FeatureMatrix Select(std::span<const std::size_t> wanted) const;
  std::vector<float> Column(std::size_t index) const;
  // With derived columns and window features (LabelledRows::windows) behind those of the features:
  // what a predictor is fitted to.
  FeatureMatrix WithDerived(const DerivedColumns& derived, const FeatureMatrix& windows) const;
};

// Rows with what is true of them. All are of the same length.
struct LabelledRows {
  FeatureMatrix features{};
  FeatureMatrix windows{};  // their window features (window_choice.h); no columns without windows
  // The class: 0 or 1; of a multiclass task below `classes`; 0 where there are none.
  std::vector<std::uint8_t> labels{};
  std::vector<float> weights{};  // > 0; of mean 1 where nothing was told
  std::vector<float> targets{};  // of a regression; else empty
  ModelTask task = ModelTask::kBinary;
  std::size_t classes = 2;  // of a multiclass task

  std::size_t rows() const { return labels.size(); }
  std::size_t positives() const;  // of a binary task
  // How many numbers a model gives of a row: a probability each of several classes, else one.
  std::size_t outputs() const { return task == ModelTask::kMulticlass ? classes : 1; }
  LabelledRows Select(std::span<const std::size_t> wanted) const;
  LabelledRows WithDerived(const DerivedColumns& derived) const;
};

}  // namespace skerry
