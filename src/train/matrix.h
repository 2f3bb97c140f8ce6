// The numbers that models are fitted to: one row of float32 features a source row, as the exported
// model will get them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace skerry {

// Row-major, NaN = missing. A plain value.
struct FeatureMatrix {
  std::size_t columns = 0;
  std::vector<float> values{};

  std::size_t rows() const { return columns == 0 ? 0 : values.size() / columns; }
  std::span<const float> row(std::size_t index) const {
    return std::span(values).subspan(index * columns, columns);
  }
  // The given rows, in that order.
  FeatureMatrix Select(std::span<const std::size_t> wanted) const;
  std::vector<float> Column(std::size_t index) const;
};

// Rows with what is true of them. The three are of the same length.
struct LabelledRows {
  FeatureMatrix features{};
  std::vector<std::uint8_t> labels{};  // 0 or 1
  std::vector<float> weights{};        // > 0; of mean 1 where nothing was told

  std::size_t rows() const { return labels.size(); }
  std::size_t positives() const;
  LabelledRows Select(std::span<const std::size_t> wanted) const;
};

}  // namespace skerry
