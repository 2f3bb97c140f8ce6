#include "train/splits.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "base/random.h"
#include "train/training_set.h"

namespace skerry {
namespace {

constexpr std::size_t kManyRows = 100'000;

// The same bits for every NaN, and for both zeros.
std::uint32_t CellBits(float value) {
  if (std::isnan(value)) return 0x7FC00000U;
  return value == 0 ? 0 : std::bit_cast<std::uint32_t>(value);
}

bool SameCells(std::span<const float> a, std::span<const float> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](float x, float y) { return CellBits(x) == CellBits(y); });
}

std::uint32_t RootOf(std::vector<std::uint32_t>& parent, std::uint32_t row) {
  while (parent[row] != row) {
    parent[row] = parent[parent[row]];
    row = parent[row];
  }
  return row;
}

std::vector<std::uint32_t> Sizes(std::span<const std::uint32_t> units) {
  std::vector<std::uint32_t> sizes(UnitCount(units), 0);
  for (const std::uint32_t unit : units) ++sizes[unit];
  return sizes;
}

// The rows of each unit.
class RowsByUnit {
 public:
  explicit RowsByUnit(std::span<const std::uint32_t> units)
      : first_(UnitCount(units) + 1, 0), rows_(units.size()) {
    for (const std::uint32_t unit : units) ++first_[unit + 1];
    std::partial_sum(first_.begin(), first_.end(), first_.begin());
    std::vector<std::uint32_t> next(first_.begin(), first_.end());
    for (std::uint32_t row = 0; row < units.size(); ++row) rows_[next[units[row]]++] = row;
  }
  std::span<const std::uint32_t> rows(std::uint32_t unit) const {
    return std::span(rows_).subspan(first_[unit], first_[unit + 1] - first_[unit]);
  }

 private:
  std::vector<std::uint32_t> first_;  // of unit i in rows_; one more at the end
  std::vector<std::uint32_t> rows_;
};

std::size_t ShareOf(std::size_t rows, double share) {
  return static_cast<std::size_t>(std::llround(static_cast<double>(rows) * share));
}

}  // namespace

std::size_t UnitCount(std::span<const std::uint32_t> units) {
  return units.empty() ? 0 : std::size_t{*std::max_element(units.begin(), units.end())} + 1;
}

std::size_t LargestUnit(std::span<const std::uint32_t> units) {
  const std::vector<std::uint32_t> sizes = Sizes(units);
  return sizes.empty() ? 0 : *std::max_element(sizes.begin(), sizes.end());
}

std::uint64_t HashOfRow(std::span<const float> features) {
  std::uint64_t hash = 0x9E3779B97F4A7C15U;
  for (const float value : features) {
    hash = (hash ^ CellBits(value)) * 0xFF51AFD7ED558CCDU;
    hash ^= hash >> 32U;
  }
  return hash;
}

RowUnits UnitsOfCopies(const FeatureMatrix& rows) {
  std::vector<std::pair<std::uint64_t, std::uint32_t>> hashed(rows.rows());
  for (std::size_t row = 0; row < hashed.size(); ++row)
    hashed[row] = {HashOfRow(rows.row(row)), static_cast<std::uint32_t>(row)};
  std::sort(hashed.begin(), hashed.end());
  RowUnits first_copy(hashed.size());   // the first row that is equal
  std::vector<std::uint32_t> distinct;  // of one hash: almost always one
  for (std::size_t i = 0; i < hashed.size(); ++i) {
    if (i == 0 || hashed[i].first != hashed[i - 1].first) distinct.clear();
    const std::uint32_t row = hashed[i].second;
    const auto same = std::find_if(distinct.begin(), distinct.end(), [&](std::uint32_t other) {
      return SameCells(rows.row(row), rows.row(other));
    });
    first_copy[row] = same == distinct.end() ? row : *same;
    if (same == distinct.end()) distinct.push_back(row);
  }
  std::uint32_t next = 0;
  RowUnits units(first_copy.size());
  for (std::uint32_t row = 0; row < units.size(); ++row)
    units[row] = first_copy[row] == row ? next++ : units[first_copy[row]];
  return units;
}

Result<RowUnits> UnitsOfGroups(const Column& column) {
  std::map<std::string, std::uint32_t> numbers;
  RowUnits units;
  std::vector<std::size_t> blank;
  for (std::size_t row = 0; row < column.rows(); ++row) {
    std::string text = CellText(column, row);
    if (text.empty()) blank.push_back(row);
    const auto next = static_cast<std::uint32_t>(numbers.size());
    units.push_back(numbers.emplace(std::move(text), next).first->second);
  }
  if (!blank.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "group column '{}' is blank in row {}: every row belongs to a group", column.name,
                RowList(blank));
  return units;
}

RowUnits JoinUnits(std::span<const std::uint32_t> a, std::span<const std::uint32_t> b) {
  RowUnits parent(a.size());
  std::iota(parent.begin(), parent.end(), 0U);
  for (const auto& units : {a, b}) {
    constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
    std::vector<std::uint32_t> first(UnitCount(units), kNone);
    for (std::uint32_t row = 0; row < units.size(); ++row) {
      std::uint32_t& first_row = first[units[row]];
      if (first_row == kNone) first_row = row;
      const std::uint32_t root = RootOf(parent, row);
      const std::uint32_t other = RootOf(parent, first_row);
      parent[std::max(root, other)] = std::min(root, other);
    }
  }
  std::uint32_t next = 0;
  RowUnits joined(parent.size());
  for (std::uint32_t row = 0; row < joined.size(); ++row) {
    const std::uint32_t root = RootOf(parent, row);
    joined[row] = root == row ? next++ : joined[root];
  }
  return joined;
}

Result<std::vector<double>> TimesOf(const Column& column) {
  if (column.type == ColumnType::kText || column.type == ColumnType::kBool)
    return Fail(ErrorCode::kInvalidArgument,
                "time column '{}' holds {}, not times, dates or numbers (2026-01-31, "
                "2026-01-31 12:00:00 or a number that grows)",
                column.name, ColumnTypeName(column.type));
  std::vector<double> times;
  std::vector<std::size_t> blank;
  for (std::size_t row = 0; row < column.rows(); ++row) {
    times.push_back(column.type == ColumnType::kDouble ? column.doubles[row]
                                                       : static_cast<double>(column.ints[row]));
    if (column.IsNull(row) || std::isnan(times.back())) blank.push_back(row);
  }
  if (!blank.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "time column '{}' is blank in row {}: fill it in or remove these rows", column.name,
                RowList(blank));
  return times;
}

Result<HeldOut> HoldOutUnits(std::span<const std::uint32_t> units, double share,
                             std::uint64_t seed) {
  const std::vector<std::uint32_t> sizes = Sizes(units);
  const std::size_t target = ShareOf(units.size(), share);
  enum : std::uint8_t { kOpen, kHeld, kTrains };
  std::vector<std::uint8_t> side(sizes.size(), kOpen);
  HeldOut split;
  std::size_t held = 0;
  for (const std::size_t row : ShuffledRows(units.size(), seed)) {
    std::uint8_t& chosen = side[units[row]];
    if (chosen == kOpen) {
      chosen = held + sizes[units[row]] <= target ? kHeld : kTrains;
      if (chosen == kHeld) held += sizes[units[row]];
    }
    (chosen == kHeld ? split.holdout : split.training).push_back(row);
  }
  if (target > 0 && (split.holdout.empty() || split.training.empty()))
    return Fail(ErrorCode::kInvalidArgument,
                "{} of {} rows cannot be held out: they come in {} groups that must not be parted, "
                "none of them small enough; hold out more, or none (0)",
                target, units.size(), sizes.size());
  return split;
}

Result<HeldOut> HoldOutLatest(std::span<const double> times, std::span<const std::uint32_t> groups,
                              double share, std::uint64_t seed) {
  const std::size_t target = ShareOf(times.size(), share);
  HeldOut split;
  const std::vector<std::size_t> order = ShuffledRows(times.size(), seed);
  if (target == 0) {
    split.training = order;
    return split;
  }
  std::vector<double> sorted(times.begin(), times.end());
  std::sort(sorted.begin(), sorted.end());
  const double cut = sorted[sorted.size() - target];
  // Rows of the time at the cut are all held out, unless these are all the rows.
  const bool cut_is_first = cut == sorted.front();
  const auto is_late = [&](double time) { return cut_is_first ? time > cut : time >= cut; };
  std::vector<std::uint8_t> group_is_late(UnitCount(groups), 0);
  for (std::size_t row = 0; row < groups.size(); ++row)
    if (is_late(times[row])) group_is_late[groups[row]] = 1;
  for (const std::size_t row : order) {
    if (is_late(times[row]))
      split.holdout.push_back(row);
    else if (!groups.empty() && group_is_late[groups[row]] != 0)
      ++split.left_out;
    else
      split.training.push_back(row);
  }
  if (split.holdout.empty())
    return Fail(ErrorCode::kInvalidArgument, "every row has the same time: none is the latest");
  if (split.training.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "every group has rows among the latest {}: name either a group or a time column",
                split.holdout.size());
  return split;
}

void DropCopies(std::span<const std::uint32_t> copies, HeldOut& split) {
  std::vector<std::uint8_t> trained(UnitCount(copies), 0);
  for (const std::size_t row : split.training) trained[copies[row]] = 1;
  split.left_out +=
      std::erase_if(split.holdout, [&](std::size_t row) { return trained[copies[row]] != 0; });
}

std::size_t InnerFoldCount(std::size_t rows) { return rows < kManyRows ? 5 : 2; }

std::vector<std::uint8_t> DealFolds(std::span<const std::uint8_t> strata,
                                    std::span<const std::uint32_t> units, std::size_t folds,
                                    std::uint64_t seed) {
  constexpr std::size_t kStrata = 256;
  std::array<std::uint64_t, kStrata> total{};
  for (const std::uint8_t stratum : strata) ++total[stratum];
  const RowsByUnit members(units);
  // What a fold has so far. A unit goes where the rarest of its strata is rarest, then to the
  // smallest fold: with units of one row these are stratified folds.
  struct Fold {
    std::array<std::uint64_t, kStrata> dealt{};
    std::uint64_t rows = 0;
  };
  std::vector<Fold> dealt(folds);
  std::vector<std::uint8_t> fold_of_row(units.size());
  std::vector<std::uint8_t> is_dealt(UnitCount(units), 0);
  for (const std::size_t row : ShuffledRows(units.size(), seed)) {
    if (std::exchange(is_dealt[units[row]], 1) != 0) continue;
    const std::span<const std::uint32_t> rows = members.rows(units[row]);
    std::uint8_t rarest = strata[row];
    for (const std::uint32_t member : rows)
      if (total[strata[member]] < total[rarest]) rarest = strata[member];
    const auto least = std::min_element(dealt.begin(), dealt.end(), [&](auto& a, auto& b) {
      return std::pair(a.dealt[rarest], a.rows) < std::pair(b.dealt[rarest], b.rows);
    });
    for (const std::uint32_t member : rows) {
      ++least->dealt[strata[member]];
      ++least->rows;
      fold_of_row[member] = static_cast<std::uint8_t>(least - dealt.begin());
    }
  }
  return fold_of_row;
}

FoldRows RowsOfFold(std::span<const std::uint8_t> folds, std::uint8_t number) {
  FoldRows rows;
  for (std::size_t row = 0; row < folds.size(); ++row)
    (folds[row] == number ? rows.outside : rows.inside).push_back(row);
  return rows;
}

std::vector<std::uint8_t> FoldNumbers(std::span<const std::uint8_t> folds) {
  const std::set<std::uint8_t> numbers(folds.begin(), folds.end());
  return {numbers.begin(), numbers.end()};
}

std::vector<std::uint8_t> FoldsByTime(std::span<const double> times,
                                      std::span<const std::uint32_t> units, std::size_t folds) {
  std::vector<std::size_t> order(times.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return times[a] < times[b]; });
  constexpr std::uint8_t kUndealt = 0xFF;
  std::vector<std::uint8_t> fold_of(UnitCount(units), kUndealt);
  std::vector<std::uint8_t> folds_of_rows(times.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    std::uint8_t& fold = fold_of[units[order[i]]];
    if (fold == kUndealt) fold = static_cast<std::uint8_t>(i * folds / order.size());
    folds_of_rows[order[i]] = fold;
  }
  return folds_of_rows;
}

}  // namespace skerry
