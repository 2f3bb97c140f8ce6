// Which rows are held out and which inner fold a row is in: never two copies of one row on two
// sides, by group or by time where such a column is named. Pure functions, deterministic for a
// seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "train/matrix.h"

namespace skerry {

// A number a row, 0 .. n-1, the same for rows that must not be parted.
using RowUnits = std::vector<std::uint32_t>;

std::size_t UnitCount(std::span<const std::uint32_t> units);
// Rows of the unit that has most.
std::size_t LargestUnit(std::span<const std::uint32_t> units);

// The same for rows whose features are equal, bit for bit (every NaN is the same missing value, and
// both zeros are one); of others almost surely another.
std::uint64_t HashOfRow(std::span<const float> features);

// Rows whose features are equal, bit for bit (every NaN is the same missing value).
RowUnits UnitsOfCopies(const FeatureMatrix& rows);
// Rows with the same text in the column. kInvalidArgument: a blank cell, with its rows.
Result<RowUnits> UnitsOfGroups(const Column& column);
// The least units that part neither those of `a` nor those of `b`.
RowUnits JoinUnits(std::span<const std::uint32_t> a, std::span<const std::uint32_t> b);

// Times as numbers that only their order is used of. kInvalidArgument: a column of words, or a
// blank cell, with its rows.
Result<std::vector<double>> TimesOf(const Column& column);

struct HeldOut {
  std::vector<std::size_t> training{}, holdout{};
  std::size_t left_out = 0;  // rows on neither side, since they would be on both
};

// Takes whole units in the order of a shuffle until `share` of the rows are held out. Where every
// row is its own unit these are the first round(share * rows) of ShuffledRows.
// kInvalidArgument when no unit is small enough.
Result<HeldOut> HoldOutUnits(std::span<const std::uint32_t> units, double share,
                             std::uint64_t seed);

// Holds out the latest `share` of the rows; rows of one time are not parted. Earlier rows of a
// group that has later ones are left out. kInvalidArgument when one side would be empty.
Result<HeldOut> HoldOutLatest(std::span<const double> times, std::span<const std::uint32_t> groups,
                              double share, std::uint64_t seed);

// Takes those rows out of `split.holdout` that have a copy among the training rows.
void DropCopies(std::span<const std::uint32_t> copies, HeldOut& split);

// 5, or 2 from 100,000 rows on.
std::size_t InnerFoldCount(std::size_t rows);

// A fold number a row; units stay whole, and every fold has its share of each stratum (0, 1, ...).
std::vector<std::uint8_t> DealFolds(std::span<const std::uint8_t> strata,
                                    std::span<const std::uint32_t> units, std::size_t folds,
                                    std::uint64_t seed);

// What is learnt from and what is left out where fold `number` is: in order.
struct FoldRows {
  std::vector<std::size_t> inside{};   // of the other folds
  std::vector<std::size_t> outside{};  // of that fold
};
FoldRows RowsOfFold(std::span<const std::uint8_t> folds, std::uint8_t number);
// The numbers that occur, rising.
std::vector<std::uint8_t> FoldNumbers(std::span<const std::uint8_t> folds);

// Folds that follow each other in time, of about equal size; a unit is in the fold of its earliest
// row.
std::vector<std::uint8_t> FoldsByTime(std::span<const double> times,
                                      std::span<const std::uint32_t> units, std::size_t folds);

}  // namespace skerry
