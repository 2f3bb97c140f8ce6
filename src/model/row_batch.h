// The rows of one request on their way from decoding through scoring to the answer and the outbox.
//
// Filled by one thread (decode, then ScoreRows), then frozen and shared as
// shared_ptr<const RowBatch> by the answer and the capture. Not for bare ONNX models.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "model/package.h"

namespace skerry {

// When a row was scored, and by what clock.
struct ScoredAt {
  std::int64_t event_time_us = 0;  // UTC
  std::int64_t mono_us = 0;
  ClockQuality clock = ClockQuality::kUnknown;
};

struct RowBatch {
  std::shared_ptr<const ModelPackage> package;
  InstanceId instance;        // of the scoring process
  std::uint64_t first_n = 0;  // row i has the id (instance, first_n + i)
  std::int64_t event_time_us = 0;
  std::int64_t mono_us = 0;
  std::int64_t infer_us = 0;  // how long the graphs ran, up to mono_us
  ClockQuality clock = ClockQuality::kUnknown;
  std::string role = "active";  // active, shadow, canary
  std::size_t rows = 0;
  // One a row where the rows of several requests were gathered (batch_rows.h AppendRows); empty:
  // all of them at the time above.
  std::vector<ScoredAt> scored_at;
  // Row-major [rows][F] in the order of schema.features(): numbers, category codes
  // (schema.h EncodeCategory), NaN for missing.
  std::vector<float> features;
  // One vector of `rows` texts for each of schema.texts(), in that order; "" = absent.
  std::vector<std::vector<std::string>> texts;
  // Of a package with windows: row-major [rows][W], filled by LookBack (scorer.h) before ScoreRows;
  // empty: each row is taken to be alone.
  std::vector<float> windows;

  // Filled by ScoreRows.
  // What the predictor was given, row-major [rows][F + D + W]: the features, then what the package
  // makes of them (schema.input_names()). Empty where it makes nothing.
  std::vector<float> inputs;
  // By the schema's task: P(class 1), the predicted class's probability, or the value; empty for
  // anomaly.
  std::vector<float> score;
  std::vector<float> probabilities;      // multiclass: row-major [rows][classes]; else empty
  std::vector<float> anomaly_score;      // empty without a detector
  std::vector<std::uint8_t> prediction;  // the class; empty where there are none
  // Per row the indexes (into schema.features()) of values outside the range seen in training and
  // of categories never seen there. A missing value is not out of range.
  std::vector<std::vector<std::uint16_t>> out_of_range;

  RowId row_id(std::size_t row) const { return {instance, first_n + row}; }
  ScoredAt ScoredAtOf(std::size_t row) const {
    return scored_at.empty() ? ScoredAt{event_time_us, mono_us, clock} : scored_at[row];
  }
  std::size_t feature_count() const { return rows == 0 ? 0 : features.size() / rows; }
  std::span<const float> Row(std::size_t row) const {
    return std::span<const float>(features).subspan(row * feature_count(), feature_count());
  }
  // The predictor's columns of a scored row.
  std::span<const float> InputRow(std::size_t row) const {
    if (inputs.empty()) return Row(row);
    const std::size_t columns = inputs.size() / rows;
    return std::span<const float>(inputs).subspan(row * columns, columns);
  }
  // anomaly_score >= the package's threshold, or a value out of range.
  bool IsAnomaly(std::size_t row) const;
};

}  // namespace skerry
