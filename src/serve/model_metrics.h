// What is counted about each served model: one table of our own metrics, by model, and one of the
// nv_inference_* that dashboards for Triton ask for, by model and version.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics.h"
#include "serve/model_statistics.h"

namespace skerry {

// References into the registry, which must outlive this. Adding to them is thread-safe.
struct ModelMetrics {
  Counter& requests;    // skerry_requests_total{model}: asked for this model, whatever the answer
  Counter& errors;      // skerry_request_errors_total{model}: answered other than 200
  Counter& rows;        // skerry_rows_scored_total{model}
  Counter& uncaptured;  // skerry_rows_capture_failed_total{model}: the sink could not keep them
  Histogram&
      seconds;  // skerry_request_seconds{model}: handler start to answer, sync commit included
};

std::unique_ptr<const ModelMetrics> MakeModelMetrics(MetricRegistry& registry,
                                                     std::string_view model);

// The nv_inference_* families as Prometheus text, a series for each reading. Source: Triton
// Inference Server, user guide, "Metrics".
std::string TritonMetricsText(const std::vector<StatisticsReading>& readings);

}  // namespace skerry
