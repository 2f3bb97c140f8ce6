#include "hub/retrain_spec.h"

#include "base/ids.h"

namespace skerry {
namespace {

constexpr std::string_view kSpecFormat = "skerry-retrain-spec/1";
constexpr std::string_view kResultFormat = "skerry-retrain-result/1";

Result<std::map<std::string, double>> ReadNumbers(const JsonObject& object, const char* key) {
  std::map<std::string, double> numbers;
  if (!object.Has(key)) return numbers;
  SKERRY_ASSIGN_OR_RETURN(const JsonObject members, object.Object(key));
  for (const auto& [name, value] : members.json().items()) {
    if (!value.is_number())
      return Fail(ErrorCode::kInvalidArgument, "{}.{}: is not a number", members.path(), name);
    numbers[name] = value.get<double>();
  }
  return numbers;
}

Result<std::map<std::string, std::filesystem::path>> ReadPaths(const JsonObject& object,
                                                               const char* key) {
  std::map<std::string, std::filesystem::path> paths;
  SKERRY_ASSIGN_OR_RETURN(const JsonObject members, object.Object(key));
  for (const auto& [name, value] : members.json().items()) {
    if (!value.is_string())
      return Fail(ErrorCode::kInvalidArgument, "{}.{}: is not a path", members.path(), name);
    paths[name] = value.get<std::string>();
  }
  return paths;
}

Status CheckFormat(const JsonObject& object, std::string_view format) {
  SKERRY_ASSIGN_OR_RETURN(const std::string found, object.String("format"));
  if (found != format)
    return Fail(ErrorCode::kUnimplemented, "{}: the format {} is not known, {} is", object.path(),
                found, format);
  return {};
}

}  // namespace

Result<RetrainRequest> RetrainRequest::FromJson(const Json& json) {
  const JsonObject object(json, "run");
  SKERRY_RETURN_IF_ERROR(
      object.ForbidOthers({"kind", "model", "labels", "base", "holdouts", "gain_on", "max_loss",
                           "new_version", "seed", "bucket_widths"}));
  SKERRY_ASSIGN_OR_RETURN(const std::string kind, object.String("kind"));
  if (kind != "retrain")
    return Fail(ErrorCode::kInvalidArgument, "run.kind: \"{}\" is not known; there is \"retrain\"",
                kind);
  RetrainRequest request;
  SKERRY_ASSIGN_OR_RETURN(request.model, object.String("model"));
  SKERRY_ASSIGN_OR_RETURN(request.labels, object.StringOr("labels", "default"));
  SKERRY_ASSIGN_OR_RETURN(request.base, object.StringOr("base", ""));
  SKERRY_ASSIGN_OR_RETURN(request.holdouts, ReadPaths(object, "holdouts"));
  SKERRY_ASSIGN_OR_RETURN(request.gain_on, object.String("gain_on"));
  SKERRY_ASSIGN_OR_RETURN(request.max_loss, ReadNumbers(object, "max_loss"));
  SKERRY_ASSIGN_OR_RETURN(request.new_version, object.String("new_version"));
  SKERRY_ASSIGN_OR_RETURN(request.seed, object.UintOr("seed", 1));
  SKERRY_ASSIGN_OR_RETURN(request.bucket_widths, ReadNumbers(object, "bucket_widths"));
  SKERRY_RETURN_IF_ERROR(CheckVersion("run.new_version", request.new_version));
  if (!request.holdouts.contains(request.gain_on))
    return Fail(ErrorCode::kInvalidArgument, "run.gain_on: there is no hold-out named {}",
                request.gain_on);
  for (const auto& [name, loss] : request.max_loss) {
    if (!request.holdouts.contains(name))
      return Fail(ErrorCode::kInvalidArgument, "run.max_loss: there is no hold-out named {}", name);
  }
  return request;
}

Json RetrainRequest::ToJson() const {
  Json paths = Json::object();
  for (const auto& [name, path] : holdouts) paths[name] = path.string();
  return {{"kind", "retrain"},    {"model", model},
          {"labels", labels},     {"base", base.string()},
          {"holdouts", paths},    {"gain_on", gain_on},
          {"max_loss", max_loss}, {"new_version", new_version},
          {"seed", seed},         {"bucket_widths", bucket_widths}};
}

Result<RetrainSpec> RetrainSpec::FromJson(const Json& json) {
  const JsonObject object(json, "spec");
  SKERRY_RETURN_IF_ERROR(CheckFormat(object, kSpecFormat));
  RetrainSpec spec;
  SKERRY_ASSIGN_OR_RETURN(const Json* request, object.Member("request"));
  SKERRY_ASSIGN_OR_RETURN(spec.request, RetrainRequest::FromJson(*request));
  SKERRY_ASSIGN_OR_RETURN(spec.champion, object.String("champion"));
  SKERRY_ASSIGN_OR_RETURN(const auto lake, object.Strings("lake"));
  spec.lake.assign(lake.begin(), lake.end());
  SKERRY_ASSIGN_OR_RETURN(spec.labels_csv, object.String("labels_csv"));
  SKERRY_ASSIGN_OR_RETURN(spec.out, object.String("out"));
  SKERRY_ASSIGN_OR_RETURN(spec.result, object.String("result"));
  return spec;
}

Json RetrainSpec::ToJson() const {
  Json files = Json::array();
  for (const auto& file : lake) files.push_back(file.string());
  return {{"format", kSpecFormat},
          {"request", request.ToJson()},
          {"champion", champion.string()},
          {"lake", std::move(files)},
          {"labels_csv", labels_csv.string()},
          {"out", out.string()},
          {"result", result.string()}};
}

Result<RetrainResult> RetrainResult::FromJson(const Json& json) {
  const JsonObject object(json, "result");
  SKERRY_RETURN_IF_ERROR(CheckFormat(object, kResultFormat));
  RetrainResult result;
  SKERRY_ASSIGN_OR_RETURN(result.passed, object.Bool("passed"));
  SKERRY_ASSIGN_OR_RETURN(result.reason, object.String("reason"));
  SKERRY_ASSIGN_OR_RETURN(result.released, object.Uint("released_rows"));
  SKERRY_ASSIGN_OR_RETURN(const Json* gate, object.Member("gate"));
  SKERRY_ASSIGN_OR_RETURN(const Json* training, object.Member("training"));
  SKERRY_ASSIGN_OR_RETURN(result.text, object.String("text"));
  result.gate = *gate;
  result.training = *training;
  return result;
}

Json RetrainResult::ToJson() const {
  return {{"format", kResultFormat},
          {"passed", passed},
          {"reason", reason},
          {"released_rows", released},
          {"gate", gate},
          {"training", training},
          {"text", text}};
}

}  // namespace skerry
