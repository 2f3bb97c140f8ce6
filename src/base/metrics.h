// Counters, gauges and histograms that cost one relaxed atomic add, exposed as Prometheus text
// (exposition format 0.0.4). No lock is taken on the way in; only registration and exposition lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skerry {

class Counter {
 public:
  void Add(std::uint64_t amount = 1) { value_.fetch_add(amount, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

class Gauge {
 public:
  void Set(double value) { value_.store(value, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// Fixed upper bounds, in the metric's own unit; an implicit last bucket is +Inf.
class Histogram {
 public:
  explicit Histogram(std::span<const double> upper_bounds);
  void Observe(double value);
  // The upper bound of the bucket that holds the q-quantile (0 < q < 1); 0 when empty.
  double Quantile(double q) const;
  std::uint64_t count() const;

 private:
  friend class MetricRegistry;
  std::vector<double> bounds_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> buckets_;  // bounds_.size() + 1
  std::atomic<double> sum_{0};
};

// 10 us to 10 s in steps of about 2: what a request's time is measured in.
std::span<const double> LatencySecondsBounds();

// Owns every metric of one process; references stay valid as long as the registry. Thread-safe.
// Metric names follow Prometheus' naming (base unit last: _seconds, _bytes, _total).
class MetricRegistry {
 public:
  // `labels` is the rendered label set without braces, such as `model="milling",version="1"`;
  // LabelSet() makes one with its values escaped. Asking again for the same name and labels
  // returns the same metric.
  Counter& AddCounter(std::string_view name, std::string_view help, std::string_view labels = "");
  Gauge& AddGauge(std::string_view name, std::string_view help, std::string_view labels = "");
  Histogram& AddHistogram(std::string_view name, std::string_view help,
                          std::span<const double> upper_bounds, std::string_view labels = "");

  // The whole exposition, families sorted by name.
  std::string RenderPrometheusText() const;

 private:
  struct Series;
  enum class Kind { kCounter, kGauge, kHistogram };
  Series& FindOrAdd(std::string_view name, std::string_view help, std::string_view labels,
                    Kind kind, std::span<const double> bounds);
  static void RenderHistogram(const Series& series, std::string& out);

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Series>> series_;

 public:
  MetricRegistry();
  ~MetricRegistry();
};

// LabelSet({{"site", "north"}}) is `site="north"`, with quotes, backslashes and newlines escaped.
std::string LabelSet(std::span<const std::pair<std::string_view, std::string_view>> labels);

}  // namespace skerry
