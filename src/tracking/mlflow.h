// A run at an MLflow tracking server (REST API 2.0). One thread at a time.
//
//   SKERRY_ASSIGN_OR_RETURN(MlflowRun run, MlflowRun::Start({.url = url}, "machines:1", tags));
//   SKERRY_RETURN_IF_ERROR(run.LogParameters(parameters));
//   ...
//   SKERRY_RETURN_IF_ERROR(run.End(MlflowStatus::kFinished));
//
// Errors name the server: kUnavailable (not reachable), kDeadlineExceeded (no answer),
// kPermissionDenied, and what else it says.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "codec/json.h"
#include "http/client.h"

namespace skerry {

struct MlflowOptions {
  std::string url{};                        // "http://127.0.0.1:5000", a path in front is kept
  std::string experiment = "skerry";        // made when it is not there
  std::string token{}, user{}, password{};  // as a bearer token, or basic authentication
};

enum class MlflowStatus : std::uint8_t { kFinished, kFailed, kKilled };

// Keys are what MLflow takes: other characters become "_".
using MlflowParameters = std::vector<std::pair<std::string, std::string>>;
using MlflowMetrics = std::vector<std::pair<std::string, double>>;

class MlflowRun {
 public:
  // Finds or makes the experiment, and begins a run in it.
  static Result<MlflowRun> Start(const MlflowOptions& options, const std::string& name,
                                 const MlflowParameters& tags);

  Status LogParameters(const MlflowParameters& parameters);
  // Numbers that are not finite are left out.
  Status LogMetrics(const MlflowMetrics& metrics);
  // Whether the server takes files itself (`mlflow server --serve-artifacts`, its default).
  bool takes_files() const { return !files_path_.empty(); }
  // Requires takes_files().
  Status UploadFile(std::string_view name, std::string bytes);
  Status End(MlflowStatus status);

  const std::string& id() const { return id_; }
  std::string page() const;  // of the run, for people

 private:
  MlflowRun(MlflowOptions options, HttpClient client);
  Result<Json> Call(std::string_view method, std::string_view route, const Json& body);
  // The experiment's id; made if it is not there.
  Status FindExperiment();

  MlflowOptions options_;
  HttpClient client_;
  std::string experiment_id_{}, id_{}, files_path_{};
};

}  // namespace skerry
