#include "base/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace skerry {

struct MetricRegistry::Series {
  std::string name, help, labels;
  Kind kind = Kind::kCounter;
  Counter counter;
  Gauge gauge;
  std::unique_ptr<Histogram> histogram;
};

MetricRegistry::MetricRegistry() = default;
MetricRegistry::~MetricRegistry() = default;

Histogram::Histogram(std::span<const double> upper_bounds)
    : bounds_(upper_bounds.begin(), upper_bounds.end()),
      buckets_(std::make_unique<std::atomic<std::uint64_t>[]>(bounds_.size() + 1)) {}

void Histogram::Observe(double value) {
  const auto at = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  buckets_[static_cast<std::size_t>(at)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

std::uint64_t Histogram::count() const {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i <= bounds_.size(); ++i)
    total += buckets_[i].load(std::memory_order_relaxed);
  return total;
}

double Histogram::Quantile(double q) const {
  const auto wanted = static_cast<double>(count()) * q;
  double seen = 0;
  for (std::size_t i = 0; i < bounds_.size(); ++i) {
    seen += static_cast<double>(buckets_[i].load(std::memory_order_relaxed));
    if (seen >= wanted && seen > 0) return bounds_[i];
  }
  return bounds_.empty() ? 0 : bounds_.back();
}

std::span<const double> LatencySecondsBounds() {
  static constexpr std::array kBounds{1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2,
                                      2e-2, 5e-2, 0.1,  0.2,  0.5,  1.0,  2.0,  5.0,  10.0};
  return kBounds;
}

MetricRegistry::Series& MetricRegistry::FindOrAdd(std::string_view name, std::string_view help,
                                                  std::string_view labels, Kind kind,
                                                  std::span<const double> bounds) {
  const std::lock_guard lock(mutex_);
  for (const auto& series : series_)
    if (series->name == name && series->labels == labels) return *series;
  auto series = std::make_unique<Series>();
  series->name = name;
  series->help = help;
  series->labels = labels;
  series->kind = kind;
  if (kind == Kind::kHistogram) series->histogram = std::make_unique<Histogram>(bounds);
  return *series_.emplace_back(std::move(series));
}

Counter& MetricRegistry::AddCounter(std::string_view name, std::string_view help,
                                    std::string_view labels) {
  return FindOrAdd(name, help, labels, Kind::kCounter, {}).counter;
}

Gauge& MetricRegistry::AddGauge(std::string_view name, std::string_view help,
                                std::string_view labels) {
  return FindOrAdd(name, help, labels, Kind::kGauge, {}).gauge;
}

Histogram& MetricRegistry::AddHistogram(std::string_view name, std::string_view help,
                                        std::span<const double> upper_bounds,
                                        std::string_view labels) {
  return *FindOrAdd(name, help, labels, Kind::kHistogram, upper_bounds).histogram;
}

void MetricRegistry::RenderHistogram(const Series& series, std::string& out) {
  const Histogram& histogram = *series.histogram;
  const std::string comma = series.labels.empty() ? "" : series.labels + ",";
  const std::string braces = series.labels.empty() ? "" : fmt::format("{{{}}}", series.labels);
  std::uint64_t total = 0;
  for (std::size_t i = 0; i <= histogram.bounds_.size(); ++i) {
    total += histogram.buckets_[i].load(std::memory_order_relaxed);
    const std::string bound =
        i < histogram.bounds_.size() ? fmt::format("{}", histogram.bounds_[i]) : "+Inf";
    out += fmt::format("{}_bucket{{{}le=\"{}\"}} {}\n", series.name, comma, bound, total);
  }
  out += fmt::format("{}_sum{} {}\n", series.name, braces,
                     histogram.sum_.load(std::memory_order_relaxed));
  out += fmt::format("{}_count{} {}\n", series.name, braces, total);
}

std::string MetricRegistry::RenderPrometheusText() const {
  const std::lock_guard lock(mutex_);
  std::vector<const Series*> sorted;
  for (const auto& series : series_) sorted.push_back(series.get());
  std::ranges::stable_sort(sorted, {}, [](const Series* s) { return s->name; });
  std::string out;
  std::string_view family;
  for (const Series* series : sorted) {
    if (series->name != family) {
      family = series->name;
      static constexpr std::array kTypes{"counter", "gauge", "histogram"};
      out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", family, series->help, family,
                         kTypes[static_cast<std::size_t>(series->kind)]);
    }
    const std::string braces = series->labels.empty() ? "" : fmt::format("{{{}}}", series->labels);
    switch (series->kind) {
      case Kind::kCounter:
        out += fmt::format("{}{} {}\n", family, braces, series->counter.value());
        break;
      case Kind::kGauge:
        out += fmt::format("{}{} {}\n", family, braces, series->gauge.value());
        break;
      case Kind::kHistogram: RenderHistogram(*series, out); break;
    }
  }
  return out;
}

std::string LabelSet(std::span<const std::pair<std::string_view, std::string_view>> labels) {
  std::string out;
  for (const auto& [name, value] : labels) {
    if (!out.empty()) out += ',';
    out += fmt::format("{}=\"", name);
    for (const char c : value) {
      if (c == '"' || c == '\\') out += '\\';
      if (c == '\n')
        out += "\\n";
      else
        out += c;
    }
    out += '"';
  }
  return out;
}

}  // namespace skerry
