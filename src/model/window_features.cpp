#include "model/window_features.h"

#include <algorithm>
#include <array>

#include "base/limits.h"
#include "model/schema.h"

namespace skerry {
namespace {

constexpr std::array<std::string_view, 6> kStatisticNames = {"mean", "sd",    "min",
                                                             "max",  "slope", "lag"};

// A field that travels with the row as text.
Status CheckCarried(const ModelSchema& schema, const std::string& name, const std::string& path) {
  const Field* field = schema.Find(name);
  if (field != nullptr && field->role != FieldRole::kFeature) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "{} is \"{}\", which is no field of role context or id among schema.fields", path,
              name);
}

Result<WindowStatistic> ReadStatistic(const JsonObject& object) {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, object.String("statistic"));
  const auto found = std::ranges::find(kStatisticNames, name);
  if (found == kStatisticNames.end())
    return Fail(ErrorCode::kUnimplemented,
                "{}.statistic is \"{}\"; this version of skerry knows {}: update skerry or make "
                "the package again",
                object.path(), name, fmt::join(kStatisticNames, ", "));
  return static_cast<WindowStatistic>(found - kStatisticNames.begin());
}

Result<WindowFeature> ReadOne(const JsonObject& object, const ModelSchema& schema) {
  WindowFeature feature;
  SKERRY_ASSIGN_OR_RETURN(feature.name, object.String("name"));
  SKERRY_ASSIGN_OR_RETURN(feature.statistic, ReadStatistic(object));
  SKERRY_ASSIGN_OR_RETURN(feature.of, object.String("of"));
  const Field* field = schema.Find(feature.of);
  if (field == nullptr || field->role != FieldRole::kFeature || field->type != FieldType::kNumber)
    return Fail(ErrorCode::kInvalidArgument,
                "{}.of is \"{}\", which is no feature of type number among schema.fields",
                object.path(), feature.of);
  SKERRY_ASSIGN_OR_RETURN(feature.rows, object.Uint("rows"));
  if (feature.rows < 1 || feature.rows > limits::kWindowRows)
    return Fail(ErrorCode::kInvalidArgument, "{}.rows is {}, expected 1 to {} (kWindowRows)",
                object.path(), feature.rows, limits::kWindowRows);
  return feature;
}

}  // namespace

std::string_view WindowStatisticName(WindowStatistic statistic) {
  return kStatisticNames[static_cast<std::size_t>(statistic)];
}

std::string WindowFeature::Words() const {
  const char* plural = rows == 1 ? "" : "s";
  if (statistic == WindowStatistic::kLag)
    return fmt::format("{} {} row{} before", of, rows, plural);
  return fmt::format("{} of {} over {} row{}", WindowStatisticName(statistic), of, rows, plural);
}

Json WindowSet::ToJson() const {
  Json list = Json::array();
  for (const WindowFeature& feature : features)
    list.push_back({{"name", feature.name},
                    {"statistic", WindowStatisticName(feature.statistic)},
                    {"of", feature.of},
                    {"rows", feature.rows}});
  return {{"entity", entity}, {"time", time}, {"features", std::move(list)}};
}

Result<WindowSet> ReadWindows(const JsonObject& json, const ModelSchema& schema) {
  WindowSet windows;
  if (!json.Has("windows")) return windows;
  SKERRY_ASSIGN_OR_RETURN(const JsonObject object, json.Object("windows"));
  if (schema.task == ModelTask::kAnomaly)
    return Fail(ErrorCode::kInvalidArgument, "{}: a detector sees the features of a row alone",
                object.path());
  SKERRY_ASSIGN_OR_RETURN(windows.entity, object.String("entity"));
  SKERRY_RETURN_IF_ERROR(CheckCarried(schema, windows.entity, object.path() + ".entity"));
  SKERRY_ASSIGN_OR_RETURN(windows.time, object.String("time"));
  SKERRY_RETURN_IF_ERROR(CheckCarried(schema, windows.time, object.path() + ".time"));
  SKERRY_ASSIGN_OR_RETURN(const Json* list, object.Array("features"));
  if (list->empty())
    return Fail(ErrorCode::kInvalidArgument, "{}.features is empty", object.path());
  if (list->size() > limits::kWindowFeatures)
    return Fail(ErrorCode::kTooLarge, "{}.features has {} entries, the limit kWindowFeatures is {}",
                object.path(), list->size(), limits::kWindowFeatures);
  for (std::size_t i = 0; i < list->size(); ++i) {
    const std::string path = object.ElementPath("features", i);
    SKERRY_ASSIGN_OR_RETURN(WindowFeature one, ReadOne(JsonObject((*list)[i], path), schema));
    const bool taken = schema.Find(one.name) != nullptr ||
                       std::ranges::count(schema.derived, one.name, &DerivedFeature::name) > 0 ||
                       std::ranges::count(windows.features, one.name, &WindowFeature::name) > 0;
    if (taken || !IsFieldName(one.name))
      return Fail(ErrorCode::kInvalidArgument,
                  "{}.name is \"{}\", expected [a-z][a-z0-9_]*, and no other's name", path,
                  one.name);
    windows.features.push_back(std::move(one));
  }
  return windows;
}

}  // namespace skerry
