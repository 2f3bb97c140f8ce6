#include "train/row_plan.h"

#include <fmt/format.h>

#include <numeric>

#include "crypto/digest.h"
#include "train/leakage.h"

namespace skerry {
namespace {

RowUnits EachAlone(std::size_t rows) {
  RowUnits units(rows);
  std::iota(units.begin(), units.end(), 0U);
  return units;
}

template <typename T>
std::vector<T> Pick(const std::vector<T>& of, const std::vector<std::size_t>& rows) {
  std::vector<T> picked;
  for (const std::size_t row : rows) picked.push_back(of[row]);
  return picked;
}

class Planner {
 public:
  Planner(const Table& table, const LabelledRows& rows, const TrainOptions& options)
      : table_(table), rows_(rows), options_(options) {}

  Result<RowPlan> Plan() {
    SKERRY_RETURN_IF_ERROR(ReadColumns());
    FindCopies();
    if (!times_.empty()) {
      SKERRY_ASSIGN_OR_RETURN(plan_.rows,
                              HoldOutLatest(times_, groups_, options_.holdout, options_.seed));
    } else {
      SKERRY_ASSIGN_OR_RETURN(plan_.rows, HoldOutUnits(groups_.empty() ? copies_ : groups_,
                                                       options_.holdout, options_.seed));
    }
    const std::size_t before = plan_.rows.left_out;
    DropCopies(copies_, plan_.rows);
    if (options_.holdout > 0 && plan_.rows.holdout.empty())
      return Fail(ErrorCode::kInvalidArgument,
                  "each of the {} rows to be held out is a copy of a training row",
                  plan_.rows.left_out - before);
    plan_.facts.left_out = plan_.rows.left_out;
    SKERRY_RETURN_IF_ERROR(DealInnerFolds());
    plan_.facts.assignment = AssignmentDigest();
    return std::move(plan_);
  }

 private:
  Status ReadColumns() {
    SplitFacts& facts = plan_.facts;
    if (!options_.group_column.empty()) {
      SKERRY_ASSIGN_OR_RETURN(groups_, UnitsOfGroups(*table_.Find(options_.group_column)));
      facts.group_column = options_.group_column;
      facts.groups = UnitCount(groups_);
      if (facts.groups < 2)
        return Fail(ErrorCode::kInvalidArgument,
                    "group column '{}' is the same in every row: nothing can be split by it",
                    options_.group_column);
    }
    if (!options_.time_column.empty()) {
      SKERRY_ASSIGN_OR_RETURN(times_, TimesOf(*table_.Find(options_.time_column)));
      facts.time_column = options_.time_column;
    }
    return {};
  }

  void FindCopies() {
    copies_ = UnitsOfCopies(rows_.features);
    const Copies copies = CountCopies(copies_, LabelNumbers(rows_));
    plan_.facts.copies = copies.rows;
    if (copies.rows == 0) return;
    const std::size_t distinct = UnitCount(copies_);
    const bool by_nature = RepeatByNature(distinct, rows_.rows());
    plan_.warnings.push_back(fmt::format(
        "{} of {} rows have the features of an earlier row{}: {}", copies.rows, rows_.rows(),
        rows_.task == ModelTask::kAnomaly
            ? ""
            : fmt::format(", {} of them with another label", copies.other_label),
        by_nature ? "so few different rows are taken to repeat by nature, and split as they come"
                  : "such rows stay on one side of every split"));
    if (by_nature) copies_ = EachAlone(rows_.rows());
  }

  Status DealInnerFolds() {
    const std::vector<std::size_t>& training = plan_.rows.training;
    const std::vector<std::uint8_t> labels = Pick(rows_.labels, training);
    RowUnits units = Renumber(Pick(copies_, training));
    if (!groups_.empty()) {
      const RowUnits groups = Renumber(Pick(groups_, training));
      if (UnitCount(groups) < 2)
        return Fail(ErrorCode::kInvalidArgument,
                    "one group of column '{}' is left to train on: inner folds need two or more",
                    options_.group_column);
      const RowUnits joined = JoinUnits(groups, units);
      const bool tied =
          LargestUnit(joined) * 2 > training.size() && LargestUnit(joined) > LargestUnit(groups);
      if (tied)
        plan_.warnings.push_back(fmt::format(
            "equal rows tie most groups of column '{}' together: inner folds part them by group "
            "alone",
            options_.group_column));
      units = tied ? groups : joined;
    }
    const std::size_t folds = InnerFoldCount(training.size());
    plan_.folds = times_.empty() ? DealFolds(labels, units, folds, options_.seed)
                                 : FoldsByTime(Pick(times_, training), units, folds);
    return {};
  }

  std::string AssignmentDigest() const {
    std::string bytes(rows_.rows(), '\xFE');
    for (const std::size_t row : plan_.rows.holdout) bytes[row] = '\xFF';
    for (std::size_t i = 0; i < plan_.folds.size(); ++i)
      bytes[plan_.rows.training[i]] = static_cast<char>(plan_.folds[i]);
    return Digest::Sha256(bytes).ToString();
  }

  // The same units, numbered from 0 without gaps.
  static RowUnits Renumber(const RowUnits& units) {
    return JoinUnits(units, EachAlone(units.size()));
  }

  const Table& table_;
  const LabelledRows& rows_;
  const TrainOptions& options_;
  RowPlan plan_;
  RowUnits groups_{}, copies_{};
  std::vector<double> times_{};
};

}  // namespace

bool RepeatByNature(std::size_t distinct, std::size_t rows) {
  constexpr std::size_t kFewDistinct = 20;
  return distinct < kFewDistinct || distinct * 20 < rows;
}

Result<RowPlan> PlanRows(const Table& table, const LabelledRows& rows,
                         const TrainOptions& options) {
  return Planner(table, rows, options).Plan();
}

std::vector<std::uint8_t> FoldsOf(const LabelledRows& rows, std::uint64_t seed) {
  RowUnits units = UnitsOfCopies(rows.features);
  if (RepeatByNature(UnitCount(units), rows.rows())) units = EachAlone(rows.rows());
  return DealFolds(rows.labels, units, InnerFoldCount(rows.rows()), seed);
}

}  // namespace skerry
