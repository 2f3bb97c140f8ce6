// Scores made into probabilities: a function of a binary model's margin (log-odds), fitted to rows
// that the model did not see. Deterministic.
//
// Sources: Platt 1999, "Probabilistic Outputs for Support Vector Machines" (sigmoid; fitted by
// Newton's method as in Lin, Lin, Weng 2007, "A Note on Platt's Probabilistic Outputs"); Zadrozny,
// Elkan 2002, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates"
// (isotonic, by pooling adjacent violators).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/json.h"
#include "train/matrix.h"

namespace skerry {

struct BoostedTrees;

enum class CalibrationKind : std::uint8_t { kNone, kSigmoid, kIsotonic };
// "none", "sigmoid", "isotonic". kInvalidArgument for anything else.
Result<CalibrationKind> ParseCalibration(std::string_view text);
std::string_view CalibrationName(CalibrationKind kind);

struct Calibration {
  CalibrationKind kind = CalibrationKind::kNone;
  double scale = 1, shift = 0;  // of kSigmoid: logistic(scale * margin + shift); scale >= 0
  // Of kIsotonic: through these points in straight lines, level outside; both rise.
  std::vector<float> margins{}, probabilities{};

  double Apply(double margin) const;
  Json ToJson() const;
};

// At most so many points, and between two of them at most so steep in probability per unit of
// margin (the logistic function is 0.25): what the rounding of a margin can then move stays below
// the difference that is allowed between trainer and graph.
constexpr std::size_t kCalibrationPoints = 32;
constexpr double kSteepestCalibration = 1;

// `scores` are probabilities of class 1 of rows that their model did not see. Needs both classes.
// Sigmoid: aims are (N+ + 1) / (N+ + 2) and 1 / (N- + 2), so that nothing becomes certain; a
// negative scale becomes 0. Isotonic: a point a pool of rows, at their mean margin.
Calibration FitCalibration(CalibrationKind kind, std::span<const float> scores,
                           std::span<const std::uint8_t> labels, std::span<const float> weights);

// Each row's probability by what was fitted to the rows of the other folds.
std::vector<float> CalibrateAcrossFolds(CalibrationKind kind, std::span<const float> scores,
                                        const LabelledRows& rows,
                                        std::span<const std::uint8_t> folds);

// The calibrated probabilities, given uncalibrated ones.
std::vector<float> Calibrate(const Calibration& calibration, std::span<const float> scores);

// Each row's margin, by walking the trees here, added in float32 in XGBoost's order.
std::vector<float> MarginsOf(const BoostedTrees& ensemble, const FeatureMatrix& rows);

// `onnx`, which has one Sigmoid that makes probabilities of margins, with the calibration in it.
// Sigmoid: each leaf is scaled, and the margin that trees start from is scaled and shifted, so that
// the graph stays of the form that is explained. Isotonic: standard operators stand where the
// Sigmoid was. kInternal for a graph of another form.
Result<std::string> CalibrateGraph(const std::string& onnx, const Calibration& calibration);

}  // namespace skerry
