// The anomaly detector of a package, whichever kind it is: learnt from training rows, judged on
// rows that it did not see, exported.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "train/matrix.h"
#include "train/trainer.h"

namespace skerry {

struct LearntDetector {
  std::string graph{};  // detector.onnx
  // Of any rows, by the trainer itself: what the graph is compared with.
  std::function<std::vector<float>(const FeatureMatrix&)> score{};
  std::vector<float> out_of_fold{};  // of the training rows, each by a detector that did not see it
  DetectorFacts facts{};             // but for left_out
  std::vector<std::size_t> left_out{};  // features without a part, by number
};

// Normal are the rows of class 0 of a binary task, else all.
std::vector<std::uint8_t> NormalRows(const LabelledRows& rows);

// An isolation forest is grown on all training rows; principal components are fitted to the normal
// ones, and their limits are those that `parameters.alarm_rate` of the normal rows reach, by fits
// of the inner folds that did not see the row. `folds` is a fold number a training row.
// kInvalidArgument: no number varies among the normal rows; kTooLarge: over limits::kPcaFeatures
// numbers. kUnavailable: cancelled.
Result<LearntDetector> LearnDetector(const DetectorParameters& parameters,
                                     const LabelledRows& training,
                                     std::span<const std::uint8_t> folds, std::uint64_t seed,
                                     const CancelCheck& cancelled);

// Of normal rows the least that at most `alarm_rate` of them reach.
double LimitOfRate(std::span<const float> values, std::span<const std::uint8_t> normal,
                   double alarm_rate);

}  // namespace skerry
