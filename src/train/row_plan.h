// Where each row of a training table goes: training with its inner fold, held out, or neither; and
// what a person should know about it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "train/matrix.h"
#include "train/splits.h"
#include "train/trainer.h"

namespace skerry {

// Fewer different rows than 20, or than a twentieth of the rows, repeat by nature: a table of some
// categories. To keep them together would hold out combinations that training never saw.
bool RepeatByNature(std::size_t distinct, std::size_t rows);

struct RowPlan {
  HeldOut rows{};
  std::vector<std::uint8_t> folds{};  // of rows.training, in that order
  SplitFacts facts{};
  std::vector<std::string> warnings{};
};

// By options.group_column and options.time_column where they are named, and never across rows of
// equal features. Features of so few different rows that they repeat by nature (RepeatByNature) are
// split by row, with a warning. Errors are those of splits.h.
Result<RowPlan> PlanRows(const Table& table, const LabelledRows& rows, const TrainOptions& options);

// The inner folds of rows that are told nothing about: copies stay together.
std::vector<std::uint8_t> FoldsOf(const LabelledRows& rows, std::uint64_t seed);

}  // namespace skerry
