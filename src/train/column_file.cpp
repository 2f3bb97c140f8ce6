#include "train/column_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <unordered_set>

#include "base/limits.h"
#include "codec/yaml.h"
#include "storage/file.h"
#include "train/data_source.h"
#include "train/training_set.h"

namespace skerry {
namespace {

constexpr std::string_view kFormat = "skerry-columns/1";

bool Holds(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string RoleOf(const Column& column, const ModelSchema& schema, const TrainOptions& options) {
  if (column.name == options.label) return "label";
  if (column.name == options.weight_column) return "weight";
  if (column.name == options.group_column) return "group";
  if (column.name == options.time_column) return "time";
  const Field* field = schema.FindColumn(column.name);
  return field == nullptr ? "ignore" : std::string(FieldRoleName(field->role));
}

std::string RangeOf(const Column& column) {
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (std::size_t row = 0; row < column.rows(); ++row) {
    const double value = column.type == ColumnType::kDouble ? column.doubles[row]
                                                            : static_cast<double>(column.ints[row]);
    if (column.IsNull(row) || std::isnan(value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  return low > high ? "" : fmt::format("{:g} to {:g}", low, high);
}

std::string FirstOf(const std::set<std::string>& values, std::size_t distinct) {
  constexpr std::size_t kShownChars = 40;
  std::string text;
  std::size_t shown = 0;
  for (const std::string& value : values) {
    if (text.size() + value.size() > kShownChars) break;
    text += (text.empty() ? "" : ", ") + value;
    ++shown;
  }
  if (shown == distinct) return text;
  return shown == 0 ? "" : fmt::format("{} and {} more", text, distinct - shown);
}

ColumnFacts DescribeColumn(const Column& column) {
  ColumnFacts facts{.column = column.name, .found = std::string(ColumnTypeName(column.type))};
  std::unordered_set<std::string> values;
  for (std::size_t row = 0; row < column.rows(); ++row) {
    std::string text = CellText(column, row);
    if (text.empty())
      ++facts.missing;
    else if (values.size() < kDistinctCounted)
      values.insert(std::move(text));
  }
  facts.distinct = values.size();
  if (column.holds_numbers())
    facts.values = RangeOf(column);
  else if (column.type != ColumnType::kTimestamp)
    facts.values = FirstOf({values.begin(), values.end()}, values.size());
  return facts;
}

// The single column that a role of the file goes to.
std::string* SingleColumn(const std::string& role, TrainOptions& options) {
  if (role == "label") return &options.label;
  if (role == "weight") return &options.weight_column;
  if (role == "group") return &options.group_column;
  if (role == "time") return &options.time_column;
  return nullptr;
}

std::vector<std::string>* ColumnList(const std::string& role, TrainOptions& options) {
  if (role == "context") return &options.context;
  if (role == "id") return &options.id;
  if (role == "ignore") return &options.ignore;
  return nullptr;
}

Status TakeRole(const std::string& column, const std::string& role, const std::string& where,
                TrainOptions& options) {
  if (role == "feature") return {};
  if (std::string* single = SingleColumn(role, options)) {
    if (!single->empty() && *single != column)
      return Fail(ErrorCode::kInvalidArgument, "{}: '{}' cannot be the {}, which '{}' is already",
                  where, column, role, *single);
    *single = column;
    return {};
  }
  std::vector<std::string>* list = ColumnList(role, options);
  if (list == nullptr)
    return Fail(
        ErrorCode::kInvalidArgument,
        "{}: there is no role '{}'; there are feature, label, weight, group, time, context, "
        "id and ignore",
        where, role);
  if (!Holds(*list, column)) list->push_back(column);
  return {};
}

Status TakeColumn(const std::string& column, const JsonObject& told, const std::string& where,
                  TrainOptions& options) {
  SKERRY_RETURN_IF_ERROR(told.ForbidOthers({"role", "type"}), where);
  SKERRY_ASSIGN_OR_RETURN(const std::string role, told.StringOr("role", "feature"), where);
  SKERRY_ASSIGN_OR_RETURN(const std::string type, told.StringOr("type", ""), where);
  SKERRY_RETURN_IF_ERROR(TakeRole(column, role, where, options));
  ToldColumn& kept = options.told[column];
  kept.where = where;
  if (role != "feature" || type.empty()) return {};
  if (type != "number" && type != "category")
    return Fail(ErrorCode::kInvalidArgument,
                "{}: a feature is a number or a category, not '{}'; carry the column (role: "
                "context), or make a number of it in the data (hours since the last service)",
                where, type);
  kept.type = type == "number" ? FieldType::kNumber : FieldType::kCategory;
  return {};
}

}  // namespace

Json ColumnFacts::ToJson() const {
  Json json = {{"column", column},   {"found", found},       {"role", role},
               {"missing", missing}, {"distinct", distinct}, {"values", values}};
  if (!type.empty()) json["type"] = type;
  return json;
}

std::vector<ColumnFacts> DescribeColumns(const Table& table, const ModelSchema& schema,
                                         const TrainOptions& options) {
  std::vector<ColumnFacts> all;
  for (const Column& column : table.columns) {
    ColumnFacts facts = DescribeColumn(column);
    facts.role = RoleOf(column, schema, options);
    const Field* field = schema.FindColumn(column.name);
    if (facts.role == "feature") facts.type = FieldTypeName(field->type);
    all.push_back(std::move(facts));
  }
  return all;
}

Result<std::vector<ColumnFacts>> InspectColumns(const TrainOptions& options) {
  SKERRY_ASSIGN_OR_RETURN(const auto engine, TabularEngine::Open({}));
  SKERRY_ASSIGN_OR_RETURN(
      const SourceData data,
      ReadSourceData(*engine, options.data, TextColumns(options), options.progress));
  SKERRY_ASSIGN_OR_RETURN(const ChosenSchema chosen, ChooseSchema(data.table, options));
  return DescribeColumns(data.table, chosen.schema, options);
}

std::string ColumnFactsText(std::span<const ColumnFacts> facts) {
  constexpr std::size_t kNameChars = 40;
  std::string text = fmt::format("{:<28} {:<10} {:<8} {:<9} {:>8} {:>9}  {}\n", "column", "found",
                                 "role", "type", "missing", "different", "values");
  for (const ColumnFacts& fact : facts)
    text += fmt::format(
        "{:<28} {:<10} {:<8} {:<9} {:>8} {:>9}  {}\n", fact.column.substr(0, kNameChars),
        fact.found, fact.role, fact.type, fact.missing,
        fmt::format("{}{}", fact.distinct, fact.distinct == kDistinctCounted ? "+" : ""),
        fact.values);
  return text;
}

std::string ColumnFileText(std::span<const ColumnFacts> facts) {
  std::string text = fmt::format(
      "# The columns as skerry train takes them. Change roles and types, then train with "
      "--schema.\n"
      "# role: feature, label, weight, group, time, context (carried along), id (as context, and "
      "it\n"
      "# names somebody or something), ignore. type of a feature: number, category.\n"
      "format: {}\n"
      "columns:\n",
      kFormat);
  for (const ColumnFacts& fact : facts)
    text += fmt::format(
        "  {}: {{role: {}{}}}  # {}, {} missing, {} different{}\n", Json(fact.column).dump(),
        fact.role, fact.type.empty() ? "" : ", type: " + fact.type, fact.found, fact.missing,
        fact.distinct == kDistinctCounted ? fmt::format("{} or more", fact.distinct)
                                          : std::to_string(fact.distinct),
        fact.values.empty() || fact.values.find('\n') != std::string::npos ? ""
                                                                           : ": " + fact.values);
  return text;
}

Status ReadColumnFile(const std::filesystem::path& file, TrainOptions& options) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, limits::kYamlBytes));
  const std::string name = file.filename().string();
  SKERRY_ASSIGN_OR_RETURN(const YamlDocument document, ParseYaml(text), name);
  const JsonObject top(document.value, name);
  SKERRY_ASSIGN_OR_RETURN(const std::string format, top.String("format"));
  if (format != kFormat)
    return Fail(ErrorCode::kInvalidArgument, "{}, {}: format is '{}', this program reads {}", name,
                document.Where("/format"), format, kFormat);
  SKERRY_RETURN_IF_ERROR(top.ForbidOthers({"format", "columns"}));
  SKERRY_ASSIGN_OR_RETURN(const JsonObject columns, top.Object("columns"));
  for (const auto& [column, told] : columns.json().items()) {
    const std::string where =
        fmt::format("{}, {}", name, document.Where("/columns/" + EscapeJsonPointer(column)));
    SKERRY_RETURN_IF_ERROR(
        TakeColumn(column, JsonObject(told, fmt::format("column '{}'", column)), where, options));
  }
  return {};
}

}  // namespace skerry
