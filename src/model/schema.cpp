#include "model/schema.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>

#include "base/ids.h"
#include "base/limits.h"
#include "model/format_version.h"

namespace skerry {
namespace {

constexpr std::string_view kFormatName = "skerry-schema";
constexpr unsigned kFormatMajor = 1;
constexpr std::array<std::string_view, 3> kRoleNames = {"feature", "context", "id"};
constexpr std::array<std::string_view, 4> kTaskNames = {"binary", "multiclass", "regression",
                                                        "anomaly"};
constexpr std::array<std::string_view, 3> kTypeNames = {"number", "category", "text"};

// The least that has all members of this schema.
std::string_view MinorOf(const ModelSchema& schema) {
  if (!schema.windows.empty()) return ".2";
  return schema.derived.empty() ? "" : ".1";
}

template <std::size_t N>
Result<std::size_t> IndexOfName(const std::array<std::string_view, N>& names,
                                const std::string& name, std::string_view path) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    return Fail(ErrorCode::kInvalidArgument, "{} is \"{}\", expected one of {}", path, name,
                fmt::join(names, ", "));
  return static_cast<std::size_t>(found - names.begin());
}

Status CheckCategories(const Field& field, const std::string& path) {
  if (field.role != FieldRole::kFeature) return {};
  if (field.type == FieldType::kText)
    return Fail(ErrorCode::kInvalidArgument,
                "{}: the feature {} has type text; a feature is a number or a category", path,
                field.name);
  if (field.type == FieldType::kNumber) return {};
  if (field.categories.empty() || field.categories.size() > limits::kCategoriesPerField)
    return Fail(ErrorCode::kInvalidArgument, "{}.categories has {} entries, expected 1 to {}", path,
                field.categories.size(), limits::kCategoriesPerField);
  const std::set<std::string> distinct(field.categories.begin(), field.categories.end());
  if (distinct.size() != field.categories.size() || distinct.contains(""))
    return Fail(ErrorCode::kInvalidArgument,
                "{}.categories has an empty entry or the same one twice", path);
  return {};
}

Result<Field> ReadField(const JsonObject& object) {
  Field field;
  SKERRY_ASSIGN_OR_RETURN(field.name, object.String("name"));
  if (!IsFieldName(field.name))
    return Fail(ErrorCode::kInvalidArgument, "{}.name is \"{}\", expected [a-z][a-z0-9_]*",
                object.path(), field.name);
  SKERRY_ASSIGN_OR_RETURN(field.column, object.StringOr("column", field.name));
  SKERRY_ASSIGN_OR_RETURN(const std::string role, object.String("role"));
  SKERRY_ASSIGN_OR_RETURN(const std::size_t role_index,
                          IndexOfName(kRoleNames, role, object.path() + ".role"));
  field.role = static_cast<FieldRole>(role_index);
  SKERRY_ASSIGN_OR_RETURN(const std::string type, object.String("type"));
  SKERRY_ASSIGN_OR_RETURN(const std::size_t type_index,
                          IndexOfName(kTypeNames, type, object.path() + ".type"));
  field.type = static_cast<FieldType>(type_index);
  if (object.Has("categories")) {
    SKERRY_ASSIGN_OR_RETURN(field.categories, object.Strings("categories"));
  }
  SKERRY_RETURN_IF_ERROR(CheckCategories(field, object.path()));
  return field;
}

// The label and the classes, by the task.
Status ReadAnswer(const JsonObject& object, ModelSchema& schema) {
  if (schema.task == ModelTask::kAnomaly) return {};
  SKERRY_ASSIGN_OR_RETURN(const JsonObject label, object.Object("label"));
  SKERRY_ASSIGN_OR_RETURN(schema.label_column, label.String("column"));
  if (schema.task == ModelTask::kRegression) return {};
  SKERRY_ASSIGN_OR_RETURN(schema.classes, object.Strings("classes"));
  const std::size_t classes = schema.classes.size();
  if (schema.task == ModelTask::kBinary) {
    SKERRY_ASSIGN_OR_RETURN(schema.positive, label.String("positive"));
    if (classes == 2) return {};
    return Fail(ErrorCode::kInvalidArgument, "schema.classes has {} entries, expected 2", classes);
  }
  if (classes < 2 || classes > limits::kClasses)
    return Fail(ErrorCode::kInvalidArgument,
                "schema.classes has {} entries, expected 2 to {} (kClasses)", classes,
                limits::kClasses);
  const std::set<std::string> distinct(schema.classes.begin(), schema.classes.end());
  if (distinct.size() != classes)
    return Fail(ErrorCode::kInvalidArgument, "schema.classes names the same class twice");
  return {};
}

Status CheckFields(const ModelSchema& schema) {
  std::set<std::string_view> names;
  for (const Field& field : schema.fields)
    if (!names.insert(field.name).second)
      return Fail(ErrorCode::kInvalidArgument, "schema.fields names \"{}\" twice", field.name);
  if (schema.feature_count() == 0)
    return Fail(ErrorCode::kInvalidArgument, "schema.fields has no field with role feature");
  return {};
}

std::string_view Trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

bool IsMissingWord(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return lower.empty() || lower == "nan" || lower == "na" || lower == "null";
}

}  // namespace

std::string_view ModelTaskName(ModelTask task) {
  return kTaskNames[static_cast<std::size_t>(task)];
}
std::string_view FieldRoleName(FieldRole role) {
  return kRoleNames[static_cast<std::size_t>(role)];
}
std::string_view FieldTypeName(FieldType type) {
  return kTypeNames[static_cast<std::size_t>(type)];
}

std::size_t ModelSchema::feature_count() const {
  return static_cast<std::size_t>(std::count_if(
      fields.begin(), fields.end(), [](const Field& f) { return f.role == FieldRole::kFeature; }));
}

const Field* ModelSchema::Find(std::string_view name) const {
  for (const Field& field : fields)
    if (field.name == name) return &field;
  return nullptr;
}

const Field* ModelSchema::FindColumn(std::string_view column) const {
  for (const Field& field : fields)
    if (field.column == column) return &field;
  return nullptr;
}

std::vector<const Field*> ModelSchema::features() const {
  std::vector<const Field*> found;
  for (const Field& field : fields)
    if (field.role == FieldRole::kFeature) found.push_back(&field);
  return found;
}

std::vector<std::string_view> ModelSchema::input_names() const {
  std::vector<std::string_view> names;
  for (const Field* field : features()) names.push_back(field->name);
  for (const DerivedFeature& one : derived) names.push_back(one.name);
  for (const WindowFeature& one : windows.features) names.push_back(one.name);
  return names;
}

std::vector<const Field*> ModelSchema::texts() const {
  std::vector<const Field*> found;
  for (const Field& field : fields)
    if (field.role != FieldRole::kFeature) found.push_back(&field);
  return found;
}

Json ModelSchema::ToJson() const {
  Json json = {{"format", fmt::format("{}/{}{}", kFormatName, kFormatMajor, MinorOf(*this))},
               {"model", model},
               {"task", ModelTaskName(task)},
               {"fields", Json::array()}};
  if (!label_column.empty()) json["label"]["column"] = label_column;
  if (task == ModelTask::kBinary) json["label"]["positive"] = positive;
  if (!classes.empty()) json["classes"] = classes;
  for (const Field& field : fields) {
    Json one = {{"name", field.name},
                {"column", field.column},
                {"role", FieldRoleName(field.role)},
                {"type", FieldTypeName(field.type)}};
    if (!field.categories.empty()) one["categories"] = field.categories;
    json["fields"].push_back(std::move(one));
  }
  for (const DerivedFeature& one : derived) json["derived"].push_back(one.ToJson());
  if (!windows.empty()) json["windows"] = windows.ToJson();
  return json;
}

Result<ModelSchema> ModelSchema::FromJson(const Json& json) {
  const JsonObject object(json, "schema");
  SKERRY_RETURN_IF_ERROR(CheckFormat(object, kFormatName, kFormatMajor));
  ModelSchema schema;
  SKERRY_ASSIGN_OR_RETURN(schema.model, object.String("model"));
  SKERRY_RETURN_IF_ERROR(CheckName("schema.model", schema.model));
  SKERRY_ASSIGN_OR_RETURN(const std::string task, object.String("task"));
  const auto known = std::find(kTaskNames.begin(), kTaskNames.end(), task);
  if (known == kTaskNames.end())
    return Fail(ErrorCode::kUnimplemented, "schema.task is \"{}\", this version knows {}", task,
                fmt::join(kTaskNames, ", "));
  schema.task = static_cast<ModelTask>(known - kTaskNames.begin());
  SKERRY_RETURN_IF_ERROR(ReadAnswer(object, schema));
  SKERRY_ASSIGN_OR_RETURN(const Json* fields, object.Array("fields"));
  if (fields->size() > limits::kTableColumns)
    return Fail(ErrorCode::kTooLarge, "schema.fields has {} entries, the limit kTableColumns is {}",
                fields->size(), limits::kTableColumns);
  for (std::size_t i = 0; i < fields->size(); ++i) {
    SKERRY_ASSIGN_OR_RETURN(Field field,
                            ReadField(JsonObject((*fields)[i], object.ElementPath("fields", i))));
    schema.fields.push_back(std::move(field));
  }
  SKERRY_RETURN_IF_ERROR(CheckFields(schema));
  SKERRY_ASSIGN_OR_RETURN(schema.derived, ReadDerived(object, schema));
  SKERRY_ASSIGN_OR_RETURN(schema.windows, ReadWindows(object, schema));
  return schema;
}

bool IsFieldName(std::string_view name) {
  const auto inner = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !name.empty() && name[0] >= 'a' && name[0] <= 'z' &&
         std::all_of(name.begin(), name.end(), inner);
}

std::string FieldNameOf(std::string_view column) {
  std::string name;
  bool gap = false;
  for (const char c : column) {
    const bool upper = c >= 'A' && c <= 'Z';
    const bool kept = upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (!kept) {
      gap = true;
      continue;
    }
    if (gap && !name.empty()) name += '_';
    gap = false;
    name += upper ? static_cast<char>(c - 'A' + 'a') : c;
  }
  if (name.empty()) return "field";
  return name[0] >= '0' && name[0] <= '9' ? "f_" + name : name;
}

float EncodeCategory(const Field& field, std::string_view text) {
  if (text.empty()) return std::numeric_limits<float>::quiet_NaN();
  for (std::size_t i = 0; i < field.categories.size(); ++i)
    if (field.categories[i] == text) return static_cast<float>(i);
  return static_cast<float>(field.categories.size());
}

Result<float> EncodeNumber(std::string_view text) {
  std::string_view trimmed = Trim(text);
  if (IsMissingWord(trimmed)) return std::numeric_limits<float>::quiet_NaN();
  if (trimmed.front() == '+') trimmed.remove_prefix(1);
  double value = 0;
  const char* end = trimmed.data() + trimmed.size();
  const auto [rest, error] = std::from_chars(trimmed.data(), end, value);
  const float narrow = static_cast<float>(value);
  if (error != std::errc() || rest != end || !std::isfinite(narrow))
    return Fail(ErrorCode::kInvalidArgument, "expected a finite number, got \"{}\"",
                text.substr(0, 64));
  return narrow;
}

Result<float> EncodeFeature(const Field& field, std::string_view text) {
  if (field.type == FieldType::kCategory) {
    const std::string_view trimmed = Trim(text);
    return EncodeCategory(
        field, IsMissingWord(trimmed) &&
                       EncodeCategory(field, trimmed) >= static_cast<float>(field.categories.size())
                   ? std::string_view()
                   : trimmed);
  }
  Result<float> value = EncodeNumber(text);
  if (!value) return Propagate(std::move(value), fmt::format("field {}", field.name));
  return value;
}

}  // namespace skerry
