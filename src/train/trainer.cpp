#include "train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <iterator>
#include <numeric>

#include "base/ids.h"
#include "base/random.h"
#include "crypto/digest.h"
#include "tabular/engine.h"
#include "train/leakage.h"
#include "train/model_fit.h"
#include "train/package_writer.h"
#include "train/row_plan.h"
#include "train/training_set.h"

namespace skerry {
namespace {

Status CheckOptions(const TrainOptions& options) {
  SKERRY_RETURN_IF_ERROR(CheckName("model name", options.name));
  SKERRY_RETURN_IF_ERROR(CheckVersion("model version", options.version));
  SKERRY_RETURN_IF_ERROR(CheckOutput(options.out));
  if (options.data.empty()) return Fail(ErrorCode::kInvalidArgument, "name the data to train on");
  constexpr std::array<std::string_view, 5> kTasks = {"", "classification", "multiclass",
                                                      "regression", "anomaly"};
  if (std::ranges::find(kTasks, options.task) == kTasks.end())
    return Fail(
        ErrorCode::kInvalidArgument,
        "there is no task '{}'; there are classification, multiclass, regression and anomaly",
        options.task);
  if (options.task == "anomaly" && !options.label.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "an anomaly detector learns without a label: leave out --label {}, and ignore the "
                "column if it is no feature (--ignore)",
                options.label);
  if (options.label.empty() && options.task != "anomaly")
    return Fail(ErrorCode::kInvalidArgument, "name the column that is to be learnt (label)");
  if (!(options.holdout >= 0 && options.holdout < 1))
    return Fail(ErrorCode::kInvalidArgument, "holdout is {}; it is a share from 0 to under 1",
                options.holdout);
  if (options.holdout > 0 && !options.holdout_data.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "held-out files were named, so holdout must be 0: all of the data trains");
  const DetectorParameters& detector = options.detector;
  if (detector.trees < 1 || detector.samples < 2 || !(detector.alarm_rate >= 0) ||
      !(detector.alarm_rate < 1))
    return Fail(ErrorCode::kInvalidArgument,
                "the detector needs a tree, two samples and an alarm rate from 0 to under 1");
  return {};
}

// Appends `more` below `table`: the same columns in any order; whole numbers become fractions where
// one of the two has fractions.
Status AppendTable(Table& table, const Table& more, const std::string& file) {
  for (Column& column : table.columns) {
    const Column* other = more.Find(column.name);
    if (other == nullptr)
      return Fail(ErrorCode::kInvalidArgument, "{} has no column '{}', which the first file has",
                  file, column.name);
    const bool widen = column.type == ColumnType::kInt64 && other->type == ColumnType::kDouble;
    if (widen) {
      column.type = ColumnType::kDouble;
      column.doubles.assign(column.ints.begin(), column.ints.end());
      column.ints.clear();
    }
    const bool narrow = column.type == ColumnType::kDouble && other->type == ColumnType::kInt64;
    if (column.type != other->type && !narrow)
      return Fail(ErrorCode::kInvalidArgument, "column '{}' is {} in {}, and {} in the first file",
                  column.name, ColumnTypeName(other->type), file, ColumnTypeName(column.type));
    if (narrow) column.doubles.insert(column.doubles.end(), other->ints.begin(), other->ints.end());
    if (!narrow) {
      column.ints.insert(column.ints.end(), other->ints.begin(), other->ints.end());
      column.doubles.insert(column.doubles.end(), other->doubles.begin(), other->doubles.end());
      column.texts.insert(column.texts.end(), other->texts.begin(), other->texts.end());
    }
    column.valid.insert(column.valid.end(), other->valid.begin(), other->valid.end());
  }
  return {};
}

Result<Table> ReadTables(TabularEngine& engine, const std::vector<std::filesystem::path>& paths) {
  Table table;
  for (const std::filesystem::path& path : paths) {
    SKERRY_ASSIGN_OR_RETURN(Table more, engine.ReadFile(path, {}));
    if (table.columns.empty())
      table = std::move(more);
    else
      SKERRY_RETURN_IF_ERROR(AppendTable(table, more, path.string()));
  }
  return table;
}

struct DataFacts {
  std::string digest{};
  std::vector<std::string> lines{};  // for the card
};

Result<DataFacts> DescribeData(const std::vector<std::filesystem::path>& paths) {
  DataFacts facts;
  std::string digests;
  for (const std::filesystem::path& path : paths) {
    SKERRY_ASSIGN_OR_RETURN(const Digest digest, DigestOfFile(path));
    facts.lines.push_back(fmt::format("{} ({})", path.filename().string(), digest.ToString()));
    digests += digest.ToString() + "\n";
    facts.digest = digest.ToString();
  }
  if (paths.size() > 1) facts.digest = Digest::Sha256(digests).ToString();
  return facts;
}

// Fills training and held-out rows of `input`.
Status SplitRows(const TrainOptions& options, TabularEngine& engine, const LabelledRows& rows,
                 RowPlan plan, FitInput& input) {
  input.training = rows.Select(plan.rows.training);
  input.holdout = rows.Select(plan.rows.holdout);
  input.folds = std::move(plan.folds);
  if (options.holdout_data.empty()) return {};
  SKERRY_ASSIGN_OR_RETURN(const Table table, ReadTables(engine, options.holdout_data));
  SKERRY_ASSIGN_OR_RETURN(input.holdout, EncodeRows(table, input.schema, ""), "held-out rows");
  return {};
}

}  // namespace

std::vector<std::size_t> ShuffledRows(std::size_t rows, std::uint64_t seed) {
  std::vector<std::size_t> order(rows);
  std::iota(order.begin(), order.end(), std::size_t{0});
  SeededRandom random(seed);
  random.Shuffle(order);
  return order;
}

Result<TrainReport> Train(const TrainOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  SKERRY_RETURN_IF_ERROR(CheckOptions(options));
  const auto say = [&](const std::string& line) {
    if (options.progress) options.progress(line);
  };
  SKERRY_ASSIGN_OR_RETURN(const auto engine, TabularEngine::Open({}));
  SKERRY_ASSIGN_OR_RETURN(const Table table, ReadTables(*engine, options.data));
  SKERRY_ASSIGN_OR_RETURN(const DataFacts facts, DescribeData(options.data));
  say(fmt::format("{} rows of {} columns", table.rows(), table.columns.size()));
  SKERRY_ASSIGN_OR_RETURN(ChosenSchema chosen, ChooseSchema(table, options));
  for (const std::string& note : chosen.notes) say(note);
  SKERRY_ASSIGN_OR_RETURN(const LabelledRows rows,
                          EncodeRows(table, chosen.schema, options.weight_column));

  FitInput input{.schema = std::move(chosen.schema),
                 .parameters = options.parameters,
                 .detector = options.detector,
                 .seed = options.seed,
                 .progress = options.progress,
                 .cancelled = options.cancelled};
  SKERRY_ASSIGN_OR_RETURN(RowPlan plan, PlanRows(table, rows, options));
  const SplitFacts split = plan.facts;
  std::vector<std::string> warnings = LeakWarnings(input.schema, rows);
  warnings.insert(warnings.end(), plan.warnings.begin(), plan.warnings.end());
  for (const std::string& warning : warnings) say("warning: " + warning);
  SKERRY_RETURN_IF_ERROR(SplitRows(options, *engine, rows, std::move(plan), input));
  SKERRY_ASSIGN_OR_RETURN(FittedPackage package, FitPackage(input));
  package.report.name = options.name;
  package.report.version = options.version;
  package.report.data_digest = facts.digest;
  package.report.split = split;
  package.report.warnings = std::move(warnings);
  package.report.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (options.cancelled && options.cancelled()) return Fail(ErrorCode::kUnavailable, "interrupted");
  SKERRY_RETURN_IF_ERROR(WritePackage(package, facts.lines, options.out));
  return package.report;
}

}  // namespace skerry
