#include "serve/repository.h"

#include <algorithm>
#include <set>

#include "base/ids.h"

namespace skerry {

struct ModelRepository::Snapshot {
  std::uint64_t id = 0;
  std::map<std::string, std::vector<Model>, std::less<>> models;  // the default version last
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

std::shared_ptr<ModelStatistics> ModelRepository::StatisticsOf(const Snapshot& snapshot,
                                                               const std::string& name,
                                                               const std::string& version) {
  const auto found = snapshot.models.find(name);
  if (found != snapshot.models.end())
    for (const Model& model : found->second)
      if (model->package->version == version) return model->statistics;
  return std::make_shared<ModelStatistics>();
}

Status ModelRepository::Put(const std::string& name, ServedModel model) {
  std::vector<ServedModel> versions;
  versions.push_back(std::move(model));
  return PutVersions(name, std::move(versions));
}

Status ModelRepository::PutVersions(const std::string& name, std::vector<ServedModel> versions) {
  SKERRY_RETURN_IF_ERROR(CheckName("model name", name));
  if (versions.empty())
    return Fail(ErrorCode::kInvalidArgument, "model {} has no version to serve", name);
  std::set<std::string_view> seen;
  for (const ServedModel& model : versions) {
    if (!model.package)
      return Fail(ErrorCode::kInvalidArgument, "model {} has no package to serve", name);
    if (!seen.insert(model.package->version).second)
      return Fail(ErrorCode::kInvalidArgument, "model {} has version {} twice", name,
                  model.package->version);
  }
  const std::scoped_lock lock(mutex_);
  auto next = std::make_unique<Snapshot>(*snapshot_);
  std::vector<Model> served;
  for (ServedModel& model : versions) {
    model.metrics = MetricsOf(name);
    model.statistics = StatisticsOf(*snapshot_, name, model.package->version);
    model.windows = windows_.StateOf(name, model.package->schema);
    served.push_back(std::make_shared<const ServedModel>(std::move(model)));
  }
  next->models[name] = std::move(served);
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

ModelRepository::Model ModelRepository::Find(std::string_view name,
                                             std::string_view version) const {
  const Snapshot& snapshot = Read();
  const auto found = snapshot.models.find(name);
  if (found == snapshot.models.end()) return nullptr;
  if (version.empty()) return found->second.back();
  for (const Model& model : found->second)
    if (model->package->version == version) return model;
  return nullptr;
}

std::vector<ModelRepository::Model> ModelRepository::Versions(std::string_view name) const {
  const Snapshot& snapshot = Read();
  const auto found = snapshot.models.find(name);
  return found == snapshot.models.end() ? std::vector<Model>() : found->second;
}

std::vector<std::string> ModelRepository::VersionNames(std::string_view name) const {
  std::vector<std::string> names;
  for (const Model& model : Versions(name)) names.push_back(model->package->version);
  return names;
}

ModelRepository::Model ModelRepository::Only() const {
  const Snapshot& snapshot = Read();
  return snapshot.models.size() == 1 ? snapshot.models.begin()->second.back() : nullptr;
}

std::vector<std::pair<std::string, ModelRepository::Model>> ModelRepository::List() const {
  std::vector<std::pair<std::string, Model>> list;
  for (const auto& [name, versions] : Read().models)
    for (const Model& model : versions) list.emplace_back(name, model);
  return list;
}

Result<std::vector<StatisticsReading>> ModelRepository::Statistics(std::string_view name,
                                                                   std::string_view version) const {
  std::vector<StatisticsReading> readings;
  for (const auto& [served, model] : List()) {
    if (!name.empty() && name != served) continue;
    if (!version.empty() && version != model->package->version) continue;
    StatisticsReading reading = model->statistics->Read();
    reading.name = served;
    reading.version = model->package->version;
    readings.push_back(std::move(reading));
  }
  if (readings.empty() && !name.empty())
    return version.empty()
               ? UnknownModel(name)
               : Fail(ErrorCode::kNotFound, "no version \"{}\" of model \"{}\" is served here",
                      version, name);
  return readings;
}

tl::unexpected<Error> UnknownModel(std::string_view name) {
  return Fail(ErrorCode::kNotFound,
              "Request for unknown model: '{}' is not found; GET /v1/models lists what is served",
              name);
}

void ModelRepository::SetReady(bool ready) { ready_.store(ready); }

bool ModelRepository::ready() const { return ready_.load() && !Read().models.empty(); }

void ModelRepository::CountIn(MetricRegistry& registry) {
  const std::scoped_lock lock(mutex_);
  if (registry_ == &registry) return;
  registry_ = &registry;
  windows_.CountIn(registry);
  auto next = std::make_unique<Snapshot>(*snapshot_);
  for (auto& [name, versions] : next->models) {
    for (Model& model : versions) {
      ServedModel counted = *model;
      counted.metrics = MetricsOf(name);
      model = std::make_shared<const ServedModel>(std::move(counted));
    }
  }
  Publish(std::move(next));
}

}  // namespace skerry
