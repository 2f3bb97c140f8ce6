#include "cli/retrain_call.h"

#include <charconv>
#include <filesystem>
#include <thread>

#include "cli/control_client.h"
#include "cli/terminal.h"

namespace skerry {
namespace {

constexpr std::chrono::milliseconds kPollEvery{200};

Result<std::pair<std::string, std::string>> SplitAtEquals(const std::string& text,
                                                          std::string_view form) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
    return Fail(ErrorCode::kInvalidArgument, "'{}' is not of the form {}", text, form);
  return std::pair{text.substr(0, equals), text.substr(equals + 1)};
}

Result<Json> RequestJson(const RetrainCall& request) {
  Json body{{"kind", "retrain"},
            {"model", request.model},
            {"labels", request.labels},
            {"gain_on", request.gain_on},
            {"new_version", request.new_version},
            {"holdouts", Json::object()},
            {"max_loss", Json::object()}};
  if (!request.base.empty()) body["base"] = std::filesystem::absolute(request.base).string();
  for (const std::string& text : request.holdouts) {
    SKERRY_ASSIGN_OR_RETURN(const auto pair, SplitAtEquals(text, "NAME=FILE"));
    body["holdouts"][pair.first] = std::filesystem::absolute(pair.second).string();
  }
  for (const std::string& text : request.max_losses) {
    SKERRY_ASSIGN_OR_RETURN(const auto pair, SplitAtEquals(text, "NAME=LOSS"));
    double loss = 0;
    const char* end = pair.second.data() + pair.second.size();
    if (std::from_chars(pair.second.data(), end, loss).ptr != end)
      return Fail(ErrorCode::kInvalidArgument, "'{}' is no number", pair.second);
    body["max_loss"][pair.first] = loss;
  }
  return body;
}

bool HasEnded(const std::string& state) { return state != "queued" && state != "running"; }

}  // namespace

Result<Json> RunRetrain(const RetrainCall& request) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(request.hub));
  SKERRY_ASSIGN_OR_RETURN(const Json body, RequestJson(request));
  SKERRY_ASSIGN_OR_RETURN(const Json started, control.Post("/v1/runs", body));
  SKERRY_ASSIGN_OR_RETURN(const std::string run, JsonObject(started, "run").String("run"));
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(Json facts, control.Get("/v1/runs/" + run));
    SKERRY_ASSIGN_OR_RETURN(const std::string state, JsonObject(facts, "run").String("state"));
    if (!HasEnded(state)) {
      PrintProgress(fmt::format("run {}: {}", run, state));
      std::this_thread::sleep_for(kPollEvery);
      continue;
    }
    if (state == "failed")
      return Fail(ErrorCode::kFailedPrecondition, "run {} failed: {}", run,
                  facts.value("reason", std::string("see its log")));
    return facts;
  }
}

std::string DescribeRun(const Json& run) {
  std::string out = fmt::format("run {}: {}\n", run.value("run", std::string("?")),
                                run.value("state", std::string("?")));
  const Json report = run.value("report", Json::object());
  if (!report.is_object() || !report.contains("gate")) return out;
  for (const Json& reason : report.at("gate").value("reasons", Json::array()))
    out += WrapText("  ", reason.get<std::string>(), 4);
  return out;
}

}  // namespace skerry
