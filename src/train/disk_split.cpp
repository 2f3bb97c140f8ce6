#include "train/disk_split.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>
#include <vector>

#include "base/random.h"
#include "train/row_plan.h"
#include "train/splits.h"

namespace skerry {
namespace {

// Salts of what is drawn by a row's hash.
constexpr std::uint64_t kSideSalt = 1, kFoldSalt = 11;

std::uint64_t CountDistinct(std::vector<std::uint64_t> hashes) {
  std::sort(hashes.begin(), hashes.end());
  return static_cast<std::uint64_t>(std::unique(hashes.begin(), hashes.end()) - hashes.begin());
}

// The value that a share of the values is below.
double Quantile(std::vector<double> values, double share) {
  const auto at = static_cast<std::ptrdiff_t>(
      std::min(share * static_cast<double>(values.size()), static_cast<double>(values.size() - 1)));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<std::size_t>(at)];
}

// Fills DiskRows::side.
class Splitter {
 public:
  Splitter(DiskRows& rows, const TrainOptions& options, SampledFit& fit)
      : rows_(rows), options_(options), fit_(fit) {}

  Status Split() {
    const std::uint64_t distinct = CountDistinct(rows_.copies);
    fit_.rows = rows_.rows();
    fit_.split.copies = rows_.rows() - distinct;
    fit_.copies_by_nature = RepeatByNature(distinct, rows_.rows());
    if (!rows_.groups.empty()) fit_.split.groups = CountDistinct(rows_.groups);
    if (fit_.split.groups == 1)
      return Fail(ErrorCode::kInvalidArgument,
                  "group column '{}' is the same in every row: nothing can be split by it",
                  options_.group_column);
    HoldOut();
    if (!rows_.times.empty() && !rows_.groups.empty()) LeaveOutEarlyRows();
    if ((!rows_.times.empty() || !rows_.groups.empty()) && !fit_.copies_by_nature) LeaveOutCopies();
    DealFolds();
    return Count();
  }

 private:
  void HoldOut() {
    rows_.side.assign(rows_.rows(), 0);
    if (options_.holdout == 0) return;
    if (rows_.times.empty()) {
      for (std::size_t row = 0; row < rows_.rows(); ++row)
        if (UnitInterval(MixHash(UnitOf(rows_, fit_, row) ^ options_.seed, kSideSalt)) <
            options_.holdout)
          rows_.side[row] = kHeldOut;
      return;
    }
    const double cut = Quantile(rows_.times, 1 - options_.holdout);
    const bool cut_is_first = cut == *std::ranges::min_element(rows_.times);
    for (std::size_t row = 0; row < rows_.rows(); ++row)
      if (cut_is_first ? rows_.times[row] > cut : rows_.times[row] >= cut)
        rows_.side[row] = kHeldOut;
  }

  void LeaveOutEarlyRows() {
    std::unordered_set<std::uint64_t> late;
    for (std::size_t row = 0; row < rows_.rows(); ++row)
      if (rows_.side[row] == kHeldOut) late.insert(rows_.groups[row]);
    for (std::size_t row = 0; row < rows_.rows(); ++row)
      if (rows_.side[row] != kHeldOut && late.contains(rows_.groups[row]))
        rows_.side[row] = kLeftOut;
  }

  void LeaveOutCopies() {
    std::vector<std::uint64_t> trained;
    for (std::size_t row = 0; row < rows_.rows(); ++row)
      if (rows_.side[row] < kHeldOut) trained.push_back(rows_.copies[row]);
    std::sort(trained.begin(), trained.end());
    for (std::size_t row = 0; row < rows_.rows(); ++row)
      if (rows_.side[row] == kHeldOut && std::ranges::binary_search(trained, rows_.copies[row]))
        rows_.side[row] = kLeftOut;
  }

  void DealFolds() {
    const std::size_t folds = InnerFoldCount(rows_.rows());
    std::vector<double> edges;
    if (!rows_.times.empty()) {
      std::vector<double> trained;
      for (std::size_t row = 0; row < rows_.rows(); ++row)
        if (rows_.side[row] < kHeldOut) trained.push_back(rows_.times[row]);
      for (std::size_t i = 1; i < folds && !trained.empty(); ++i)
        edges.push_back(Quantile(trained, static_cast<double>(i) / static_cast<double>(folds)));
    }
    for (std::size_t row = 0; row < rows_.rows(); ++row) {
      if (rows_.side[row] >= kHeldOut) continue;
      rows_.side[row] = static_cast<std::uint8_t>(
          rows_.times.empty() ? MixHash(UnitOf(rows_, fit_, row) ^ options_.seed, kFoldSalt) % folds
                              : static_cast<std::size_t>(std::ranges::count_if(
                                    edges, [&](double e) { return rows_.times[row] > e; })));
    }
  }

  Status Count() {
    for (std::size_t row = 0; row < rows_.rows(); ++row) {
      const std::uint8_t side = rows_.side[row];
      const bool positive = rows_.facts.task == ModelTask::kBinary && rows_.facts.labels[row] != 0;
      fit_.split.left_out += side == kLeftOut ? 1 : 0;
      fit_.holdout_rows += side == kHeldOut ? 1 : 0;
      fit_.training_rows += side < kHeldOut ? 1 : 0;
      fit_.holdout_positives += side == kHeldOut && positive ? 1 : 0;
      fit_.training_positives += side < kHeldOut && positive ? 1 : 0;
    }
    if (options_.holdout > 0 && fit_.holdout_rows == 0)
      return Fail(ErrorCode::kInvalidArgument,
                  "no row is left to be held out: hold out more, or none (0)");
    if (fit_.training_rows > 0) return {};
    return Fail(ErrorCode::kInvalidArgument,
                "no row is left to train on: hold out less, or name either a group or a time "
                "column");
  }

  DiskRows& rows_;
  const TrainOptions& options_;
  SampledFit& fit_;
};

}  // namespace

std::uint64_t MixHash(std::uint64_t a, std::uint64_t b) {
  return MixBits(a + 0x9E3779B97F4A7C15U * (b + 1));
}

Status SplitOnDisk(const TrainOptions& options, DiskRows& rows, SampledFit& fit) {
  return Splitter(rows, options, fit).Split();
}

std::uint64_t UnitOf(const DiskRows& rows, const SampledFit& fit, std::size_t row) {
  if (!rows.groups.empty()) return rows.groups[row];
  return fit.copies_by_nature ? MixHash(rows.copies[row], row) : rows.copies[row];
}

}  // namespace skerry
