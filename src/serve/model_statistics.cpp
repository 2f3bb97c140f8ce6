#include "serve/model_statistics.h"

#include <algorithm>

namespace skerry {
namespace {

constexpr std::uint64_t kNsPerUs = 1'000;
constexpr std::int64_t kUsPerMs = 1'000;

void Add(std::atomic<std::uint64_t>& number, std::int64_t amount) {
  number.fetch_add(static_cast<std::uint64_t>(std::max<std::int64_t>(amount, 0)),
                   std::memory_order_relaxed);
}
std::uint64_t Get(const std::atomic<std::uint64_t>& number) {
  return number.load(std::memory_order_relaxed);
}

}  // namespace

const char* FailureReasonName(FailureReason reason) {
  static constexpr std::array kNames{"REJECTED", "CANCELED", "BACKEND", "OTHER"};
  return kNames[static_cast<std::size_t>(reason)];
}

ModelStatistics::Shard& ModelStatistics::Mine() {
  static std::atomic<std::size_t> threads{0};
  thread_local const std::size_t mine = threads.fetch_add(1, std::memory_order_relaxed) % kShards;
  return shards_[mine];
}

void ModelStatistics::CountSuccess(std::size_t rows, const InferTimes& times, std::int64_t total_us,
                                   std::int64_t utc_us) {
  Shard& shard = Mine();
  Add(shard.requests, 1);
  Add(shard.rows, static_cast<std::int64_t>(rows));
  Add(shard.total_us, total_us);
  Add(shard.queue_us, times.queue_us);
  Add(shard.input_us, times.input_us);
  Add(shard.infer_us, times.infer_us);
  Add(shard.output_us, times.output_us);
  shard.last_us.store(static_cast<std::uint64_t>(std::max<std::int64_t>(utc_us, 0)),
                      std::memory_order_relaxed);
}

void ModelStatistics::CountFailure(FailureReason reason, std::int64_t total_us) {
  Shard& shard = Mine();
  Add(shard.failures[static_cast<std::size_t>(reason)], 1);
  Add(shard.failed_us, total_us);
}

ModelStatistics::Batch& ModelStatistics::BatchOf(Shard& shard, std::size_t rows) {
  return shard.batches[std::min(std::max<std::size_t>(rows, 1) - 1, kBatchSizesCounted)];
}

void ModelStatistics::CountOutput(std::size_t rows, std::int64_t output_us) {
  Shard& shard = Mine();
  Add(shard.output_us, output_us);
  Add(BatchOf(shard, rows).output_us, output_us);
}

void ModelStatistics::CountRun(std::size_t rows, const InferTimes& times) {
  Batch& batch = BatchOf(Mine(), rows);
  Add(batch.runs, 1);
  Add(batch.input_us, times.input_us);
  Add(batch.infer_us, times.infer_us);
  Add(batch.output_us, times.output_us);
}

StatisticsReading ModelStatistics::Read() const {
  StatisticsReading sum;
  std::uint64_t last_us = 0, failed = 0;
  std::array<BatchStatistics, kBatchSizesCounted> batches{};
  for (const Shard& shard : shards_) {
    sum.success.count += Get(shard.requests);
    sum.success.ns += Get(shard.total_us) * kNsPerUs;
    sum.inference_count += Get(shard.rows);
    sum.fail.ns += Get(shard.failed_us) * kNsPerUs;
    sum.queue.ns += Get(shard.queue_us) * kNsPerUs;
    sum.compute_input.ns += Get(shard.input_us) * kNsPerUs;
    sum.compute_infer.ns += Get(shard.infer_us) * kNsPerUs;
    sum.compute_output.ns += Get(shard.output_us) * kNsPerUs;
    last_us = std::max(last_us, Get(shard.last_us));
    for (std::size_t i = 0; i < kFailureReasons; ++i) {
      sum.failures[i] += Get(shard.failures[i]);
      failed += Get(shard.failures[i]);
    }
    for (std::size_t i = 0; i <= kBatchSizesCounted; ++i) {
      const std::uint64_t runs = Get(shard.batches[i].runs);
      sum.execution_count += runs;
      if (i == kBatchSizesCounted) break;
      BatchStatistics& batch = batches[i];
      batch.batch_size = i + 1;
      for (StatisticDuration* part :
           {&batch.compute_input, &batch.compute_infer, &batch.compute_output})
        part->count += runs;
      batch.compute_input.ns += Get(shard.batches[i].input_us) * kNsPerUs;
      batch.compute_infer.ns += Get(shard.batches[i].infer_us) * kNsPerUs;
      batch.compute_output.ns += Get(shard.batches[i].output_us) * kNsPerUs;
    }
  }
  sum.fail.count = failed;
  sum.pending = pending();
  for (StatisticDuration* part :
       {&sum.queue, &sum.compute_input, &sum.compute_infer, &sum.compute_output})
    part->count = sum.success.count;
  sum.last_inference_ms = last_us / static_cast<std::uint64_t>(kUsPerMs);
  for (const BatchStatistics& batch : batches)
    if (batch.compute_infer.count > 0) sum.batches.push_back(batch);
  return sum;
}

}  // namespace skerry
