// What is counted about each served model: one table.
#pragma once

#include <memory>
#include <string_view>

#include "base/metrics.h"

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

}  // namespace skerry
