#include "image/image_config.h"

#include <chrono>
#include <cstdint>

#include "codec/json.h"
#include "image/base_layer.h"
#include "image/image_types.h"
#include "oci/media_types.h"

namespace skerry {
namespace {

constexpr std::string_view kProgram = "/usr/bin/skerry";
constexpr std::string_view kData = "/var/lib/skerry";
constexpr std::int64_t kSecond = 1'000'000'000;  // in nanoseconds, as Docker counts

std::string TimeText(std::int64_t seconds) {
  using namespace std::chrono;
  const sys_seconds time{std::chrono::seconds(seconds)};
  const sys_days day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

// What is always run, what may be given anew when the container starts, and the question of health.
struct Run {
  Json entrypoint, arguments, health, ports;
  bool keeps_data = true;
};

Run RunOf(const ImageOptions& options) {
  const Json asks_data = {"CMD", kProgram, "health", "--data", kData};
  const Json scoring = {
      {"8000/tcp", Json::object()},
      {"8001/tcp", Json::object()},
  };
  const Json listen = {"--http", "0.0.0.0:8000", "--grpc", "0.0.0.0:8001", "--plain-http"};
  switch (options.purpose) {
    case ImagePurpose::kServe:
      return {{kProgram, "serve", fmt::format("{0}=/models/{0}", options.name)},
              listen,
              {"CMD", kProgram, "health", "http://127.0.0.1:8000"},
              scoring,
              false};
    case ImagePurpose::kSite:
      return {{kProgram, "site", "--data", kData}, listen, asks_data, scoring};
    case ImagePurpose::kHub: break;
  }
  return {{kProgram, "hub", "--data", kData},
          {"--listen", "0.0.0.0:8443"},
          asks_data,
          {{"8443/tcp", Json::object()}}};
}

}  // namespace

Annotations ImageLabels(const ImageOptions& options, const Digest& model) {
  Annotations labels = {
      {std::string(annotations::kTitle), options.name},
      {std::string(annotations::kVersion), options.version},
      {std::string(annotations::kCreated), TimeText(options.created_s)},
      {std::string(annotations::kLicenses), "Apache-2.0"},
      {std::string(annotations::kDescription),
       fmt::format("skerry {} {}", options.skerry_version, ImagePurposeName(options.purpose))}};
  if (!model.empty()) labels.emplace(annotations::kModelDigest, model.ToString());
  return labels;
}

std::string ImageConfig(const ImageOptions& options, const std::string& architecture,
                        const std::vector<Layer>& layers, const Annotations& labels) {
  const std::string created = TimeText(options.created_s);
  Run run = RunOf(options);
  Json diff_ids = Json::array(), history = Json::array();
  for (const Layer& layer : layers) {
    diff_ids.push_back(layer.diff_id.ToString());
    history.push_back({{"created", created}, {"created_by", "skerry image: " + layer.name}});
  }
  Json config = {{"User", fmt::format("{0}:{0}", kImageUser)},
                 {"Env", {"PATH=/usr/bin"}},
                 {"Entrypoint", std::move(run.entrypoint)},
                 {"Cmd", std::move(run.arguments)},
                 {"WorkingDir", "/"},
                 {"StopSignal", "SIGTERM"},
                 {"ExposedPorts", std::move(run.ports)},
                 {"Labels", labels},
                 {"Healthcheck",
                  {{"Test", std::move(run.health)},
                   {"Interval", 10 * kSecond},
                   {"Timeout", 5 * kSecond},
                   {"StartPeriod", 30 * kSecond},
                   {"Retries", 3}}}};
  if (run.keeps_data) config["Volumes"] = {{kData, Json::object()}};
  Json document = {{"architecture", architecture},
                   {"os", "linux"},
                   {"created", created},
                   {"config", std::move(config)},
                   {"rootfs", {{"type", "layers"}, {"diff_ids", std::move(diff_ids)}}},
                   {"history", std::move(history)}};
  if (architecture == "arm64") document["variant"] = "v8";
  return DumpJson(document);
}

}  // namespace skerry
