// Summaries: counts of what was scored, over the bins of the package's reference, one window at a
// time. They are what tells the hub about drift without a single row leaving the site.
//
// FeatureHistograms is fed by one thread (the outbox writer); not thread-safe. The summary record
// is a Table in long form, one row a bin, described at ToSummary.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "model/row_batch.h"

namespace skerry {

// What a histogram of the summary counts (column `kind`).
constexpr std::string_view kSummaryFeature = "feature";  // `field` is the feature's name
constexpr std::string_view kSummaryScore = "score";  // P(class 1) over the reference's score bins
constexpr std::string_view kSummaryPrediction = "prediction";  // one bin a class
constexpr std::string_view kSummaryAnomaly = "anomaly";        // bins "normal" and "anomaly"

class FeatureHistograms {
 public:
  // The package must have a schema (not bare); it is shared with the batches it came from.
  explicit FeatureHistograms(std::shared_ptr<const ModelPackage> package);

  // Requires a scored batch of the same package (by identity of the schema).
  void Add(const RowBatch& batch);
  // Requires the same package. Equal to having added the other's batches here.
  void Merge(const FeatureHistograms& other);
  void Clear();

  const std::shared_ptr<const ModelPackage>& package() const { return package_; }
  std::uint64_t rows() const { return rows_; }

  // The summary of everything since the start or the last Clear. Columns, none null but `count`:
  //   window INT64 (as given) | model TEXT (name:version) | kind TEXT | field TEXT ("" unless
  //   feature) | bin INT64 from 0 | label TEXT ("<= 38.2", "38.2 - 40.1", "> 61.4", a category,
  //   "unseen", "missing") | count INT64, null when 0 < count < min_group | rows INT64 |
  //   first_event_time, last_event_time TIMESTAMP
  // Bins of a number: edges.size() + 1, then missing. Of a category: one a category, then unseen,
  // then missing. No rows when nothing was added.
  Table ToSummary(std::int64_t window, std::uint64_t min_group) const;

 private:
  struct Counts {
    std::string_view kind;
    std::string field;
    std::vector<std::uint64_t> bins;
    std::vector<std::string> labels;
  };
  std::size_t BinOfFeature(std::size_t feature, float value) const;
  void NoteTimes(std::int64_t first_us, std::int64_t last_us);

  std::shared_ptr<const ModelPackage> package_;
  std::vector<Counts> histograms_;         // features in order, then score, prediction, anomaly
  std::vector<std::uint8_t> categorical_;  // one a feature
  std::uint64_t rows_ = 0;
  std::int64_t first_event_us_ = 0;
  std::int64_t last_event_us_ = 0;
};

}  // namespace skerry
