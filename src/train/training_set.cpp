#include "train/training_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "train/window_choice.h"

namespace skerry {
namespace {

Status ReadWeights(const Table& table, const std::string& name, std::vector<float>& weights) {
  SKERRY_ASSIGN_OR_RETURN(const Column* column, FindColumn(table, name, "weight column"));
  SKERRY_ASSIGN_OR_RETURN(weights,
                          EncodeColumn(*column, {.name = name, .column = name, .categories = {}}));
  std::vector<std::size_t> wrong;
  for (std::size_t row = 0; row < weights.size(); ++row)
    if (!(weights[row] > 0)) wrong.push_back(row);
  if (wrong.empty()) return {};
  return Fail(
      ErrorCode::kInvalidArgument,
      "weight column '{}' is blank, zero or negative in row {}: weights are positive numbers", name,
      RowList(wrong));
}

Status EncodeClasses(const Column& label, const ModelSchema& schema, LabelledRows& rows) {
  rows.classes = schema.classes.size();
  std::vector<std::size_t> unknown;
  for (std::size_t row = 0; row < label.rows(); ++row) {
    const std::string text = CellText(label, row);
    const auto found = std::find(schema.classes.begin(), schema.classes.end(), text);
    if (found == schema.classes.end()) unknown.push_back(row);
    rows.labels.push_back(static_cast<std::uint8_t>(found - schema.classes.begin()));
  }
  if (unknown.empty()) return {};
  if (schema.classes.size() > 2)
    return Fail(ErrorCode::kInvalidArgument, "label '{}' is none of {} in row {}", label.name,
                QuotedNames(schema.classes), RowList(unknown));
  return Fail(ErrorCode::kInvalidArgument, "label '{}' is neither '{}' nor '{}' in row {}",
              label.name, schema.classes[0], schema.classes[1], RowList(unknown));
}

// Labels, or targets, by the schema's task.
Status EncodeLabels(const Table& table, const ModelSchema& schema, LabelledRows& rows) {
  if (schema.task == ModelTask::kBinary || schema.task == ModelTask::kMulticlass) {
    SKERRY_ASSIGN_OR_RETURN(const Column* label,
                            FindColumn(table, schema.label_column, "label column"));
    return EncodeClasses(*label, schema, rows);
  }
  rows.labels.assign(table.rows(), 0);
  if (schema.task == ModelTask::kAnomaly) return {};
  SKERRY_ASSIGN_OR_RETURN(const Column* label,
                          FindColumn(table, schema.label_column, "label column"));
  SKERRY_ASSIGN_OR_RETURN(
      rows.targets,
      EncodeColumn(*label, {.name = label->name, .column = label->name, .categories = {}}));
  std::vector<std::size_t> blank;
  for (std::size_t row = 0; row < rows.targets.size(); ++row)
    if (std::isnan(rows.targets[row])) blank.push_back(row);
  if (blank.empty()) return {};
  return Fail(ErrorCode::kInvalidArgument, "label '{}' is blank in row {}", label->name,
              RowList(blank));
}

}  // namespace

std::vector<std::string> ColumnNames(const Table& table) {
  std::vector<std::string> names;
  for (const Column& column : table.columns) names.push_back(column.name);
  return names;
}

Result<const Column*> FindColumn(const Table& table, const std::string& name, const char* what) {
  const Column* column = table.Find(name);
  if (column == nullptr)
    return Fail(ErrorCode::kInvalidArgument, "the data has no {} '{}'; it has {}", what, name,
                QuotedNames(ColumnNames(table)));
  return column;
}

std::string RowList(const std::vector<std::size_t>& rows) {
  constexpr std::size_t kShown = 5;
  std::string text;
  for (std::size_t i = 0; i < rows.size() && i < kShown; ++i)
    text += fmt::format("{}{}", i == 0 ? "" : ", ", rows[i] + 1);
  if (rows.size() > kShown) text += fmt::format(" and {} more", rows.size() - kShown);
  return text;
}

std::string CellText(const Column& column, std::size_t row) {
  if (column.IsNull(row)) return {};
  switch (column.type) {
    case ColumnType::kBool: return column.ints[row] != 0 ? "true" : "false";
    case ColumnType::kInt64:
    case ColumnType::kTimestamp: return std::to_string(column.ints[row]);
    case ColumnType::kDouble:
      return std::isnan(column.doubles[row]) ? "" : fmt::format("{}", column.doubles[row]);
    case ColumnType::kText: break;
  }
  return column.texts[row];
}

Result<std::vector<float>> EncodeColumn(const Column& column, const Field& field) {
  std::vector<float> values;
  values.reserve(column.rows());
  const bool is_number = column.holds_numbers();
  for (std::size_t row = 0; row < column.rows(); ++row) {
    if (column.IsNull(row)) {
      values.push_back(std::numeric_limits<float>::quiet_NaN());
    } else if (field.type == FieldType::kNumber && is_number) {
      values.push_back(column.type == ColumnType::kDouble ? static_cast<float>(column.doubles[row])
                                                          : static_cast<float>(column.ints[row]));
    } else {
      Result<float> value = EncodeFeature(field, CellText(column, row));
      if (!value)
        return Propagate(std::move(value),
                         fmt::format("column '{}', row {}", column.name, row + 1));
      values.push_back(*value);
    }
    if (std::isinf(values.back()))
      return Fail(
          ErrorCode::kInvalidArgument,
          "column '{}', row {}: infinite or over the range of 32-bit floats; leave the cell "
          "blank if the value is missing",
          column.name, row + 1);
  }
  return values;
}

std::vector<std::uint8_t> CategoricalColumns(const ModelSchema& schema) {
  std::vector<std::uint8_t> categorical;
  for (const Field* field : schema.features())
    categorical.push_back(field->type == FieldType::kCategory ? 1 : 0);
  return categorical;
}

Result<FeatureMatrix> EncodeFeatures(const Table& table, const ModelSchema& schema) {
  const std::vector<const Field*> fields = schema.features();
  FeatureMatrix matrix{.columns = fields.size()};
  matrix.categorical = CategoricalColumns(schema);
  matrix.values.resize(table.rows() * fields.size());
  for (std::size_t i = 0; i < fields.size(); ++i) {
    SKERRY_ASSIGN_OR_RETURN(const Column* column,
                            FindColumn(table, fields[i]->column, "column for a feature"));
    SKERRY_ASSIGN_OR_RETURN(const std::vector<float> values, EncodeColumn(*column, *fields[i]));
    for (std::size_t row = 0; row < values.size(); ++row)
      matrix.values[row * fields.size() + i] = values[row];
  }
  return matrix;
}

void ScaleWeights(std::vector<float>& weights) {
  const double mean =
      std::accumulate(weights.begin(), weights.end(), 0.0) / static_cast<double>(weights.size());
  for (float& weight : weights) weight = static_cast<float>(weight / mean);
}

Result<LabelledRows> EncodeRows(const Table& table, const ModelSchema& schema,
                                const std::string& weight_column) {
  SKERRY_ASSIGN_OR_RETURN(LabelledRows rows, EncodePart(table, schema, weight_column));
  SKERRY_ASSIGN_OR_RETURN(rows.windows, WindowsOf(table, schema, rows.features));
  if (!weight_column.empty()) ScaleWeights(rows.weights);
  return rows;
}

Result<LabelledRows> EncodePart(const Table& table, const ModelSchema& schema,
                                const std::string& weight_column) {
  LabelledRows rows{.task = schema.task};
  SKERRY_RETURN_IF_ERROR(EncodeLabels(table, schema, rows));
  SKERRY_ASSIGN_OR_RETURN(rows.features, EncodeFeatures(table, schema));
  rows.weights.assign(rows.rows(), 1);
  if (!weight_column.empty())
    SKERRY_RETURN_IF_ERROR(ReadWeights(table, weight_column, rows.weights));
  return rows;
}

}  // namespace skerry
