// reference.json of a model package: how the training data looked (one histogram a feature, one of
// the score) and the thresholds. Drift and "outside the range seen in training" are measured
// against it.
//
// A plain value, immutable after load. Format: docs/formats/model-package.md
// ("skerry-reference/1"). Groups under `min_group` rows are left out of the file: a bin that holds
// some but fewer rows is written as null and reads back as 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/json.h"
#include "model/schema.h"
#include "model/threshold_goal.h"

namespace skerry {

struct FeatureReference {
  std::string field;  // Field::name
  double min = 0;     // of the values present in training; 0 for categories
  double max = 0;
  // Inner decile edges, ascending, distinct, at most 9; empty for categories.
  std::vector<double> edges;
  // Numbers: edges.size() + 1 bins, see BinOf. Categories: one a category of the schema.
  std::vector<std::uint64_t> counts;
  std::uint64_t missing = 0;

  bool operator==(const FeatureReference&) const = default;
};

struct ModelReference {
  std::vector<FeatureReference> features;  // in the schema's feature order
  std::vector<double> score_edges;         // of P(class 1)
  std::vector<std::uint64_t> score_counts;
  double threshold = 0.5;          // score >= threshold is class 1
  double anomaly_threshold = 0.0;  // anomaly_score >= it is an anomaly; only with a detector
  // What they were chosen for; none where it is not told. Of the detector: the share of normal rows
  // that may be at or above the threshold.
  std::optional<ThresholdGoal> threshold_goal{};
  std::optional<double> anomaly_alarm_rate{};
  std::optional<std::string> detector{};  // what it is, in words
  std::uint64_t rows = 0;
  std::uint64_t min_group = 5;  // k

  const FeatureReference* Find(std::string_view field) const;
  Json ToJson() const;
  // kInvalidArgument names the member (wrong counts, edges that do not rise); kUnimplemented for an
  // unknown major version.
  static Result<ModelReference> FromJson(const Json& json);
  bool operator==(const ModelReference&) const = default;
};

// The bin of a value that is no NaN: 0 for value <= edges[0], ..., edges.size() above the last
// edge.
std::size_t BinOf(std::span<const double> edges, double value);

// Deciles of the values (NaN left out), made distinct: what `edges` holds. Order does not matter.
std::vector<double> DecileEdges(std::span<const float> values);
std::vector<std::uint64_t> CountBins(std::span<const double> edges, std::span<const float> values);

// The reference of one feature from its training values as the model sees them (codes for
// categories, NaN for missing).
FeatureReference MakeFeatureReference(const Field& field, std::span<const float> values);

}  // namespace skerry
