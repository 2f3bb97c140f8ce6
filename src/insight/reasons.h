// Why a row stands out, in words that are true of that row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "model/row_batch.h"

namespace skerry {

enum class ReasonKind : std::uint8_t { kAboveRange, kBelowRange, kUnseenCategory, kAnomalyScore };

struct Reason {
  ReasonKind kind;
  std::string field;  // the feature that the reason speaks of; "" for kAnomalyScore
  std::string text;   // "torque_nm 81.2 is above the range seen in training 3.8 - 76.6"
};

// The reasons of one scored row: each value out of range in feature order, then the anomaly score
// when it reaches the threshold. Empty when nothing stands out. Thread-safe for a frozen batch.
std::vector<Reason> ReasonsOf(const RowBatch& batch, std::size_t row);

// "above_range", "below_range", "unseen_category", "anomaly_score".
std::string_view ReasonKindName(ReasonKind kind);

}  // namespace skerry
