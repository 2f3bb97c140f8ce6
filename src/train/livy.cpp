#include "train/livy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/environment.h"
#include "base/ids.h"
#include "base/limits.h"
#include "codec/json.h"
#include "http/client.h"
#include "http/status.h"
#include "http/url.h"
#include "storage/file.h"
#include "train/job_desk.h"
#include "train/job_facts.h"

namespace skerry {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kWake{100};  // how soon facts and a Ctrl-C are seen
constexpr std::chrono::seconds kAsk{1};          // how often Livy is asked for the state
constexpr int kLogLines = 5'000;                 // of a batch that failed, at most

// What Livy says of a batch.
struct BatchState {
  std::string state{}, application{};
  bool ended() const {
    return state == "success" || state == "error" || state == "dead" || state == "killed";
  }
};

class Livy {
 public:
  explicit Livy(const std::string& url) : base_(url), client_(Options()) {
    while (base_.ends_with('/')) base_.pop_back();
  }

  // Returns the batch's number.
  Result<std::uint64_t> Submit(const Json& batch) {
    SKERRY_ASSIGN_OR_RETURN(const Json answer, Call("POST", "/batches", DumpJson(batch)));
    return JsonObject(answer, "Livy's answer").Uint("id");
  }
  Result<BatchState> StateOf(std::uint64_t batch) {
    SKERRY_ASSIGN_OR_RETURN(const Json answer, Call("GET", fmt::format("/batches/{}", batch), ""));
    const JsonObject object(answer, "Livy's answer");
    BatchState found;
    SKERRY_ASSIGN_OR_RETURN(found.state, object.String("state"));
    const auto id = answer.find("appId");  // null before the cluster has given one
    if (id != answer.end() && id->is_string()) found.application = id->get<std::string>();
    return found;
  }
  Result<std::vector<std::string>> LogOf(std::uint64_t batch) {
    SKERRY_ASSIGN_OR_RETURN(
        const Json answer,
        Call("GET", fmt::format("/batches/{}/log?from=0&size={}", batch, kLogLines), ""));
    std::vector<std::string> lines;
    if (const auto log = answer.find("log"); log != answer.end() && log->is_array())
      for (const Json& line : *log)
        if (line.is_string()) lines.push_back(line.get<std::string>());
    return lines;
  }
  Status Delete(std::uint64_t batch) {
    return Call("DELETE", fmt::format("/batches/{}", batch), "").map([](const Json&) {});
  }

 private:
  static HttpClientOptions Options() {
    HttpClientOptions options;
    options.basic_user = FromEnvironment("LIVY_USER");
    options.basic_password = FromEnvironment("LIVY_PASSWORD");
    return options;
  }

  Result<Json> Call(const char* method, const std::string& path, std::string body) {
    HttpCall call;
    call.method = method;
    call.url = base_ + path;
    call.headers = {{"X-Requested-By", "skerry"}};  // Livy asks for it where it guards against CSRF
    if (!body.empty()) call.headers.emplace_back("Content-Type", "application/json");
    call.body = std::move(body);
    SKERRY_ASSIGN_OR_RETURN(const HttpReply reply, client_.Send(call), "Livy");
    if (reply.status / 100 != 2) return tl::make_unexpected(ErrorOf(reply));
    Result<Json> answer = ParseJson(reply.body);
    if (!answer || !answer->is_object())
      return Fail(ErrorCode::kInternal, "{} answers with something that is no JSON: is it Livy?",
                  base_);
    return answer;
  }

  // Livy tells errors as {"msg": "..."} or as a string.
  Error ErrorOf(const HttpReply& reply) const {
    if (reply.status == 401 || reply.status == 403)
      return Error(ErrorCode::kPermissionDenied,
                   fmt::format("Livy at {} wants another name or password ({}): set LIVY_USER and "
                               "LIVY_PASSWORD",
                               base_, reply.status));
    const Result<Json> answer = ParseJson(reply.body);
    if (answer && answer->is_object())
      if (const auto words = answer->find("msg"); words != answer->end() && words->is_string())
        return Error(ErrorCodeOf(reply.status),
                     fmt::format("Livy at {}: {}", base_, words->get<std::string>()));
    return ErrorOfReply(reply, fmt::format("Livy at {}", base_));
  }

  std::string base_;
  HttpClient client_;
};

// What of a log tells most: the last line that names an error, else the last one.
std::string TellingLine(const std::vector<std::string>& log) {
  std::string telling, last;
  for (const std::string& line : log) {
    if (line.find_first_not_of(" \t\r\n") == std::string::npos) continue;
    last = line;
    if (line.find("Exception") != std::string::npos || line.find("Error") != std::string::npos ||
        line.find("error:") != std::string::npos)
      telling = line;
  }
  std::string words = telling.empty() ? last : telling;
  while (!words.empty() && (words.back() == '\n' || words.back() == '\r')) words.pop_back();
  return words.substr(0, 400);
}

// One batch from its submission to its end.
class Batch {
 public:
  Batch(const LivyRun& run, const SparkOptions& options, const ProgressSink& progress,
        const CancelCheck& cancelled)
      : run_(run),
        options_(options),
        progress_(progress),
        cancelled_(cancelled),
        livy_(options.livy),
        facts_(progress) {}

  Status Run() {
    SKERRY_ASSIGN_OR_RETURN(desk_, JobDesk::Open(options_, run_.directory));
    SKERRY_ASSIGN_OR_RETURN(number_, livy_.Submit(Request()));
    Say(fmt::format("Livy batch {}; the cluster reaches this machine at {}", number_,
                    options_.return_url.empty() ? desk_->url().substr(0, desk_->url().rfind('/'))
                                                : options_.return_url));
    Status ended = Follow();
    // Deleting a batch ends it; one that has ended keeps its log for those who look at the cluster.
    if (!ended && !over_) (void)livy_.Delete(number_);
    return ended;
  }

 private:
  Json Request() const {
    Json conf = {{"spark.dynamicAllocation.enabled", "false"}};
    for (const std::string& setting : options_.conf) {
      const std::size_t equals = setting.find('=');
      conf[setting.substr(0, equals)] = setting.substr(equals + 1);
    }
    return {{"file", desk_->url() + "/skerry_train.py"},
            {"args", Json::array({desk_->url() + "/job.json"})},
            // Livy takes a name once; the rest tells two trainings of one model apart.
            {"name", fmt::format("skerry train {} {}", run_.name, RandomHex(3))},
            {"conf", std::move(conf)}};
  }

  Status Follow() {
    Clock::time_point asked{}, answered = Clock::now();
    while (true) {
      TakeFacts();
      if (facts_.done()) return {};
      if (cancelled_ && cancelled_()) return Fail(ErrorCode::kUnavailable, "interrupted");
      if (const auto now = Clock::now(); now - asked >= kAsk) {
        asked = now;
        const Result<BatchState> state = livy_.StateOf(number_);
        if (state) {
          answered = now;
          Tell(*state);
          if (state->ended()) return Ended(state->state);
        } else if (state.error().code() == ErrorCode::kNotFound) {
          over_ = true;
          return Fail(ErrorCode::kInternal,
                      "Spark: batch {} was deleted from Livy by somebody else", number_);
        } else if (now - answered > limits::kSparkPatience) {
          return Fail(ErrorCode::kInternal, "Spark: {}", state.error().message());
        }
      }
      std::this_thread::sleep_for(kWake);
    }
  }

  // The batch's state is final: what the job said before, else what the log says.
  Status Ended(const std::string& state) {
    over_ = true;
    TakeFacts();
    if (facts_.done()) return {};
    const Result<std::vector<std::string>> log = livy_.LogOf(number_);
    std::string text;
    for (const std::string& line : log.value_or(std::vector<std::string>{})) {
      text += line;
      if (!line.ends_with('\n')) text += '\n';
    }
    SKERRY_RETURN_IF_ERROR(WriteFileDurably(run_.log, text));
    std::string why = facts_.failure();
    if (why.empty() && state == "killed") why = "the batch was killed";
    if (why.empty() && log) why = TellingLine(*log);
    if (why.empty()) why = fmt::format("the batch ended as {} without a word", state);
    return Fail(ErrorCode::kInternal, "Spark: {} (log: {})", why, run_.log.string());
  }

  void TakeFacts() {
    for (const std::string& fact : desk_->TakeFacts()) facts_.Take(fact);
  }

  void Tell(const BatchState& now) {
    std::string words = fmt::format("Livy batch {}: {}", number_, now.state);
    if (!now.application.empty()) words += ", application " + now.application;
    if (words != told_) Say(words);
    told_ = words;
  }
  void Say(const std::string& words) {
    if (progress_) progress_(words);
  }

  const LivyRun& run_;
  const SparkOptions& options_;
  const ProgressSink& progress_;
  const CancelCheck& cancelled_;
  Livy livy_;
  JobFacts facts_;
  std::unique_ptr<JobDesk> desk_{};
  std::uint64_t number_ = 0;
  std::string told_{};
  bool over_ = false;  // Livy has nothing of it left that runs
};

}  // namespace

Status CheckLivy(const SparkOptions& options) {
  SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const Url url, Url::Parse(options.livy), "Livy");
  return {};
}

Status RunByLivy(const LivyRun& run, const SparkOptions& options, const ProgressSink& progress,
                 const CancelCheck& cancelled) {
  return Batch(run, options, progress, cancelled).Run();
}

}  // namespace skerry
