#include "serve/window_store.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "base/limits.h"
#include "base/log.h"
#include "crypto/digest.h"
#include "storage/file.h"

namespace skerry {
namespace {

// One file for all versions that keep the same rows.
std::filesystem::path FileName(const std::string& model, const WindowState& state) {
  return fmt::format("{}@{}.windows", model, Digest::Sha256(state.Kept()).hex().substr(0, 16));
}

void ReadState(const std::filesystem::path& file, WindowState& state) {
  const auto read = [&]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(file, limits::kWindowFileBytes));
    SKERRY_ASSIGN_OR_RETURN(const Table table, DecodeTable(bytes));
    return state.Restore(table);
  };
  const Status status = read();
  if (!status && status.error().code() != ErrorCode::kNotFound)
    LogWarning("entities begin without the rows before: {}: {}", file.string(),
               status.error().message());
}

}  // namespace

WindowStore::~WindowStore() {
  if (const Status stopped = Stop(); !stopped) LogWarning("{}", stopped.error().message());
}

Status WindowStore::KeepIn(const std::filesystem::path& directory) {
  SKERRY_RETURN_IF_ERROR(CreateDirectories(directory, 0700));
  const std::scoped_lock lock(mutex_);
  directory_ = directory;
  thread_ = std::thread([this] { SaveUntilStopped(); });
  return {};
}

void WindowStore::SaveUntilStopped() {
  ::pthread_setname_np(::pthread_self(), "windows");
  using Clock = std::chrono::steady_clock;
  Clock::duration pause = limits::kWindowSave;
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, pause, [this] { return stopped_; })) {
    lock.unlock();
    const Clock::time_point began = Clock::now();
    if (const Status saved = Save(); !saved) LogWarning("{}", saved.error().message());
    pause = std::max<Clock::duration>(limits::kWindowSave, 10 * (Clock::now() - began));
    lock.lock();
  }
}

void WindowStore::Count(Kept& kept) const {
  if (registry_ == nullptr) return;
  const std::array<std::pair<std::string_view, std::string_view>, 1> pairs = {
      {{"model", kept.model}}};
  const std::string labels = LabelSet(pairs);
  kept.failures = &registry_->AddCounter("skerry_window_saves_failed_total",
                                         "Savings of entities' last rows that failed.", labels);
  kept.state->CountForgotten(registry_->AddCounter(
      "skerry_window_entities_forgotten_total",
      "Entities whose last rows were forgotten for those of others.", labels));
}

std::shared_ptr<WindowState> WindowStore::StateOf(const std::string& model,
                                                  const ModelSchema& schema) {
  if (schema.windows.empty()) return nullptr;
  auto fresh = std::make_shared<WindowState>(schema);
  Kept added{.model = model, .file = FileName(model, *fresh), .state = nullptr};
  const std::scoped_lock lock(mutex_);
  for (const Kept& kept : kept_)
    if (kept.file == added.file) return kept.state;
  // Of versions that are served no more.
  if (directory_.empty())
    std::erase_if(kept_, [](const Kept& kept) { return kept.state.use_count() == 1; });
  else
    ReadState(directory_ / added.file, *fresh);
  added.state = std::move(fresh);
  Count(added);
  kept_.push_back(added);
  return added.state;
}

Status WindowStore::SaveOne(const Kept& kept, std::uint64_t& saved) const {
  const std::uint64_t taken = kept.state->taken();
  if (taken == kept.saved) return {};
  const Status written =
      WriteFileDurably(directory_ / kept.file, EncodeTable(kept.state->ToTable()), 0600);
  if (!written) {
    if (kept.failures != nullptr) kept.failures->Add();
    return Fail(written.error().code(), "the last rows of model {}'s entities are not saved: {}",
                kept.model, written.error().message());
  }
  saved = taken;
  return {};
}

Status WindowStore::Save() {
  const std::scoped_lock saving(save_mutex_);
  std::unique_lock lock(mutex_);
  if (directory_.empty()) return {};
  std::vector<Kept> kept = kept_;
  lock.unlock();  // models are loaded and looked up meanwhile
  Status first;
  for (Kept& one : kept)
    if (Status status = SaveOne(one, one.saved); !status && first) first = std::move(status);
  lock.lock();
  for (std::size_t i = 0; i < kept.size(); ++i) kept_[i].saved = kept[i].saved;
  kept.clear();
  // Versions that are served no more: their file has it all.
  std::erase_if(kept_, [](const Kept& one) {
    return one.state.use_count() == 1 && one.state->taken() == one.saved;
  });
  return first;
}

Status WindowStore::Stop() {
  std::thread thread;
  {
    const std::scoped_lock lock(mutex_);
    stopped_ = true;
    thread = std::move(thread_);
  }
  wake_.notify_all();
  if (thread.joinable()) thread.join();
  return Save();
}

void WindowStore::CountIn(MetricRegistry& registry) {
  const std::scoped_lock lock(mutex_);
  registry_ = &registry;
  for (Kept& kept : kept_) Count(kept);
}

}  // namespace skerry
