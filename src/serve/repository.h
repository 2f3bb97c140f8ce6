// The models that a scoring server answers for, by name, each swapped atomically.
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

namespace skerry {

// A model as it is served. Immutable; shared by the requests under way, which finish on it however
// the repository changes meanwhile.
struct ServedModel {
  std::shared_ptr<const ModelPackage> package;
  CaptureMode capture = CaptureMode::kOff;
  const ModelMetrics* metrics = nullptr;  // set by the repository once CountIn was called
};

// Thread-safe. Lookups take no lock: a thread keeps the last snapshot that it saw and compares one
// number to know that it is current (so a replaced model is freed when every event loop has looked
// up again). Owned by the composition root; outlives the server. Use:
//   repository.Put("milling", {package, CaptureMode::kSync});
//   std::shared_ptr<const ServedModel> model = repository.Find("milling");
class ModelRepository {
 public:
  // Loads or replaces. kInvalidArgument for a name that breaks CheckName.
  Status Put(const std::string& name, ServedModel model);
  // kNotFound when there is none.
  Status Remove(std::string_view name);
  // Null when there is none.
  std::shared_ptr<const ServedModel> Find(std::string_view name) const;
  // The only model, for requests that name none (POST /v1/score); null unless exactly one is
  // served.
  std::shared_ptr<const ServedModel> Only() const;
  // Sorted by name.
  std::vector<std::pair<std::string, std::shared_ptr<const ServedModel>>> List() const;

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
