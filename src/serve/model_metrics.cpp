#include "serve/model_metrics.h"

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

}  // namespace skerry
