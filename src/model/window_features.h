// Window features: numbers that a package computes, for its predictor, of the last rows of the same
// entity (a machine, a pump): rolling mean, standard deviation, minimum, maximum and slope, and
// what a number was so many rows before. Of schema.json's member `windows`; computed by
// window_state.h, in training and in scoring.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/json.h"

namespace skerry {

struct ModelSchema;

enum class WindowStatistic : std::uint8_t { kMean, kDeviation, kMinimum, kMaximum, kSlope, kLag };
std::string_view WindowStatisticName(WindowStatistic statistic);  // "mean", "sd", "min", ...

struct WindowFeature {
  std::string name{};  // as a field's, and none of them
  WindowStatistic statistic = WindowStatistic::kMean;
  std::string of{};      // the name of a number feature
  std::size_t rows = 1;  // of the window, the row itself among them; of a lag: so many rows before

  std::string Words() const;  // "mean of load over 30 rows", "load 1 row before"
  bool operator==(const WindowFeature&) const = default;
};

struct WindowSet {
  std::string entity{};  // the context or id field whose texts tell entities apart
  // The context or id field that rows of a table are put in order by; rows that are scored are
  // taken in the order in which they come.
  std::string time{};
  std::vector<WindowFeature> features{};

  bool empty() const { return features.empty(); }
  std::size_t size() const { return features.size(); }  // W
  Json ToJson() const;
  bool operator==(const WindowSet&) const = default;
};

// schema.json's member `windows`; empty where it is absent. `schema` has all else.
// kInvalidArgument for fields that are not there or not of that kind, names that are taken and
// windows of other than 1 to kWindowRows rows; kUnimplemented for a statistic that this version
// does not know; kTooLarge over kWindowFeatures.
Result<WindowSet> ReadWindows(const JsonObject& json, const ModelSchema& schema);

}  // namespace skerry
