// The rows of a table that memory should not hold: features in a scratch file, the rest in memory.
// Inside train.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "model/schema.h"
#include "storage/scratch_file.h"
#include "train/booster.h"
#include "train/matrix.h"
#include "train/trainer.h"

namespace skerry {

// Where a row goes: the number of its inner fold, or one of these.
constexpr std::uint8_t kHeldOut = 0xFE, kLeftOut = 0xFF;

class DiskRows {
 public:
  // The scratch file is in `directory`.
  static Result<DiskRows> Create(const std::filesystem::path& directory, const ModelSchema& schema);

  // Takes the next rows. Weights are as told; errors are those of EncodePart, and a blank group or
  // time.
  Status Append(const Table& table, const ModelSchema& schema, const TrainOptions& options);

  std::size_t rows() const { return facts.labels.size(); }
  std::size_t columns() const { return columns_; }
  std::size_t block_rows() const { return std::max<std::size_t>(1, kBlockCells / columns_); }
  // values.size() / columns() rows from `first_row` on, row-major.
  Status Read(std::size_t first_row, std::span<float> values);

  // Calls `take(row, features)` for each row that `wanted(row)`, in order.
  template <typename Wanted, typename Take>
  Status ForRows(const Wanted& wanted, const Take& take) {
    std::vector<float> block(block_rows() * columns_);
    for (std::size_t first = 0; first < rows(); first += block_rows()) {
      const std::size_t count = std::min(block_rows(), rows() - first);
      const std::span values = std::span(block).first(count * columns_);
      SKERRY_RETURN_IF_ERROR(Read(first, values));
      for (std::size_t i = 0; i < count; ++i)
        if (wanted(first + i)) take(first + i, values.subspan(i * columns_, columns_));
    }
    return {};
  }

  LabelledRows facts{};                   // of every row, but the features: columns is 0
  std::vector<std::uint64_t> copies{};    // HashOfRow; till the rows are split
  std::vector<std::uint64_t> groups{};    // by hash, where a column is named; till then
  std::vector<double> times{};            // where a column is named; till then
  std::vector<std::uint8_t> side{};       // after the split
  std::vector<std::uint64_t> unlisted{};  // by feature: cells of a category that is not listed
  std::vector<std::uint8_t> categorical{};

 private:
  DiskRows(ScratchFile file, const ModelSchema& schema);
  Status AppendColumns(const Table& table, const TrainOptions& options);
  void CountUnlisted(const FeatureMatrix& features, const ModelSchema& schema);

  ScratchFile file_;
  std::size_t columns_ = 1;
};

// The rows of some sides, for XGBoost.
class SideRows : public RowSource {
 public:
  using Wanted = bool (*)(std::uint8_t side, std::uint8_t fold);
  SideRows(DiskRows& rows, Wanted wanted, std::uint8_t fold)
      : rows_(rows), wanted_(wanted), fold_(fold) {}

  void Reset() override { next_ = 0; }
  RowBlock Next() override;
  std::size_t columns() const override { return rows_.columns(); }
  std::span<const std::uint8_t> categorical() const override { return rows_.categorical; }
  // Why rows are missing, if they could not be read.
  const Status& failed() const { return failed_; }

 private:
  void Keep(std::size_t first, std::size_t count);

  DiskRows& rows_;
  Wanted wanted_;
  std::uint8_t fold_;
  std::size_t next_ = 0;
  std::vector<float> values_{}, labels_{}, weights_{};
  Status failed_{};
};

}  // namespace skerry
