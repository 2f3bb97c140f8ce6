// The models that a scoring server answers for, by name, each swapped atomically.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/package.h"
#include "serve/capture.h"

namespace skerry {

// A model as it is served. Immutable; shared by the requests under way, which finish on it however
// the repository changes meanwhile.
struct ServedModel {
  std::shared_ptr<const ModelPackage> package;
  CaptureMode capture = CaptureMode::kOff;
};

// Thread-safe. Lookups take no lock that another lookup holds: they read one atomically replaced
// snapshot. Owned by the composition root; outlives the server. Use:
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

 private:
  struct Snapshot;
  std::shared_ptr<const Snapshot> Read() const;

  std::mutex writers_;  // one change at a time
  std::atomic<std::shared_ptr<const Snapshot>> snapshot_;
  std::atomic<bool> ready_{true};

 public:
  ModelRepository();
  ~ModelRepository();
};

}  // namespace skerry
