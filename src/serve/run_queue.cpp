#include "serve/run_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace skerry {

RunQueue::RunQueue(const ScoringParts& parts, const RunQueueOptions& options)
    : parts_(parts), options_(options) {
  for (int i = 0; i < std::max(options_.threads, 1); ++i) threads_.emplace_back([this] { Work(); });
}

RunQueue::~RunQueue() { Stop(); }

void RunQueue::Flush() {
  {
    const std::scoped_lock lock(mutex_);
    flushing_ = true;
  }
  changed_.notify_all();
}

void RunQueue::Stop() {
  std::list<Lane> left;
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
    left.swap(lanes_);
  }
  changed_.notify_all();
  threads_.clear();
  for (Lane& lane : left)
    for (QueuedRun& run : lane.waiting) {
      lane.model->statistics->NotePending(-1);
      run.done(Fail(ErrorCode::kUnavailable, "the server is stopping"));
    }
}

bool RunQueue::Takes(const ServedModel& model) const {
  return options_.batch_rows > 1 || model.run_us > options_.inline_limit.count();
}

Status RunQueue::Push(const Model& model, QueuedRun run) {
  run.queued_at = std::chrono::steady_clock::now();
  const std::size_t rows = RowsOf(*model, *run.request);
  {
    const std::scoped_lock lock(mutex_);
    if (ending_) return Fail(ErrorCode::kUnavailable, "the server is stopping");
    auto lane = std::ranges::find(lanes_, model, &Lane::model);
    if (lane == lanes_.end()) lane = lanes_.insert(lanes_.end(), Lane{model, {}, 0});
    if (lane->waiting.size() >= options_.requests_per_model)
      return Fail(ErrorCode::kResourceExhausted,
                  "{} requests wait for model {} already, its limit; try again later",
                  options_.requests_per_model, model->package->name);
    lane->waiting.push_back(std::move(run));
    lane->rows += rows;
    model->statistics->NotePending(1);
  }
  changed_.notify_one();
  return {};
}

RunQueue::Time RunQueue::DueAt(const Lane& lane) const {
  const Time oldest = lane.waiting.front().queued_at;
  return flushing_ || lane.rows >= options_.batch_rows ? oldest : oldest + options_.batch_delay;
}

std::vector<QueuedRun> RunQueue::TakeTurn(Lane& lane) {
  std::vector<QueuedRun> turn;
  std::size_t rows = 0;
  while (!lane.waiting.empty()) {
    const std::size_t more = RowsOf(*lane.model, *lane.waiting.front().request);
    if (!turn.empty() && rows + more > options_.batch_rows) break;
    turn.push_back(std::move(lane.waiting.front()));
    lane.waiting.pop_front();
    rows += more;
  }
  lane.rows -= rows;
  lane.model->statistics->NotePending(-static_cast<std::int64_t>(turn.size()));
  return turn;
}

void RunQueue::Work() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    if (lanes_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const Time now = std::chrono::steady_clock::now();
    auto due = std::ranges::find_if(lanes_, [&](const Lane& lane) { return DueAt(lane) <= now; });
    if (due == lanes_.end()) {
      const auto next =
          std::ranges::min_element(lanes_, {}, [this](const Lane& lane) { return DueAt(lane); });
      changed_.wait_until(lock, DueAt(*next));
      continue;
    }
    const Model model = due->model;
    std::vector<QueuedRun> turn = TakeTurn(*due);
    if (due->waiting.empty())
      lanes_.erase(due);
    else
      lanes_.splice(lanes_.end(), lanes_, due);
    lock.unlock();
    ScoreQueued(parts_, model, std::move(turn));
    lock.lock();
  }
}

}  // namespace skerry
