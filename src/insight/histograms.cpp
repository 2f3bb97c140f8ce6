#include "insight/histograms.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

namespace skerry {
namespace {

std::vector<std::string> BinLabels(std::span<const double> edges) {
  if (edges.empty()) return {"all"};
  std::vector<std::string> labels = {fmt::format("<= {:g}", edges.front())};
  for (std::size_t i = 1; i < edges.size(); ++i)
    labels.push_back(fmt::format("{:g} - {:g}", edges[i - 1], edges[i]));
  labels.push_back(fmt::format("> {:g}", edges.back()));
  return labels;
}

std::vector<std::string> FeatureLabels(const Field& field, const FeatureReference& reference) {
  std::vector<std::string> labels;
  if (field.type == FieldType::kCategory) {
    labels = field.categories;
    labels.push_back("unseen");
  } else {
    labels = BinLabels(reference.edges);
  }
  labels.push_back("missing");
  return labels;
}

}  // namespace

FeatureHistograms::FeatureHistograms(std::shared_ptr<const ModelPackage> package)
    : package_(std::move(package)) {
  assert(!package_->bare);
  const auto add = [this](std::string_view kind, std::string field,
                          std::vector<std::string> labels) {
    const std::size_t bins = labels.size();
    histograms_.push_back(
        {kind, std::move(field), std::vector<std::uint64_t>(bins, 0), std::move(labels)});
  };
  const std::vector<const Field*> features = package_->schema.features();
  for (std::size_t i = 0; i < features.size(); ++i) {
    categorical_.push_back(features[i]->type == FieldType::kCategory);
    add(kSummaryFeature, features[i]->name,
        FeatureLabels(*features[i], package_->reference.features[i]));
  }
  add(kSummaryScore, "", BinLabels(package_->reference.score_edges));
  add(kSummaryPrediction, "", package_->schema.classes);
  add(kSummaryAnomaly, "", {"normal", "anomaly"});
}

std::size_t FeatureHistograms::BinOfFeature(std::size_t feature, float value) const {
  const std::size_t bins = histograms_[feature].bins.size();
  if (std::isnan(value)) return bins - 1;
  if (!categorical_[feature]) return BinOf(package_->reference.features[feature].edges, value);
  const std::size_t unseen = bins - 2;
  if (value < 0 || value >= static_cast<float>(unseen)) return unseen;
  return static_cast<std::size_t>(value);
}

void FeatureHistograms::Add(const RowBatch& batch) {
  assert(batch.score.size() == batch.rows && batch.package->schema == package_->schema);
  if (batch.rows == 0) return;
  const std::size_t features = categorical_.size();
  for (std::size_t row = 0; row < batch.rows; ++row) {
    const std::span<const float> values = batch.Row(row);
    for (std::size_t i = 0; i < features; ++i) ++histograms_[i].bins[BinOfFeature(i, values[i])];
    ++histograms_[features].bins[BinOf(package_->reference.score_edges, batch.score[row])];
    ++histograms_[features + 1].bins[batch.prediction[row]];
    ++histograms_[features + 2].bins[batch.IsAnomaly(row) ? 1 : 0];
  }
  NoteTimes(batch.event_time_us, batch.event_time_us);
  rows_ += batch.rows;
}

void FeatureHistograms::NoteTimes(std::int64_t first_us, std::int64_t last_us) {
  first_event_us_ = rows_ == 0 ? first_us : std::min(first_event_us_, first_us);
  last_event_us_ = rows_ == 0 ? last_us : std::max(last_event_us_, last_us);
}

void FeatureHistograms::Merge(const FeatureHistograms& other) {
  assert(other.package_->schema == package_->schema &&
         other.package_->reference == package_->reference);
  if (other.rows_ == 0) return;
  for (std::size_t i = 0; i < histograms_.size(); ++i)
    for (std::size_t bin = 0; bin < histograms_[i].bins.size(); ++bin)
      histograms_[i].bins[bin] += other.histograms_[i].bins[bin];
  NoteTimes(other.first_event_us_, other.last_event_us_);
  rows_ += other.rows_;
}

void FeatureHistograms::Clear() {
  for (Counts& counts : histograms_) std::fill(counts.bins.begin(), counts.bins.end(), 0);
  rows_ = 0;
}

Table FeatureHistograms::ToSummary(std::int64_t window, std::uint64_t min_group) const {
  Table table;
  table.columns = {{"window", ColumnType::kInt64},
                   {"model", ColumnType::kText},
                   {"kind", ColumnType::kText},
                   {"field", ColumnType::kText},
                   {"bin", ColumnType::kInt64},
                   {"label", ColumnType::kText},
                   {"count", ColumnType::kInt64},
                   {"rows", ColumnType::kInt64},
                   {"first_event_time", ColumnType::kTimestamp},
                   {"last_event_time", ColumnType::kTimestamp}};
  if (rows_ == 0) return table;
  const std::string model = fmt::format("{}:{}", package_->name, package_->version);
  for (const Counts& counts : histograms_) {
    for (std::size_t bin = 0; bin < counts.bins.size(); ++bin) {
      const std::uint64_t count = counts.bins[bin];
      table.columns[0].AppendInt(window);
      table.columns[1].AppendText(model);
      table.columns[2].AppendText(std::string(counts.kind));
      table.columns[3].AppendText(counts.field);
      table.columns[4].AppendInt(static_cast<std::int64_t>(bin));
      table.columns[5].AppendText(counts.labels[bin]);
      if (count > 0 && count < min_group)
        table.columns[6].AppendNull();
      else
        table.columns[6].AppendInt(static_cast<std::int64_t>(count));
      table.columns[7].AppendInt(static_cast<std::int64_t>(rows_));
      table.columns[8].AppendInt(first_event_us_);
      table.columns[9].AppendInt(last_event_us_);
    }
  }
  return table;
}

}  // namespace skerry
