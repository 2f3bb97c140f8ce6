#include "train/slices.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>

#include "base/limits.h"
#include "train/model_fit.h"
#include "train/report_plots.h"
#include "train/training_set.h"

namespace skerry {
namespace {

constexpr std::string_view kMissing = "(missing)";

SliceColumn ByText(const std::string& column, const std::vector<std::string>& texts) {
  SliceColumn sliced{.column = column};
  std::map<std::string, std::uint32_t> groups;
  for (const std::string& text : texts) groups.emplace(text, 0);
  for (auto& [text, index] : groups) {
    index = static_cast<std::uint32_t>(sliced.groups.size());
    sliced.groups.push_back(text.empty() ? std::string(kMissing) : text);
  }
  for (const std::string& text : texts) sliced.group.push_back(groups.at(text));
  return sliced;
}

// Up to the first, second, third quartile, and over it; NaN = missing.
SliceColumn ByQuarters(const std::string& column, const std::vector<double>& values) {
  std::vector<double> sorted;
  for (const double value : values)
    if (!std::isnan(value)) sorted.push_back(value);
  std::sort(sorted.begin(), sorted.end());
  std::vector<double> edges;
  for (const std::size_t quarter : {1U, 2U, 3U})
    edges.push_back(sorted[(sorted.size() - 1) * quarter / 4]);
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  if (edges.back() == sorted.back()) edges.pop_back();
  SliceColumn sliced{.column = column, .by_quarters = true};
  for (std::size_t i = 0; i <= edges.size(); ++i) {
    std::string name = i == 0 ? "" : fmt::format("over {:.6g}", edges[i - 1]);
    if (i < edges.size()) name += fmt::format("{}up to {:.6g}", name.empty() ? "" : ", ", edges[i]);
    sliced.groups.push_back(std::move(name));
  }
  const auto missing = static_cast<std::uint32_t>(sliced.groups.size());
  if (sorted.size() < values.size()) sliced.groups.emplace_back(kMissing);
  for (const double value : values)
    sliced.group.push_back(
        std::isnan(value)
            ? missing
            : static_cast<std::uint32_t>(std::lower_bound(edges.begin(), edges.end(), value) -
                                         edges.begin()));
  return sliced;
}

std::size_t DistinctOf(std::vector<double> values) {
  std::erase_if(values, [](double value) { return std::isnan(value); });
  std::sort(values.begin(), values.end());
  return static_cast<std::size_t>(std::unique(values.begin(), values.end()) - values.begin());
}

SliceColumn ByNumbers(const std::string& column, const std::vector<double>& values) {
  constexpr std::size_t kFewNumbers = 8;  // a group each, as of shifts or weekdays
  if (DistinctOf(values) > kFewNumbers) return ByQuarters(column, values);
  std::vector<double> distinct = values;
  std::erase_if(distinct, [](double value) { return std::isnan(value); });
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  SliceColumn sliced{.column = column};
  for (const double value : distinct) sliced.groups.push_back(fmt::format("{:.6g}", value));
  if (std::ranges::any_of(values, [](double value) { return std::isnan(value); }))
    sliced.groups.emplace_back(kMissing);
  for (const double value : values)
    sliced.group.push_back(static_cast<std::uint32_t>(
        std::isnan(value)
            ? distinct.size()
            : static_cast<std::size_t>(std::lower_bound(distinct.begin(), distinct.end(), value) -
                                       distinct.begin())));
  return sliced;
}

// The cells as numbers (blank: NaN), if every one is.
std::optional<std::vector<double>> NumbersIn(const std::vector<std::string>& texts) {
  std::vector<double> numbers;
  for (const std::string& text : texts) {
    double value = std::numeric_limits<double>::quiet_NaN();
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (!text.empty() && (error != std::errc() || end != text.data() + text.size()))
      return std::nullopt;
    numbers.push_back(value);
  }
  return numbers;
}

SliceColumn OfFeature(const Field& field, std::size_t index, const FeatureMatrix& features) {
  if (field.type == FieldType::kNumber) {
    std::vector<double> values;
    for (const float value : features.Column(index)) values.push_back(value);
    return ByNumbers(field.column, values);
  }
  SliceColumn sliced{.column = field.column, .groups = field.categories};
  const auto known = static_cast<std::uint32_t>(field.categories.size());
  sliced.groups.emplace_back("(not seen in training)");
  sliced.groups.emplace_back(kMissing);
  for (const float code : features.Column(index))
    sliced.group.push_back(std::isnan(code) ? known + 1
                                            : std::min(static_cast<std::uint32_t>(code), known));
  return sliced;
}

SliceColumn OfCells(const Column& column, std::span<const std::size_t> rows) {
  std::vector<std::string> texts;
  for (const std::size_t row : rows) texts.push_back(CellText(column, row));
  if (std::optional<std::vector<double>> numbers = NumbersIn(texts);
      numbers && DistinctOf(*numbers) > 0)
    return ByNumbers(column.name, *numbers);
  return ByText(column.name, texts);
}

// Groups that have rows.
std::size_t GroupsIn(const SliceColumn& column) {
  std::vector<bool> seen(column.groups.size());
  for (const std::uint32_t group : column.group) seen[group] = true;
  return static_cast<std::size_t>(std::count(seen.begin(), seen.end(), true));
}

const Field* FeatureOf(const ModelSchema& schema, const std::string& column, std::size_t& index) {
  const std::vector<const Field*> fields = schema.features();
  for (index = 0; index < fields.size(); ++index)
    if (fields[index]->column == column || fields[index]->name == column) return fields[index];
  return nullptr;
}

Result<SliceColumn> AskedSlice(const SliceSource& source, const std::string& column) {
  if (column == source.schema->label_column)
    return Fail(ErrorCode::kInvalidArgument,
                "--slice {} is the label; slice by what is known beforehand", column);
  std::size_t index = 0;
  SliceColumn sliced;
  if (const Field* field = FeatureOf(*source.schema, column, index); field != nullptr) {
    sliced = OfFeature(*field, index, *source.features);
  } else if (source.table == nullptr) {
    return Fail(ErrorCode::kUnimplemented,
                "--slice {}: the rows that such a training is judged by hold the features alone; "
                "name one of them",
                column);
  } else {
    SKERRY_ASSIGN_OR_RETURN(const Column* cells,
                            FindColumn(*source.table, column, "column to slice by"));
    if (cells->type == ColumnType::kTimestamp)
      return Fail(ErrorCode::kInvalidArgument,
                  "--slice {}: it holds times; make a column of its weeks or months", column);
    sliced = OfCells(*cells, source.rows);
  }
  if (sliced.groups.size() > limits::kAskedSliceGroups)
    return Fail(ErrorCode::kInvalidArgument,
                "--slice {}: it has {} different values, at most {} can be told apart "
                "(kAskedSliceGroups)",
                column, sliced.groups.size(), limits::kAskedSliceGroups);
  return sliced;
}

void AddIfFew(SliceColumn column, std::vector<SliceColumn>& columns) {
  const std::size_t groups = GroupsIn(column);
  if (!column.by_quarters && groups >= 2 && groups <= limits::kSliceGroups &&
      columns.size() < limits::kSliceColumns)
    columns.push_back(std::move(column));
}

template <typename T>
std::vector<T> Taken(std::span<const T> values, const std::vector<std::size_t>& rows,
                     std::size_t columns) {
  std::vector<T> taken;
  for (const std::size_t row : rows)
    for (std::size_t k = 0; k < columns && !values.empty(); ++k)
      taken.push_back(values[row * columns + k]);
  return taken;
}

TaskScores JudgeBinary(std::span<const float> scores, std::span<const std::uint8_t> labels,
                       double threshold, const BootstrapOptions& options) {
  const ModelScores judged = JudgeScores({scores, labels}, threshold, {}, options);
  return {{{"auc", judged.auc},
           {"average_precision", judged.average_precision},
           {"f1", judged.f1},
           {"alarm_rate", judged.alarm_rate}},
          {}};
}

SliceGroup JudgeGroup(std::string name, const std::vector<std::size_t>& rows,
                      const JudgedRows& judged, const JudgedFigures& figures,
                      const BootstrapOptions& options) {
  const LabelledRows& all = *judged.rows;
  SliceGroup group{.name = std::move(name), .rows = rows.size()};
  const std::vector<float> outputs = Taken(judged.outputs, rows, all.outputs());
  const std::vector<std::uint8_t> labels = Taken<std::uint8_t>(all.labels, rows, 1);
  switch (all.task) {
    case ModelTask::kBinary:
      group.positives = static_cast<std::uint64_t>(std::count(labels.begin(), labels.end(), 1));
      group.figures = group.positives == 0 || group.positives == group.rows
                          ? JudgeAlarms(outputs, {}, figures.threshold, options)
                          : JudgeBinary(outputs, labels, figures.threshold, options);
      break;
    case ModelTask::kMulticlass:
      group.figures = JudgeClasses(outputs, labels, all.classes, options);
      group.figures.confusion.clear();
      break;
    case ModelTask::kRegression:
      group.figures = JudgeValues(outputs, Taken<float>(all.targets, rows, 1), options);
      break;
    case ModelTask::kAnomaly:
      group.figures = JudgeAlarms(Taken(judged.anomaly_scores, rows, 1), {},
                                  figures.anomaly_threshold, options);
  }
  return group;
}

SliceTable JudgeColumn(const SliceColumn& column, const JudgedRows& judged,
                       const JudgedFigures& figures, const BootstrapOptions& options) {
  std::vector<std::vector<std::size_t>> rows(column.groups.size());
  for (std::size_t row = 0; row < column.group.size(); ++row)
    rows[column.group[row]].push_back(row);
  SliceTable table{.column = column.column};
  std::vector<std::size_t> rest;
  for (std::size_t k = 0; k < rows.size(); ++k) {
    if (rows[k].empty()) continue;
    if (rows[k].size() >= limits::kLeastSliceRows) {
      table.groups.push_back(JudgeGroup(column.groups[k], rows[k], judged, figures, options));
      continue;
    }
    ++table.small_groups;
    rest.insert(rest.end(), rows[k].begin(), rows[k].end());
  }
  std::sort(rest.begin(), rest.end());
  if (rest.size() >= limits::kLeastSliceRows && table.small_groups > 1)
    table.groups.push_back(JudgeGroup(fmt::format("({} small groups)", table.small_groups), rest,
                                      judged, figures, options));
  else
    table.left_out_rows = rest.size();
  return table;
}

}  // namespace

Result<std::vector<SliceColumn>> ChooseSlices(const SliceSource& source,
                                              const std::vector<std::string>& asked) {
  std::vector<SliceColumn> columns;
  for (const std::string& name : asked) {
    SKERRY_ASSIGN_OR_RETURN(SliceColumn column, AskedSlice(source, name));
    for (const SliceColumn& other : columns)
      if (other.column == column.column)
        return Fail(ErrorCode::kInvalidArgument, "--slice {} is given twice", column.column);
    columns.push_back(std::move(column));
  }
  if (!asked.empty()) return columns;
  const std::vector<const Field*> features = source.schema->features();
  for (std::size_t i = 0; i < features.size(); ++i)
    if (features[i]->type == FieldType::kCategory)
      AddIfFew(OfFeature(*features[i], i, *source.features), columns);
  if (source.table == nullptr) return columns;
  for (const Field& field : source.schema->fields) {
    if (field.role != FieldRole::kContext) continue;
    const Column* cells = source.table->Find(field.column);
    if (cells != nullptr && cells->type != ColumnType::kTimestamp)
      AddIfFew(OfCells(*cells, source.rows), columns);
  }
  return columns;
}

Json SliceTable::ToJson() const {
  Json list = Json::array();
  for (const SliceGroup& group : groups) {
    Json json = {{"group", group.name}, {"rows", group.rows}};
    json["figures"] = group.figures.ToJson();
    if (group.positives > 0) json["positives"] = group.positives;
    list.push_back(std::move(json));
  }
  return {{"column", column},
          {"groups", std::move(list)},
          {"small_groups", small_groups},
          {"left_out_rows", left_out_rows}};
}

std::vector<SliceTable> JudgeSlices(const std::vector<SliceColumn>& columns,
                                    const JudgedRows& judged, const JudgedFigures& figures,
                                    std::uint64_t seed) {
  constexpr int kResamples = 200;
  std::vector<SliceTable> tables;
  for (const SliceColumn& column : columns)
    tables.push_back(JudgeColumn(column, judged, figures, {.seed = seed, .resamples = kResamples}));
  return tables;
}

}  // namespace skerry
