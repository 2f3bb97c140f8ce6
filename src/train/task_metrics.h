// How good the answers of other tasks than the binary one are: several classes, numbers, alarms.
// Pure functions, deterministic for a seed; intervals by the bootstrap over rows (Efron 1979,
// percentiles), all figures on the same resamples.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "codec/json.h"
#include "train/metrics.h"

namespace skerry {

struct TaskScores {
  std::vector<std::pair<std::string, Interval>> figures{};  // by name, the leading one first
  // Of several classes: rows by their class, and then by the predicted one.
  std::vector<std::vector<std::uint64_t>> confusion{};
  Json ToJson() const;
};

// log_loss, accuracy and macro_f1 of `probabilities`, row-major [rows][classes]. Predicted is the
// first of the most probable classes. macro_f1 is the mean of F1 over the classes that occur as a
// label or as a prediction (as scikit-learn's).
TaskScores JudgeClasses(std::span<const float> probabilities, std::span<const std::uint8_t> labels,
                        std::size_t classes, const BootstrapOptions& options);

// rmse, mae and r2. r2 is NaN where all targets are the same.
TaskScores JudgeValues(std::span<const float> values, std::span<const float> targets,
                       const BootstrapOptions& options);

// alarm_rate: the share of scores at or above the threshold, compared as float32. Where labels are
// given also false_alarm_rate: the same of the rows of class 0, NaN where there are none.
TaskScores JudgeAlarms(std::span<const float> scores, std::span<const std::uint8_t> labels,
                       double threshold, const BootstrapOptions& options);

// How far scores are probabilities.
struct ProbabilityScores {
  struct Bin {  // rows with a score from `low` on and under `high`, or, of the last, up to it
    double low = 0, high = 0;
    std::uint64_t rows = 0;
    double mean_score = 0, positive_share = 0;  // 0 without rows
  };
  Interval brier{};         // mean square of score - label (Brier 1950)
  Interval ece{};           // expected calibration error over the bins, weighted by their rows
  std::vector<Bin> bins{};  // ten of equal width; empty: not judged
  Json ToJson() const;
};
// Naeini, Cooper, Hauskrecht 2015, "Obtaining Well Calibrated Probabilities Using Bayesian
// Binning", section on ECE. Of few rows ECE is above 0 for the best of probabilities, and its
// bootstrap interval above its value.
ProbabilityScores JudgeProbabilities(const ScoredRows& rows, const BootstrapOptions& options);

}  // namespace skerry
