// Derived features: numbers that a package computes of each row's own numbers for its predictor,
// so that clients, capture, drift and reasons know the row's fields alone. Training and scoring
// compute them by this code, to the bit.
//
// All in float32. Missing (the one quiet NaN of numeric_limits) where a number that it is made of
// is missing, and where the result is no finite number: a ratio by 0, an overflow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/json.h"

namespace skerry {

struct ModelSchema;

enum class DerivedOperation : std::uint8_t { kProduct, kRatio, kDifference };
std::string_view DerivedOperationName(DerivedOperation operation);  // "product", "ratio", ...

struct DerivedFeature {
  std::string name{};  // as a field's, and none of them
  DerivedOperation operation = DerivedOperation::kProduct;
  std::string left{}, right{};  // names of number features

  std::string Words() const;  // "torque_nm x speed_rpm", "a / b", "a - b"
  Json ToJson() const;
  bool operator==(const DerivedFeature&) const = default;
};

float Derive(DerivedOperation operation, float left, float right);

// What a schema gives the predictor behind the features, ready to be computed or put there. A plain
// value; const is thread-safe.
class DerivedColumns {
 public:
  DerivedColumns() = default;  // nothing is derived
  explicit DerivedColumns(const ModelSchema& schema);

  bool empty() const { return size() == 0; }
  std::size_t size() const { return terms_.size() + windows_; }  // D + W
  // `rows`: float32 [N, F], the schema's features; `windows`: [N, W], their window features
  // (window_state.h). `expanded` becomes [N, F + D + W]: each row's features, then what is derived
  // of them, in the schema's order, then its window features.
  void Expand(std::span<const float> rows, std::span<const float> windows,
              std::vector<float>& expanded) const;

 private:
  struct Term {
    DerivedOperation operation;
    std::uint32_t left, right;  // columns
  };
  std::vector<Term> terms_;
  std::size_t features_ = 0, windows_ = 0;  // F, W
};

// schema.json's member `derived`; none where it is absent. kInvalidArgument for names that are
// taken or no number features, kUnimplemented for an operation that this version does not know,
// kTooLarge over kDerivedFeatures.
Result<std::vector<DerivedFeature>> ReadDerived(const JsonObject& json, const ModelSchema& schema);

}  // namespace skerry
