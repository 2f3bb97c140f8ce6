// The options of `skerry serve --capture`: a scorer whose site keeps its rows.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/error.h"
#include "base/metrics.h"
#include "serve/access.h"
#include "serve/repository.h"
#include "serve/row_numbers.h"
#include "serve/site_capture.h"
#include "serve/site_package.h"
#include "storage/file.h"

namespace skerry {

struct CaptureOptions {
  std::string url{};  // empty: nothing is captured
  std::string key_file{}, ca{}, certificate{}, certificate_key{};
  std::string mode = "sync", outage{};
  std::int64_t timeout_ms = 10'000;
  std::string cache{};  // empty: a temporary directory

  bool on() const { return !url.empty(); }
};

// `options` outlives the parser.
void DeclareCapture(CLI::App& app, CaptureOptions& options);

// What a scorer has of its site. Closed before it is destroyed, after the servers; the package is
// followed until then.
struct SiteLink {
  std::optional<TemporaryDirectory> cache;
  std::unique_ptr<SitePackage> package;
  std::unique_ptr<SiteCapture> capture;
};

// kInvalidArgument for options that do not go together, and for plain HTTP to another machine
// without --plain-http; kPermissionDenied for key files that others may read.
Result<SiteLink> LinkToSite(const CaptureOptions& options, const AccessOptions& access,
                            ModelRepository& repository, const RowNumbers& numbers,
                            const Clock& clock, MetricRegistry& metrics);

}  // namespace skerry
