#include "cli/run_call.h"

#include <charconv>
#include <filesystem>
#include <thread>

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

// "inner fold 2 of 5, 2 at work (20 %), stage 12: 3 of 8 tasks"; "" while nothing is known.
std::string ProgressText(const Json& run) {
  const Json progress = run.value("progress", Json());
  if (!progress.is_object()) return "";
  std::string text = progress.value("step", std::string());
  if (const Json share = progress.value("step_fraction", Json()); share.is_number())
    text += fmt::format(" ({:.0f} %)", share.get<double>() * 100);
  if (const std::string tasks = progress.value("tasks", std::string()); !tasks.empty())
    text += ", " + tasks;
  return text;
}

}  // namespace

Result<std::string> StartRun(ControlClient& control, const Json& body) {
  SKERRY_ASSIGN_OR_RETURN(const Json started, control.Post("/v1/runs", body));
  return JsonObject(started, "run").String("run");
}

Result<Json> FollowRun(ControlClient& control, const std::string& run) {
  std::string told;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(Json facts, control.Get("/v1/runs/" + run));
    SKERRY_ASSIGN_OR_RETURN(const std::string state, JsonObject(facts, "run").String("state"));
    if (HasEnded(state)) {
      if (state == "failed" || state == "cancelled" || state == "interrupted")
        return Fail(ErrorCode::kFailedPrecondition, "run {} {}: {}", run,
                    state == "failed" ? state : "was " + state,
                    facts.value("reason", std::string()));
      return facts;
    }
    const std::string progress = ProgressText(facts);
    std::string words = fmt::format("run {}: {}", run, progress.empty() ? state : progress);
    if (words != told) PrintProgress(words);
    told = std::move(words);
    std::this_thread::sleep_for(kPollEvery);
  }
}

Result<Json> RunRetrain(const RetrainCall& request) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(request.hub));
  SKERRY_ASSIGN_OR_RETURN(const Json body, RequestJson(request));
  SKERRY_ASSIGN_OR_RETURN(const std::string run, StartRun(control, body));
  return FollowRun(control, run);
}

std::string DescribeRun(const Json& run) {
  std::string out = fmt::format("run {}: {}\n", run.value("run", std::string("?")),
                                run.value("state", std::string("?")));
  if (const std::string progress = ProgressText(run); !progress.empty())
    out += WrapText("  ", progress, 4);
  if (const std::string reason = run.value("reason", std::string()); !reason.empty())
    out += WrapText("  ", reason, 4);
  if (const std::string model = run.value("model", std::string()); !model.empty())
    out += fmt::format("  model {}\n", model);
  if (const std::string log = run.value("log", std::string()); !log.empty())
    out += fmt::format("  log {}\n", log);
  const Json report = run.value("report", Json());
  if (!report.is_object() || !report.contains("gate")) return out;
  const Json reasons = report.at("gate").value("reasons", Json::array());
  for (std::size_t i = 1; i < reasons.size(); ++i)  // the first is the run's
    out += WrapText("  ", reasons[i].get<std::string>(), 4);
  return out;
}

}  // namespace skerry
