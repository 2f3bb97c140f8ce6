#include "train/spark_submit.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "base/child_process.h"
#include "base/environment.h"
#include "base/limits.h"
#include "s3/place.h"
#include "train/job_facts.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMark = "skerry-job: ";  // as in spark/skerry_train.py

bool CanRun(const fs::path& file) {
  std::error_code error;
  return fs::is_regular_file(file, error) && access(file.c_str(), X_OK) == 0;
}

Status CheckMaster(const SparkOptions& options) {
  constexpr std::array<std::string_view, 3> kForms = {"local[", "spark://", "k8s://"};
  const std::string& master = options.master;
  const bool known = master == "local" || master == "yarn" ||
                     std::any_of(kForms.begin(), kForms.end(),
                                 [&](std::string_view form) { return master.starts_with(form); });
  if (!known)
    return Fail(
        ErrorCode::kInvalidArgument,
        "there is no Spark master '{}'; it is local[N], local[*], spark://HOST:PORT, yarn or "
        "k8s://URL",
        master);
  return {};
}

// Where S3 is, by the variables that other programs go by, too. Names and keys are taken from the
// environment by Spark itself: on a command line everybody could read them.
std::vector<std::string> S3Settings() {
  std::vector<std::string> settings;
  const S3Place place = S3Place::FromEnvironment();
  if (!place.endpoint.empty()) {
    settings.push_back("spark.hadoop.fs.s3a.endpoint=" + place.endpoint);
    // Buckets of a server of one's own have no host names of their own.
    settings.emplace_back("spark.hadoop.fs.s3a.path.style.access=true");
  }
  if (!place.region.empty())
    settings.push_back("spark.hadoop.fs.s3a.endpoint.region=" + place.region);
  return settings;
}

// What the log says, read as it grows.
class JobLog {
 public:
  JobLog(const fs::path& file, const ProgressSink& progress) : file_(file), facts_(progress) {}

  void Read() {
    if (!stream_.is_open()) stream_.open(file_);
    stream_.clear();  // the end, where the last reading stopped, may have moved
    std::array<char, 8'192> block{};
    while (stream_.read(block.data(), block.size()), stream_.gcount() > 0) {
      for (const char c :
           std::string_view(block.data(), static_cast<std::size_t>(stream_.gcount())))
        if (c == '\n')
          Take(std::exchange(line_, {}));
        else if (line_.size() < limits::kSparkLineBytes)
          line_ += c;
    }
  }
  bool done() const { return facts_.done(); }
  // Why the job failed, as it said itself; else what Spark said last.
  const std::string& reason() const {
    return facts_.failure().empty() ? last_line_ : facts_.failure();
  }

 private:
  void Take(const std::string& line) {
    if (line.starts_with(kMark))
      facts_.Take(std::string_view(line).substr(kMark.size()));
    else if (line.find_first_not_of(" \t\r") != std::string::npos)
      last_line_ = line.substr(0, 400);
  }

  const fs::path file_;
  JobFacts facts_;
  std::ifstream stream_;
  std::string line_{}, last_line_{};
};

}  // namespace

Result<fs::path> FindSparkSubmit(const SparkOptions& options) {
  SKERRY_RETURN_IF_ERROR(CheckMaster(options));
  if (!options.submit.empty()) {
    if (CanRun(options.submit)) return fs::absolute(options.submit);
    return Fail(ErrorCode::kNotFound, "there is no program {}", options.submit.string());
  }
  if (const std::string home = FromEnvironment("SPARK_HOME"); !home.empty()) {
    const fs::path submit = fs::path(home) / "bin/spark-submit";
    if (CanRun(submit)) return submit;
    return Fail(ErrorCode::kNotFound, "SPARK_HOME is {}, and there is no program {}", home,
                submit.string());
  }
  const std::string path = FromEnvironment("PATH");
  std::string_view rest = path;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    if (const fs::path submit = fs::path(rest.substr(0, end)) / "spark-submit"; CanRun(submit))
      return submit;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return Fail(ErrorCode::kNotFound,
              "there is no spark-submit on the PATH: install Spark 3.4 or later (pip install "
              "pyspark), set SPARK_HOME, or name the program (--spark-submit)");
}

Status RunBySubmit(const SparkRun& run, const SparkOptions& options, const ProgressSink& progress,
                   const CancelCheck& cancelled) {
  SKERRY_ASSIGN_OR_RETURN(const fs::path submit, FindSparkSubmit(options));
  std::vector<std::string> arguments = {"--master",      options.master,
                                        "--deploy-mode", "client",
                                        "--name",        fmt::format("skerry train {}", run.name),
                                        "--conf",        "spark.ui.enabled=false",
                                        "--conf",        "spark.dynamicAllocation.enabled=false"};
  std::vector<std::string> settings = S3Settings();
  settings.insert(settings.end(), options.conf.begin(), options.conf.end());  // the last one counts
  for (const std::string& setting : settings) {
    arguments.emplace_back("--conf");
    arguments.push_back(setting);
  }
  arguments.push_back(run.script.string());
  arguments.push_back(run.job.string());

  JobLog log(run.log, progress);
  const Status ended = RunProcessGroup(
      submit, arguments, run.log,
      [&] {
        log.Read();
        return !(cancelled && cancelled());
      },
      limits::kSparkGrace);
  log.Read();
  if (!ended && ended.error().code() == ErrorCode::kUnavailable)
    return Fail(ErrorCode::kUnavailable, "interrupted");
  if (ended && log.done()) return {};
  return Fail(ErrorCode::kInternal, "Spark: {} (log: {})",
              log.reason().empty() ? "it ended without a word" : log.reason(), run.log.string());
}

}  // namespace skerry
