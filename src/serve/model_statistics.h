// What happened to the requests of one served model version: how many, and where their time went,
// in the terms of Triton's statistics extension.
//
// Role: event loops and pools count in ModelStatistics, each thread in a shard of its own cache
// lines; readers add the shards up. Owned shared by the repository and by the ServedModel of each
// request under way, so that a request that ends after its version was taken away still counts.
// Threads: everything may be called from any thread; a reading is not one instant.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace skerry {

// Where one request's time went, microseconds.
struct InferTimes {
  std::int64_t parse_us = 0;   // the body to typed tensors; before Inference, in no statistic
  std::int64_t queue_us = 0;   // waiting to begin
  std::int64_t input_us = 0;   // tensors to what the graphs take
  std::int64_t infer_us = 0;   // the graphs
  std::int64_t output_us = 0;  // what the graphs gave to the answer
};

// Why a request of the model was not answered with its result; Triton's words.
enum class FailureReason : std::uint8_t { kRejected, kCanceled, kBackend, kOther };
constexpr std::size_t kFailureReasons = 4;
const char* FailureReasonName(FailureReason reason);  // "REJECTED", "CANCELED", "BACKEND", "OTHER"

struct StatisticDuration {
  std::uint64_t count = 0;
  std::uint64_t ns = 0;
};

struct BatchStatistics {
  std::size_t batch_size = 0;
  StatisticDuration compute_input, compute_infer, compute_output;
};

// One reading. A request counts when it is answered.
struct StatisticsReading {
  std::string name, version;
  std::uint64_t last_inference_ms = 0;  // since 1970; 0: none
  std::uint64_t inference_count = 0;    // rows of answered requests
  std::uint64_t execution_count = 0;    // runs of the graphs; fewer than requests when batched
  StatisticDuration success, fail, queue, compute_input, compute_infer, compute_output;
  std::array<std::uint64_t, kFailureReasons> failures{};
  std::uint64_t pending = 0;             // requests that wait for a thread
  std::vector<BatchStatistics> batches;  // by rows of a run, up to kBatchSizesCounted
};

class ModelStatistics {
 public:
  static constexpr std::size_t kBatchSizesCounted = 64;

  ModelStatistics() = default;
  ModelStatistics(const ModelStatistics&) = delete;
  ModelStatistics& operator=(const ModelStatistics&) = delete;

  // One answered request of `rows` rows. `total_us`: from its handler's start to its answer.
  void CountSuccess(std::size_t rows, const InferTimes& times, std::int64_t total_us,
                    std::int64_t utc_us);
  void CountFailure(FailureReason reason, std::int64_t total_us);
  // What an answer that was counted before it was written has taken, once that is known.
  void CountOutput(std::size_t rows, std::int64_t output_us);
  // One run of the graphs over `rows` rows of one request or of several.
  void CountRun(std::size_t rows, const InferTimes& times);

  // Requests that wait for a thread: so many more, or fewer.
  void NotePending(std::int64_t change) { pending_.fetch_add(change, std::memory_order_relaxed); }
  std::uint64_t pending() const {
    return static_cast<std::uint64_t>(
        std::max<std::int64_t>(pending_.load(std::memory_order_relaxed), 0));
  }

  // Without name and version, which the repository knows.
  StatisticsReading Read() const;

 private:
  static constexpr std::size_t kShards = 8;
  using Number = std::atomic<std::uint64_t>;
  struct Batch {
    Number runs{0}, input_us{0}, infer_us{0}, output_us{0};
  };
  struct alignas(64) Shard {
    Number requests{0}, rows{0}, total_us{0}, failed_us{0};
    Number queue_us{0}, input_us{0}, infer_us{0}, output_us{0};
    Number last_us{0};
    std::array<Number, kFailureReasons> failures{};
    std::array<Batch, kBatchSizesCounted + 1> batches{};  // by rows - 1; the last: more
  };
  Shard& Mine();
  static Batch& BatchOf(Shard& shard, std::size_t rows);

  std::array<Shard, kShards> shards_;
  std::atomic<std::int64_t> pending_{0};
};

}  // namespace skerry
