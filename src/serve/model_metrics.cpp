#include "serve/model_metrics.h"

#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>

namespace skerry {

std::unique_ptr<const ModelMetrics> MakeModelMetrics(MetricRegistry& registry,
                                                     std::string_view model) {
  const std::array<std::pair<std::string_view, std::string_view>, 1> pairs = {{{"model", model}}};
  const std::string labels = LabelSet(pairs);
  return std::unique_ptr<const ModelMetrics>(new ModelMetrics{
      registry.AddCounter("skerry_requests_total", "Scoring requests for the model.", labels),
      registry.AddCounter("skerry_request_errors_total",
                          "Scoring requests for the model answered other than 200.", labels),
      registry.AddCounter("skerry_rows_scored_total", "Rows scored by the model.", labels),
      registry.AddCounter("skerry_rows_capture_failed_total",
                          "Scored rows that capture could not keep.", labels),
      registry.AddHistogram("skerry_request_seconds",
                            "Time from the request's handler to its answer.",
                            LatencySecondsBounds(), labels)});
}

namespace {

constexpr std::uint64_t kNsPerUs = 1'000;

std::string VersionLabels(const StatisticsReading& reading, std::string_view reason = "") {
  std::vector<std::pair<std::string_view, std::string_view>> pairs = {{"model", reading.name},
                                                                      {"version", reading.version}};
  if (!reason.empty()) pairs.emplace_back("reason", reason);
  return LabelSet(pairs);
}

void BeginFamily(std::string& text, std::string_view name, std::string_view help,
                 std::string_view kind = "counter") {
  text += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, kind);
}

struct Family {
  const char* name;
  const char* help;
  std::uint64_t (*read)(const StatisticsReading&);
};
constexpr std::array<Family, 8> kFamilies{{
    {"nv_inference_request_success", "Inference requests answered with a result.",
     [](const StatisticsReading& s) { return s.success.count; }},
    {"nv_inference_count", "Inferences done: a batch of n rows counts n.",
     [](const StatisticsReading& s) { return s.inference_count; }},
    {"nv_inference_exec_count", "Runs of the model; several requests may share one.",
     [](const StatisticsReading& s) { return s.execution_count; }},
    {"nv_inference_request_duration_us", "Time of answered requests, from end to end.",
     [](const StatisticsReading& s) { return s.success.ns / kNsPerUs; }},
    {"nv_inference_queue_duration_us", "Time that answered requests waited to begin.",
     [](const StatisticsReading& s) { return s.queue.ns / kNsPerUs; }},
    {"nv_inference_compute_input_duration_us", "Time of preparing what the model takes.",
     [](const StatisticsReading& s) { return s.compute_input.ns / kNsPerUs; }},
    {"nv_inference_compute_infer_duration_us", "Time of running the model.",
     [](const StatisticsReading& s) { return s.compute_infer.ns / kNsPerUs; }},
    {"nv_inference_compute_output_duration_us", "Time of writing what the model gave.",
     [](const StatisticsReading& s) { return s.compute_output.ns / kNsPerUs; }},
}};

}  // namespace

std::string TritonMetricsText(const std::vector<StatisticsReading>& readings) {
  std::string text;
  for (const Family& family : kFamilies) {
    BeginFamily(text, family.name, family.help);
    for (const StatisticsReading& reading : readings)
      text +=
          fmt::format("{}{{{}}} {}\n", family.name, VersionLabels(reading), family.read(reading));
  }
  BeginFamily(text, "nv_inference_request_failure",
              "Inference requests that were not answered with a result.");
  for (const StatisticsReading& reading : readings)
    for (std::size_t i = 0; i < kFailureReasons; ++i)
      text += fmt::format("nv_inference_request_failure{{{}}} {}\n",
                          VersionLabels(reading, FailureReasonName(static_cast<FailureReason>(i))),
                          reading.failures[i]);
  BeginFamily(text, "nv_inference_pending_request_count",
              "Inference requests that wait for a thread.", "gauge");
  for (const StatisticsReading& reading : readings)
    text += fmt::format("nv_inference_pending_request_count{{{}}} {}\n", VersionLabels(reading),
                        reading.pending);
  return text;
}

}  // namespace skerry
