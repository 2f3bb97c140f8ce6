#include "model/reference.h"

#include <algorithm>
#include <cmath>

#include "base/limits.h"
#include "model/format_version.h"

namespace skerry {
namespace {

constexpr std::string_view kFormatName = "skerry-reference";
constexpr unsigned kFormatMajor = 1;
constexpr std::size_t kDeciles = 10;

// null for a group of fewer than k rows, so that no small group can be read from the file.
Json GroupToJson(std::uint64_t count, std::uint64_t min_group) {
  return count > 0 && count < min_group ? Json() : Json(count);
}

Json GroupsToJson(const std::vector<std::uint64_t>& counts, std::uint64_t min_group) {
  Json array = Json::array();
  for (const std::uint64_t count : counts) array.push_back(GroupToJson(count, min_group));
  return array;
}

Result<std::vector<std::uint64_t>> ReadGroups(const JsonObject& object, const char* key) {
  SKERRY_ASSIGN_OR_RETURN(const Json* array, object.Array(key));
  std::vector<std::uint64_t> counts;
  counts.reserve(array->size());
  for (std::size_t i = 0; i < array->size(); ++i) {
    const Json& one = (*array)[i];
    if (!one.is_null() && !one.is_number_unsigned())
      return Fail(ErrorCode::kInvalidArgument, "{}: expected a count or null",
                  object.ElementPath(key, i));
    counts.push_back(one.is_null() ? 0 : one.get<std::uint64_t>());
  }
  return counts;
}

Result<std::vector<double>> ReadEdges(const JsonObject& object, const char* key) {
  SKERRY_ASSIGN_OR_RETURN(const Json* array, object.Array(key));
  std::vector<double> edges;
  edges.reserve(array->size());
  for (std::size_t i = 0; i < array->size(); ++i) {
    const Json& one = (*array)[i];
    if (!one.is_number() || (i > 0 && one.get<double>() <= edges.back()))
      return Fail(ErrorCode::kInvalidArgument, "{}: expected a number above the edge before it",
                  object.ElementPath(key, i));
    edges.push_back(one.get<double>());
  }
  return edges;
}

Result<FeatureReference> ReadFeature(const JsonObject& object) {
  FeatureReference feature;
  SKERRY_ASSIGN_OR_RETURN(feature.field, object.String("field"));
  SKERRY_ASSIGN_OR_RETURN(feature.min, object.NumberOr("min", 0));
  SKERRY_ASSIGN_OR_RETURN(feature.max, object.NumberOr("max", 0));
  if (feature.min > feature.max)
    return Fail(ErrorCode::kInvalidArgument, "{}: min {} is above max {}", object.path(),
                feature.min, feature.max);
  SKERRY_ASSIGN_OR_RETURN(feature.edges, ReadEdges(object, "edges"));
  SKERRY_ASSIGN_OR_RETURN(feature.counts, ReadGroups(object, "counts"));
  if (!feature.edges.empty() && feature.counts.size() != feature.edges.size() + 1)
    return Fail(ErrorCode::kInvalidArgument, "{}.counts has {} entries, expected {}", object.path(),
                feature.counts.size(), feature.edges.size() + 1);
  if (feature.counts.empty() || feature.counts.size() > limits::kCategoriesPerField)
    return Fail(ErrorCode::kInvalidArgument, "{}.counts has {} entries, expected 1 to {}",
                object.path(), feature.counts.size(), limits::kCategoriesPerField);
  if (object.Has("missing") && !object.json()["missing"].is_null()) {
    SKERRY_ASSIGN_OR_RETURN(feature.missing, object.Uint("missing"));
  }
  return feature;
}

// What the thresholds were chosen for; packages of other makers do not tell.
Status ReadGoals(const JsonObject& object, ModelReference& reference) {
  if (object.Has("threshold_goal")) {
    SKERRY_ASSIGN_OR_RETURN(const std::string text, object.String("threshold_goal"));
    SKERRY_ASSIGN_OR_RETURN(reference.threshold_goal, ThresholdGoal::Parse(text),
                            "reference.threshold_goal");
  }
  if (object.Has("anomaly_alarm_rate")) {
    SKERRY_ASSIGN_OR_RETURN(const double rate, object.Number("anomaly_alarm_rate"));
    if (!(rate >= 0 && rate < 1))
      return Fail(ErrorCode::kInvalidArgument,
                  "reference.anomaly_alarm_rate is {}; it is from 0 to under 1", rate);
    reference.anomaly_alarm_rate = rate;
  }
  if (object.Has("detector")) {
    SKERRY_ASSIGN_OR_RETURN(reference.detector, object.String("detector"));
  }
  return {};
}

}  // namespace

const FeatureReference* ModelReference::Find(std::string_view field) const {
  for (const FeatureReference& feature : features)
    if (feature.field == field) return &feature;
  return nullptr;
}

Json ModelReference::ToJson() const {
  Json json = {
      {"format", fmt::format("{}/{}", kFormatName, kFormatMajor)},
      {"rows", rows},
      {"min_group", min_group},
      {"threshold", threshold},
      {"anomaly_threshold", anomaly_threshold},
      {"score", {{"edges", score_edges}, {"counts", GroupsToJson(score_counts, min_group)}}},
      {"features", Json::array()}};
  for (const FeatureReference& feature : features)
    json["features"].push_back({{"field", feature.field},
                                {"min", feature.min},
                                {"max", feature.max},
                                {"edges", feature.edges},
                                {"counts", GroupsToJson(feature.counts, min_group)},
                                {"missing", GroupToJson(feature.missing, min_group)}});
  if (threshold_goal) json["threshold_goal"] = threshold_goal->ToText();
  if (anomaly_alarm_rate) json["anomaly_alarm_rate"] = *anomaly_alarm_rate;
  if (detector) json["detector"] = *detector;
  return json;
}

Result<ModelReference> ModelReference::FromJson(const Json& json) {
  const JsonObject object(json, "reference");
  SKERRY_RETURN_IF_ERROR(CheckFormat(object, kFormatName, kFormatMajor));
  ModelReference reference;
  SKERRY_ASSIGN_OR_RETURN(reference.rows, object.Uint("rows"));
  SKERRY_ASSIGN_OR_RETURN(reference.min_group, object.UintOr("min_group", 5));
  SKERRY_ASSIGN_OR_RETURN(reference.threshold, object.Number("threshold"));
  SKERRY_ASSIGN_OR_RETURN(reference.anomaly_threshold, object.NumberOr("anomaly_threshold", 0));
  SKERRY_RETURN_IF_ERROR(ReadGoals(object, reference));
  SKERRY_ASSIGN_OR_RETURN(const JsonObject score, object.Object("score"));
  SKERRY_ASSIGN_OR_RETURN(reference.score_edges, ReadEdges(score, "edges"));
  SKERRY_ASSIGN_OR_RETURN(reference.score_counts, ReadGroups(score, "counts"));
  if (reference.score_counts.size() != reference.score_edges.size() + 1)
    return Fail(ErrorCode::kInvalidArgument, "reference.score.counts has {} entries, expected {}",
                reference.score_counts.size(), reference.score_edges.size() + 1);
  SKERRY_ASSIGN_OR_RETURN(const Json* features, object.Array("features"));
  if (features->size() > limits::kTableColumns)
    return Fail(ErrorCode::kTooLarge, "reference.features has {} entries, the limit is {}",
                features->size(), limits::kTableColumns);
  for (std::size_t i = 0; i < features->size(); ++i) {
    SKERRY_ASSIGN_OR_RETURN(
        FeatureReference feature,
        ReadFeature(JsonObject((*features)[i], object.ElementPath("features", i))));
    reference.features.push_back(std::move(feature));
  }
  return reference;
}

std::size_t BinOf(std::span<const double> edges, double value) {
  return static_cast<std::size_t>(std::lower_bound(edges.begin(), edges.end(), value) -
                                  edges.begin());
}

std::vector<double> DecileEdges(std::span<const float> values) {
  std::vector<float> sorted;
  sorted.reserve(values.size());
  std::copy_if(values.begin(), values.end(), std::back_inserter(sorted),
               [](float v) { return !std::isnan(v); });
  std::sort(sorted.begin(), sorted.end());
  std::vector<double> edges;
  if (sorted.empty()) return edges;
  for (std::size_t i = 1; i < kDeciles; ++i) {
    const double edge = sorted[(sorted.size() - 1) * i / kDeciles];
    // An edge at the largest value would leave the bin above it empty for good.
    if (edge < sorted.back() && (edges.empty() || edge > edges.back())) edges.push_back(edge);
  }
  return edges;
}

std::vector<std::uint64_t> CountBins(std::span<const double> edges, std::span<const float> values) {
  std::vector<std::uint64_t> counts(edges.size() + 1, 0);
  for (const float value : values)
    if (!std::isnan(value)) ++counts[BinOf(edges, value)];
  return counts;
}

FeatureReference MakeFeatureReference(const Field& field, std::span<const float> values) {
  FeatureReference reference;
  reference.field = field.name;
  reference.missing = static_cast<std::uint64_t>(
      std::count_if(values.begin(), values.end(), [](float v) { return std::isnan(v); }));
  if (field.type == FieldType::kCategory) {
    reference.counts.assign(field.categories.size(), 0);
    for (const float value : values)
      if (!std::isnan(value) && value >= 0 && value < static_cast<float>(field.categories.size()))
        ++reference.counts[static_cast<std::size_t>(value)];
    return reference;
  }
  reference.edges = DecileEdges(values);
  reference.counts = CountBins(reference.edges, values);
  bool first = true;
  for (const float value : values) {
    if (std::isnan(value)) continue;
    reference.min = first ? value : std::min<double>(reference.min, value);
    reference.max = first ? value : std::max<double>(reference.max, value);
    first = false;
  }
  return reference;
}

}  // namespace skerry
