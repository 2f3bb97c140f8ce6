#include "serve/repository.h"

#include "base/ids.h"

namespace skerry {

struct ModelRepository::Snapshot {
  std::uint64_t id = 0;
  std::map<std::string, std::shared_ptr<const ServedModel>, std::less<>> models;
};

namespace {

// Unique over all repositories of the process, so that a thread's last snapshot cannot be taken for
// one of another repository.
std::atomic<std::uint64_t> next_snapshot_id{1};

struct LastSeen {
  std::uint64_t id = 0;
  std::shared_ptr<const void> snapshot;
};
thread_local LastSeen last_seen;

}  // namespace

ModelRepository::ModelRepository() {
  const std::scoped_lock lock(mutex_);
  Publish(std::make_unique<Snapshot>());
}

ModelRepository::~ModelRepository() = default;

const ModelRepository::Snapshot& ModelRepository::Read() const {
  if (last_seen.id != current_.load(std::memory_order_acquire)) {
    const std::scoped_lock lock(mutex_);
    last_seen = {snapshot_->id, snapshot_};
  }
  return *static_cast<const Snapshot*>(last_seen.snapshot.get());
}

void ModelRepository::Publish(std::unique_ptr<Snapshot> next) {
  next->id = next_snapshot_id.fetch_add(1, std::memory_order_relaxed);
  snapshot_ = std::move(next);
  current_.store(snapshot_->id, std::memory_order_release);
}

const ModelMetrics* ModelRepository::MetricsOf(const std::string& name) {
  if (registry_ == nullptr) return nullptr;
  auto& metrics = metrics_[name];
  if (!metrics) metrics = MakeModelMetrics(*registry_, name);
  return metrics.get();
}

Status ModelRepository::Put(const std::string& name, ServedModel model) {
  SKERRY_RETURN_IF_ERROR(CheckName("model name", name));
  if (!model.package)
    return Fail(ErrorCode::kInvalidArgument, "model {} has no package to serve", name);
  const std::scoped_lock lock(mutex_);
  auto next = std::make_unique<Snapshot>(*snapshot_);
  model.metrics = MetricsOf(name);
  next->models[name] = std::make_shared<const ServedModel>(std::move(model));
  Publish(std::move(next));
  return {};
}

Status ModelRepository::Remove(std::string_view name) {
  const std::scoped_lock lock(mutex_);
  const auto found = snapshot_->models.find(name);
  if (found == snapshot_->models.end())
    return Fail(ErrorCode::kNotFound, "no model named {}", name);
  auto next = std::make_unique<Snapshot>(*snapshot_);
  next->models.erase(found->first);
  Publish(std::move(next));
  return {};
}

std::shared_ptr<const ServedModel> ModelRepository::Find(std::string_view name) const {
  const Snapshot& snapshot = Read();
  const auto found = snapshot.models.find(name);
  return found == snapshot.models.end() ? nullptr : found->second;
}

std::shared_ptr<const ServedModel> ModelRepository::Only() const {
  const Snapshot& snapshot = Read();
  return snapshot.models.size() == 1 ? snapshot.models.begin()->second : nullptr;
}

std::vector<std::pair<std::string, std::shared_ptr<const ServedModel>>> ModelRepository::List()
    const {
  const Snapshot& snapshot = Read();
  return {snapshot.models.begin(), snapshot.models.end()};
}

void ModelRepository::SetReady(bool ready) { ready_.store(ready); }

bool ModelRepository::ready() const { return ready_.load() && !Read().models.empty(); }

void ModelRepository::CountIn(MetricRegistry& registry) {
  const std::scoped_lock lock(mutex_);
  registry_ = &registry;
  auto next = std::make_unique<Snapshot>(*snapshot_);
  for (auto& [name, model] : next->models) {
    ServedModel counted = *model;
    counted.metrics = MetricsOf(name);
    model = std::make_shared<const ServedModel>(std::move(counted));
  }
  Publish(std::move(next));
}

}  // namespace skerry
