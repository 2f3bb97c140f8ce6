#include "train/window_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <set>

#include "base/limits.h"
#include "model/window_state.h"
#include "train/splits.h"
#include "train/trainer.h"
#include "train/training_set.h"

namespace skerry {
namespace {

Result<std::size_t> ParseLength(std::string_view text) {
  std::size_t rows = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, rows);
  if (error == std::errc() && rest == end && rows >= 2 && rows <= limits::kWindowRows) return rows;
  return Fail(ErrorCode::kInvalidArgument,
              "'{}' is no length of a window: 2 to {} rows (kWindowRows)", text,
              limits::kWindowRows);
}

// The field of a column that is carried; `what` is it for.
Result<std::string> CarriedField(const ModelSchema& schema, const std::string& column,
                                 const char* what) {
  const Field* field = schema.FindColumn(column);
  if (field == nullptr || field->role == FieldRole::kFeature)
    return Fail(ErrorCode::kInvalidArgument,
                "column '{}' is left out, and windows need it as their {}: do not ignore it",
                column, what);
  return field->name;
}

Result<std::vector<std::string>> NumberFeatures(const TrainOptions& options,
                                                const ModelSchema& schema) {
  std::vector<std::string> names;
  for (const Field* field : schema.features())
    if (field->type == FieldType::kNumber && options.windows.columns.empty())
      names.push_back(field->name);
  for (const std::string& column : options.windows.columns) {
    const Field* field = schema.FindColumn(column);
    if (field == nullptr || field->role != FieldRole::kFeature || field->type != FieldType::kNumber)
      return Fail(ErrorCode::kInvalidArgument,
                  "column '{}' is no feature of numbers, which windows are made of", column);
    if (std::ranges::count(names, field->name) == 0) names.push_back(field->name);
  }
  if (names.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "windows are made of number features, and there is none: leave out --window");
  return names;
}

std::vector<WindowFeature> FeaturesOf(const std::string& of, const std::vector<std::size_t>& rows,
                                      std::set<std::string>& taken) {
  std::vector<WindowFeature> features;
  const auto add = [&](WindowStatistic statistic, std::size_t length) {
    std::string name = fmt::format("{}_{}_{}", of, WindowStatisticName(statistic), length);
    while (!taken.insert(name).second) name += "_window";
    features.push_back({std::move(name), statistic, of, length});
  };
  for (const std::size_t length : rows)
    for (const auto statistic :
         {WindowStatistic::kMean, WindowStatistic::kDeviation, WindowStatistic::kMinimum,
          WindowStatistic::kMaximum, WindowStatistic::kSlope, WindowStatistic::kLag})
      add(statistic, length);
  add(WindowStatistic::kLag, 1);
  return features;
}

}  // namespace

Result<WindowOptions> WindowOptions::Parse(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0)
    return Fail(ErrorCode::kInvalidArgument,
                "'{}' is not COLUMN:ROWS, as machine:30 or machine:5,30", text);
  WindowOptions options{.entity = std::string(text.substr(0, colon))};
  std::string_view rest = text.substr(colon + 1);
  for (bool more = true; more;) {
    const std::size_t comma = rest.find(',');
    SKERRY_ASSIGN_OR_RETURN(const std::size_t rows, ParseLength(rest.substr(0, comma)));
    if (std::ranges::count(options.rows, rows) == 0) options.rows.push_back(rows);
    more = comma != std::string_view::npos;
    if (more) rest.remove_prefix(comma + 1);
  }
  std::ranges::sort(options.rows);
  return options;
}

Json WindowOptions::ToJson() const {
  return {{"entity", entity}, {"rows", rows}, {"columns", columns}};
}

Status CheckWindows(const TrainOptions& options) {
  if (options.windows.entity.empty()) {
    if (options.windows.columns.empty()) return {};
    return Fail(ErrorCode::kInvalidArgument,
                "--window-column says what windows are made of: add --window COLUMN:ROWS");
  }
  if (options.time_column.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "windows look back in time: name the column that orders the rows (--time)");
  if (options.time_column == options.windows.entity)
    return Fail(ErrorCode::kInvalidArgument,
                "column '{}' is named twice: as the time and as the entity of windows",
                options.time_column);
  if (options.task == "anomaly")
    return Fail(ErrorCode::kInvalidArgument,
                "an anomaly detector sees the features of a row alone: leave out --window");
  if (options.spark.asked())
    return Fail(ErrorCode::kUnimplemented,
                "windows are computed by the embedded engine alone: leave out --window, or train "
                "without --engine spark");
  return {};
}

Status ChooseWindows(const TrainOptions& options, std::size_t rows, ModelSchema& schema) {
  if (options.windows.entity.empty()) return {};
  WindowSet windows;
  SKERRY_ASSIGN_OR_RETURN(windows.entity, CarriedField(schema, options.windows.entity, "entity"));
  SKERRY_ASSIGN_OR_RETURN(windows.time, CarriedField(schema, options.time_column, "time"));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> of, NumberFeatures(options, schema));
  std::set<std::string> taken;
  for (const Field& field : schema.fields) taken.insert(field.name);
  for (const std::string& name : of) {
    std::vector<WindowFeature> more = FeaturesOf(name, options.windows.rows, taken);
    std::ranges::move(more, std::back_inserter(windows.features));
  }
  const std::string ask = "name the columns that matter (--window-column), or fewer lengths";
  if (windows.size() > limits::kWindowFeatures)
    return Fail(ErrorCode::kTooLarge,
                "{} window features of {} columns, the limit kWindowFeatures is {}: {}",
                windows.size(), of.size(), limits::kWindowFeatures, ask);
  if (rows * windows.size() > limits::kWholeTableCells)
    return Fail(ErrorCode::kTooLarge,
                "{} window features of {} rows are over {} numbers (kWholeTableCells): {}, or "
                "train on fewer rows",
                windows.size(), rows, limits::kWholeTableCells, ask);
  if (options.progress)
    options.progress(fmt::format("{} window features of {} number columns, over {} rows by '{}'",
                                 windows.size(), of.size(), fmt::join(options.windows.rows, ", "),
                                 options.windows.entity));
  schema.windows = std::move(windows);
  return {};
}

Result<FeatureMatrix> WindowsOf(const Table& table, const ModelSchema& schema,
                                const FeatureMatrix& features) {
  FeatureMatrix windows{.columns = schema.windows.size()};
  if (schema.windows.empty()) return windows;
  SKERRY_ASSIGN_OR_RETURN(const Column* entity,
                          FindColumn(table, schema.Find(schema.windows.entity)->column,
                                     "column for the entity of windows"));
  SKERRY_ASSIGN_OR_RETURN(const Column* time,
                          FindColumn(table, schema.Find(schema.windows.time)->column,
                                     "column for the time of windows"));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<double> times, TimesOf(*time));
  std::vector<std::size_t> order(table.rows());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t row) { return times[row]; });
  windows.values.resize(table.rows() * windows.columns);
  WindowState state(schema);
  for (const std::size_t row : order) {
    const std::string name = CellText(*entity, row);
    SKERRY_RETURN_IF_ERROR(
        state.Take({&name, 1}, features.row(row),
                   std::span(windows.values).subspan(row * windows.columns, windows.columns)),
        fmt::format("row {}", row + 1));
  }
  return windows;
}

}  // namespace skerry
