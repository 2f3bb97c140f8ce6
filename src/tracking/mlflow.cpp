#include "tracking/mlflow.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <span>

#include "base/limits.h"
#include "http/url.h"

namespace skerry {
namespace {

constexpr std::size_t kParametersPerCall = 100;
constexpr std::size_t kMetricsPerCall = 1'000;
constexpr std::size_t kKeyBytes = 250;
constexpr std::size_t kParameterBytes = 500;  // of a value, as every version of the server takes it
constexpr std::string_view kFilesScheme = "mlflow-artifacts:/";

std::int64_t NowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Letters, digits, _ - . / and spaces are taken.
std::string KeyOf(std::string_view name) {
  std::string key(name.substr(0, kKeyBytes));
  for (char& c : key) {
    const auto code = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain && std::string_view("_-. /").find(c) == std::string_view::npos) c = '_';
    if (code >= 0x80) c = '_';
  }
  return key;
}

// At most so many bytes, cut between characters (UTF-8).
std::string ValueOf(std::string_view text) {
  if (text.size() <= kParameterBytes) return std::string(text);
  constexpr std::string_view kCut = "...";
  std::size_t bytes = kParameterBytes - kCut.size();
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0U) == 0x80U) --bytes;
  return std::string(text.substr(0, bytes)) + std::string(kCut);
}

Json Tags(const MlflowParameters& tags) {
  Json list = Json::array();
  for (const auto& [key, value] : tags)
    list.push_back({{"key", KeyOf(key)}, {"value", ValueOf(value)}});
  return list;
}

std::string_view StatusName(MlflowStatus status) {
  if (status == MlflowStatus::kFinished) return "FINISHED";
  return status == MlflowStatus::kFailed ? "FAILED" : "KILLED";
}

// {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "..."}.
Json ErrorBody(const HttpReply& reply) {
  const Result<Json> body = ParseJson(reply.body);
  return body && body->is_object() ? *body : Json::object();
}

ErrorCode CodeOf(int status) {
  if (status == 401 || status == 403) return ErrorCode::kPermissionDenied;
  if (status == 404) return ErrorCode::kNotFound;
  return status >= 500 ? ErrorCode::kUnavailable : ErrorCode::kInvalidArgument;
}

}  // namespace

MlflowRun::MlflowRun(MlflowOptions options, HttpClient client)
    : options_(std::move(options)), client_(std::move(client)) {
  while (options_.url.ends_with('/')) options_.url.pop_back();
}

Result<Json> MlflowRun::Call(std::string_view method, std::string_view route, const Json& body) {
  HttpCall call{.method = std::string(method),
                .url = fmt::format("{}/api/2.0/mlflow/{}", options_.url, route)};
  call.max_reply_bytes = limits::kJsonBytes;
  if (!body.is_null()) {
    call.headers = {{"Content-Type", "application/json"}};
    call.body = DumpJson(body);
  }
  Result<HttpReply> reply = client_.Send(call);
  if (!reply) return Propagate(std::move(reply), "MLflow at " + options_.url);
  if (reply->status / 100 == 2) {
    Result<Json> answer = ParseJson(reply->body);
    if (!answer || !answer->is_object())
      return Fail(ErrorCode::kInvalidArgument,
                  "{} answers {} with something that is no JSON object: is it an MLflow server?",
                  options_.url, route);
    return answer;
  }
  const Json error = ErrorBody(*reply);
  const Json message = error.value("message", Json());
  const bool told = message.is_string();
  return Fail(CodeOf(reply->status), "MLflow at {} answers {} with status {}{}{}", options_.url,
              route, reply->status, told ? ": " : ": is it an MLflow server?",
              told ? message.get<std::string>().substr(0, 300) : "");
}

Status MlflowRun::FindExperiment() {
  const std::string by_name =
      "experiments/get-by-name?experiment_name=" + PercentEncode(options_.experiment);
  for (int attempt = 0; attempt < 2; ++attempt) {
    Result<Json> found = Call("GET", by_name, Json());
    if (found) {
      const JsonObject answer(*found, "MLflow's answer");
      SKERRY_ASSIGN_OR_RETURN(const JsonObject experiment, answer.Object("experiment"));
      SKERRY_ASSIGN_OR_RETURN(experiment_id_, experiment.String("experiment_id"));
      SKERRY_ASSIGN_OR_RETURN(const std::string stage,
                              experiment.StringOr("lifecycle_stage", "active"));
      if (stage == "active") return {};
      return Fail(ErrorCode::kFailedPrecondition,
                  "MLflow's experiment '{}' is deleted: restore it, or name another "
                  "(--mlflow-experiment)",
                  options_.experiment);
    }
    if (found.error().code() != ErrorCode::kNotFound || attempt > 0)
      return Propagate(std::move(found));
    const Result<Json> made = Call("POST", "experiments/create", {{"name", options_.experiment}});
    // Somebody else may have made it meanwhile: then it is found.
    if (!made) continue;
    SKERRY_ASSIGN_OR_RETURN(experiment_id_,
                            JsonObject(*made, "MLflow's answer").String("experiment_id"));
    return {};
  }
  return {};
}

Result<MlflowRun> MlflowRun::Start(const MlflowOptions& options, const std::string& name,
                                   const MlflowParameters& tags) {
  SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const Url url, Url::Parse(options.url), "--mlflow");
  HttpClientOptions http;
  http.bearer_token = options.token;
  http.basic_user = options.user;
  http.basic_password = options.password;
  MlflowRun run(options, HttpClient(std::move(http)));
  SKERRY_RETURN_IF_ERROR(run.FindExperiment());
  SKERRY_ASSIGN_OR_RETURN(const Json answer, run.Call("POST", "runs/create",
                                                      {{"experiment_id", run.experiment_id_},
                                                       {"run_name", name},
                                                       {"start_time", NowMs()},
                                                       {"tags", Tags(tags)}}));
  SKERRY_ASSIGN_OR_RETURN(const JsonObject made,
                          JsonObject(answer, "MLflow's answer").Object("run"));
  SKERRY_ASSIGN_OR_RETURN(const JsonObject info, made.Object("info"));
  SKERRY_ASSIGN_OR_RETURN(run.id_, info.String("run_id"));
  SKERRY_ASSIGN_OR_RETURN(const std::string files, info.StringOr("artifact_uri", ""));
  if (files.starts_with(kFilesScheme)) {
    std::string_view path = std::string_view(files).substr(kFilesScheme.size());
    while (path.starts_with('/')) path.remove_prefix(1);
    run.files_path_ = path;
  }
  return run;
}

Status MlflowRun::LogParameters(const MlflowParameters& parameters) {
  for (std::size_t first = 0; first < parameters.size(); first += kParametersPerCall) {
    const auto some = std::span(parameters)
                          .subspan(first, std::min(kParametersPerCall, parameters.size() - first));
    SKERRY_ASSIGN_OR_RETURN(
        [[maybe_unused]] const Json done,
        Call("POST", "runs/log-batch",
             {{"run_id", id_}, {"params", Tags(MlflowParameters(some.begin(), some.end()))}}));
  }
  return {};
}

Status MlflowRun::LogMetrics(const MlflowMetrics& metrics) {
  const std::int64_t now = NowMs();
  Json list = Json::array();
  const auto send = [&]() -> Status {
    if (list.empty()) return {};
    SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const Json done,
                            Call("POST", "runs/log-batch", {{"run_id", id_}, {"metrics", list}}));
    list = Json::array();
    return {};
  };
  for (const auto& [key, value] : metrics) {
    if (!std::isfinite(value)) continue;
    list.push_back({{"key", KeyOf(key)}, {"value", value}, {"timestamp", now}, {"step", 0}});
    if (list.size() == kMetricsPerCall) SKERRY_RETURN_IF_ERROR(send());
  }
  return send();
}

Status MlflowRun::UploadFile(std::string_view name, std::string bytes) {
  HttpCall call{.method = "PUT",
                .url = fmt::format("{}/api/2.0/mlflow-artifacts/artifacts/{}/{}", options_.url,
                                   files_path_, PercentEncode(name))};
  call.headers = {{"Content-Type", "application/octet-stream"}};
  call.body = std::move(bytes);
  Result<HttpReply> reply = client_.Send(call);
  if (!reply) return Propagate(std::move(reply), "MLflow at " + options_.url);
  if (reply->status / 100 == 2) return {};
  return Fail(CodeOf(reply->status), "MLflow at {} answers the upload of {} with status {}",
              options_.url, name, reply->status);
}

Status MlflowRun::End(MlflowStatus status) {
  SKERRY_ASSIGN_OR_RETURN(
      [[maybe_unused]] const Json done,
      Call("POST", "runs/update",
           {{"run_id", id_}, {"status", StatusName(status)}, {"end_time", NowMs()}}));
  return {};
}

std::string MlflowRun::page() const {
  return fmt::format("{}/#/experiments/{}/runs/{}", options_.url, experiment_id_, id_);
}

}  // namespace skerry
