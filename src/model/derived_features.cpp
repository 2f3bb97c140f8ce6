#include "model/derived_features.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/limits.h"
#include "model/schema.h"

namespace skerry {
namespace {

constexpr std::array<std::string_view, 3> kOperationNames = {"product", "ratio", "difference"};
constexpr std::array<std::string_view, 3> kSigns = {"x", "/", "-"};

Result<DerivedOperation> ReadOperation(const JsonObject& object) {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, object.String("operation"));
  const auto found = std::ranges::find(kOperationNames, name);
  if (found == kOperationNames.end())
    return Fail(
        ErrorCode::kUnimplemented,
        "{}.operation is \"{}\"; this version of skerry knows {}: update skerry or make the "
        "package again",
        object.path(), name, fmt::join(kOperationNames, ", "));
  return static_cast<DerivedOperation>(found - kOperationNames.begin());
}

Status CheckNumberFeature(const ModelSchema& schema, const std::string& name,
                          const JsonObject& object) {
  const Field* field = schema.Find(name);
  if (field != nullptr && field->role == FieldRole::kFeature && field->type == FieldType::kNumber)
    return {};
  return Fail(ErrorCode::kInvalidArgument,
              "{}.of names \"{}\", which is no feature of type number among schema.fields",
              object.path(), name);
}

Result<DerivedFeature> ReadOne(const JsonObject& object, const ModelSchema& schema) {
  DerivedFeature derived;
  SKERRY_ASSIGN_OR_RETURN(derived.name, object.String("name"));
  SKERRY_ASSIGN_OR_RETURN(derived.operation, ReadOperation(object));
  SKERRY_ASSIGN_OR_RETURN(std::vector<std::string> of, object.Strings("of"));
  if (of.size() != 2)
    return Fail(ErrorCode::kInvalidArgument, "{}.of names {} features, expected 2", object.path(),
                of.size());
  for (const std::string& name : of)
    SKERRY_RETURN_IF_ERROR(CheckNumberFeature(schema, name, object));
  derived.left = std::move(of[0]);
  derived.right = std::move(of[1]);
  return derived;
}

}  // namespace

std::string_view DerivedOperationName(DerivedOperation operation) {
  return kOperationNames[static_cast<std::size_t>(operation)];
}

std::string DerivedFeature::Words() const {
  return fmt::format("{} {} {}", left, kSigns[static_cast<std::size_t>(operation)], right);
}

Json DerivedFeature::ToJson() const {
  return {{"name", name},
          {"operation", DerivedOperationName(operation)},
          {"of", Json::array({left, right})}};
}

float Derive(DerivedOperation operation, float left, float right) {
  float value = 0;
  switch (operation) {
    case DerivedOperation::kProduct: value = left * right; break;
    case DerivedOperation::kRatio: value = left / right; break;
    case DerivedOperation::kDifference: value = left - right; break;
  }
  return std::isfinite(value) ? value : std::numeric_limits<float>::quiet_NaN();
}

DerivedColumns::DerivedColumns(const ModelSchema& schema) {
  const std::vector<const Field*> fields = schema.features();
  features_ = fields.size();
  windows_ = schema.windows.size();
  const auto column = [&fields](const std::string& name) {
    const auto found = std::ranges::find(fields, name, &Field::name);
    return static_cast<std::uint32_t>(found - fields.begin());
  };
  for (const DerivedFeature& derived : schema.derived)
    terms_.push_back({derived.operation, column(derived.left), column(derived.right)});
}

void DerivedColumns::Expand(std::span<const float> rows, std::span<const float> windows,
                            std::vector<float>& expanded) const {
  const std::size_t count = rows.size() / features_;
  expanded.resize(count * (features_ + size()));
  float* to = expanded.data();
  for (std::size_t row = 0; row < count; ++row) {
    const std::span<const float> values = rows.subspan(row * features_, features_);
    to = std::ranges::copy(values, to).out;
    for (const Term& term : terms_)
      *to++ = Derive(term.operation, values[term.left], values[term.right]);
    to = std::ranges::copy(windows.subspan(row * windows_, windows_), to).out;
  }
}

Result<std::vector<DerivedFeature>> ReadDerived(const JsonObject& json, const ModelSchema& schema) {
  std::vector<DerivedFeature> derived;
  if (!json.Has("derived")) return derived;
  SKERRY_ASSIGN_OR_RETURN(const Json* list, json.Array("derived"));
  if (list->size() > limits::kDerivedFeatures)
    return Fail(ErrorCode::kTooLarge, "{}.derived has {} entries, the limit kDerivedFeatures is {}",
                json.path(), list->size(), limits::kDerivedFeatures);
  if (!list->empty() && schema.task == ModelTask::kAnomaly)
    return Fail(ErrorCode::kInvalidArgument,
                "{}.derived is not empty: a detector sees the features alone", json.path());
  for (std::size_t i = 0; i < list->size(); ++i) {
    SKERRY_ASSIGN_OR_RETURN(
        DerivedFeature one,
        ReadOne(JsonObject((*list)[i], json.ElementPath("derived", i)), schema));
    const bool taken = schema.Find(one.name) != nullptr ||
                       std::ranges::count(derived, one.name, &DerivedFeature::name) > 0;
    if (taken || !IsFieldName(one.name))
      return Fail(ErrorCode::kInvalidArgument,
                  "{}.name is \"{}\", expected [a-z][a-z0-9_]*, and no other's name",
                  json.ElementPath("derived", i), one.name);
    derived.push_back(std::move(one));
  }
  return derived;
}

}  // namespace skerry
