// doctor, health, version: what is wrong with a set-up, whether a process is well, and which
// version this is.
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/limits.h"
#include "cli/command.h"
#include "cli/health.h"
#include "cli/release_command.h"
#include "cli/terminal.h"
#include "storage/file.h"
#include "tabular/engine.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

struct Finding {
  std::string what;
  Status status;
};

Status HasSpace(const fs::path& data) {
  constexpr std::uint64_t kWantedBytes = std::uint64_t{256} << 20U;
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t bytes, FreeBytes(data));
  if (bytes < kWantedBytes)
    return Fail(ErrorCode::kResourceExhausted, "{} has {} MiB left; free some space", data.string(),
                bytes >> 20U);
  return {};
}

constexpr std::chrono::seconds kPatience{10};
constexpr std::chrono::seconds kScoringPatience{45};  // of a site that has just started

std::vector<Finding> Examine(const fs::path& data) {
  std::vector<Finding> findings;
  const auto engine = TabularEngine::Open({});
  findings.push_back({"libduckdb.so (training, sealing, the lake) can be opened",
                      engine ? Status() : Status(tl::make_unexpected(engine.error()))});
  if (data.empty()) return findings;
  if (!fs::is_directory(data)) {
    findings.push_back({"the data directory is there",
                        Fail(ErrorCode::kNotFound, "{} is no directory", data.string())});
    return findings;
  }
  findings.push_back({"the disk has space", HasSpace(data)});
  for (const char* secret : {"admin.token", "control.token", "keys/hub.key", "keys/model.key",
                             "ca/ca.key", "identity/key.pem", "identity/policy.key"})
    if (fs::exists(data / secret))
      findings.push_back({fmt::format("{} is private", secret), CheckPrivateFile(data / secret)});
  findings.push_back({"a process serves it and answers", AnswersFor(data, kPatience)});
  return findings;
}

}  // namespace

CommandRun DeclareDoctor(CLI::App& app) {
  auto data = std::make_shared<std::string>();
  app.add_option("--data", *data, "data directory of a hub or site");
  return [data]() -> Status {
    int wrong = 0;
    for (const Finding& finding : Examine(*data)) {
      wrong += finding.status ? 0 : 1;
      std::printf("%s  %s%s%s\n", finding.status ? "ok   " : "WRONG", finding.what.c_str(),
                  finding.status ? "" : ": ",
                  finding.status ? "" : finding.status.error().message().c_str());
    }
    if (wrong > 0) return Fail(ErrorCode::kFailedPrecondition, "{} finding(s)", wrong);
    return {};
  };
}

CommandRun DeclareHealth(CLI::App& app) {
  struct Arguments {
    std::string url, data, ca;
    bool scores = false;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("url", args->url, "of serve or site: ready when its models are loaded");
  app.add_option("--data", args->data, "instead: data directory of a hub or site on this machine");
  app.add_flag("--scores", args->scores,
               "with the data directory of a site: whether it scores rows with the model in use");
  app.add_option("--ca", args->ca, "with an https URL: the authority to trust (PEM)");
  return [args]() -> Status {
    if (args->url.empty() == args->data.empty())
      return Fail(ErrorCode::kInvalidArgument, "name a URL or a data directory (--data)");
    if (args->scores && args->data.empty())
      return Fail(ErrorCode::kInvalidArgument, "--scores goes with a site's data directory");
    if (args->scores) return ScoresAt(args->data, kScoringPatience);
    if (!args->data.empty()) return AnswersFor(args->data, kPatience);
    std::string ca_pem;
    if (!args->ca.empty()) {
      SKERRY_ASSIGN_OR_RETURN(ca_pem, ReadFile(args->ca, limits::kCertificateBytes));
    }
    return IsReady(args->url, ca_pem, kPatience);
  };
}

CommandRun DeclareVersion(CLI::App& app) {
  auto json = std::make_shared<bool>(false);
  app.add_flag("--json", *json, "print what this release is, as in a release.json");
  return [json]() -> Status {
    const ReleaseFacts release = ThisRelease();
    if (*json) {
      std::printf("%s\n", release.ToJson().c_str());
      return {};
    }
    std::printf("skerry %s\n", SKERRY_VERSION);
    if (release.version != release.build) std::printf("release %s\n", release.version.c_str());
    return {};
  };
}

}  // namespace skerry
