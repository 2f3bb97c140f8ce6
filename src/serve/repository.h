// The models that a scoring server answers for, by name and version, swapped atomically.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/package.h"
#include "serve/capture.h"
#include "serve/model_metrics.h"
#include "serve/model_statistics.h"
#include "serve/window_store.h"

namespace skerry {

// kNotFound in the words that Triton's clients know it by.
tl::unexpected<Error> UnknownModel(std::string_view name);

// A model version as it is served. Immutable; shared by the requests under way, which finish on it
// however the repository changes meanwhile.
struct ServedModel {
  std::shared_ptr<const ModelPackage> package;
  CaptureMode capture = CaptureMode::kOff;
  const ModelMetrics* metrics = nullptr;  // set by the repository once CountIn was called
  std::int64_t run_us = 0;                // of one row, as its warm-up measured it; 0: unknown
  // Set by the repository; a version that is loaded again goes on with the numbers that it had.
  std::shared_ptr<ModelStatistics> statistics{};
  // Set by the repository: the last rows of entities, where the package has windows; else null.
  std::shared_ptr<WindowState> windows{};
};

// Thread-safe. Lookups take no lock: a thread keeps the last snapshot that it saw and compares one
// number to know that it is current (so a replaced model is freed when every event loop has looked
// up again). Owned by the composition root; outlives the server. Use:
//   repository.Put("milling", {package, CaptureMode::kSync});
//   std::shared_ptr<const ServedModel> model = repository.Find("milling");
class ModelRepository {
 public:
  using Model = std::shared_ptr<const ServedModel>;

  // Loads, or replaces all versions of that name by this one. kInvalidArgument for a name that
  // breaks CheckName.
  Status Put(const std::string& name, ServedModel model);
  // The same for several versions at once; the last is the one that requests without a version get.
  // kInvalidArgument also for none, and for two of one version.
  Status PutVersions(const std::string& name, std::vector<ServedModel> versions);
  // Takes every version away. kNotFound when there is none.
  Status Remove(std::string_view name);

  // Null when there is none. "" is the default version.
  Model Find(std::string_view name, std::string_view version = "") const;
  // In the order of PutVersions, the default last; empty when there is none.
  std::vector<Model> Versions(std::string_view name) const;
  std::vector<std::string> VersionNames(std::string_view name) const;
  // The default version of the only model, for requests that name none (POST /v1/score); null
  // unless exactly one name is served.
  Model Only() const;
  // Every version, sorted by name.
  std::vector<std::pair<std::string, Model>> List() const;

  // By name, "" all of them, and version, "" all of that name. kNotFound says what is missing.
  Result<std::vector<StatisticsReading>> Statistics(std::string_view name,
                                                    std::string_view version) const;

  WindowStore& windows() { return windows_; }

  // Ready: told so, and at least one model is served. A site says false while it starts or drains.
  void SetReady(bool ready);
  bool ready() const;

  // Counts requests of every model, now and later, in that registry, which must outlive this.
  // Repeats with the same registry are harmless.
  void CountIn(MetricRegistry& registry);

 private:
  struct Snapshot;
  const Snapshot& Read() const;
  void Publish(std::unique_ptr<Snapshot> next);  // under mutex_
  const ModelMetrics* MetricsOf(const std::string& name);
  static std::shared_ptr<ModelStatistics> StatisticsOf(const Snapshot& snapshot,
                                                       const std::string& name,
                                                       const std::string& version);

  WindowStore windows_;
  mutable std::mutex mutex_;  // guards what follows, taken by changes and by stale lookups
  std::shared_ptr<const Snapshot> snapshot_;
  MetricRegistry* registry_ = nullptr;
  std::map<std::string, std::unique_ptr<const ModelMetrics>, std::less<>> metrics_;

  std::atomic<std::uint64_t> current_{0};  // the snapshot's id, unique in the process
  std::atomic<bool> ready_{true};

 public:
  ModelRepository();
  ~ModelRepository();
  ModelRepository(const ModelRepository&) = delete;
  ModelRepository& operator=(const ModelRepository&) = delete;
};

}  // namespace skerry
