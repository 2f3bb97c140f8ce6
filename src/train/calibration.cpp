#include "train/calibration.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "train/boosted_trees.h"

namespace skerry {
namespace {

double Logistic(double margin) { return 1 / (1 + std::exp(-margin)); }

double MarginOf(float probability) {
  constexpr double kCertain = 1e-7;  // a float32 next to 1 is no more certain than this
  const double p = std::clamp<double>(probability, kCertain, 1 - kCertain);
  return std::log(p / (1 - p));
}

struct Aims {  // what a sigmoid is fitted to
  std::vector<double> margins{}, aims{}, weights{};
  double prior = 0;  // the margin of a row of which nothing is known

  // -log likelihood at (scale, shift).
  double Loss(double scale, double shift) const {
    double loss = 0;
    for (std::size_t i = 0; i < margins.size(); ++i) {
      const double margin = scale * margins[i] + shift;
      // log(1 + e^m) - aim * m without overflow.
      loss += weights[i] *
              (std::max(margin, 0.0) + std::log1p(std::exp(-std::abs(margin))) - aims[i] * margin);
    }
    return loss;
  }
};

Aims AimsOf(std::span<const float> scores, std::span<const std::uint8_t> labels,
            std::span<const float> weights) {
  double positives = 0;
  double negatives = 0;
  for (std::size_t i = 0; i < labels.size(); ++i)
    (labels[i] != 0 ? positives : negatives) += static_cast<double>(weights[i]);
  Aims aims{.prior = std::log((positives + 1) / (negatives + 1))};
  for (std::size_t i = 0; i < scores.size(); ++i) {
    aims.margins.push_back(MarginOf(scores[i]));
    aims.aims.push_back(labels[i] != 0 ? (positives + 1) / (positives + 2) : 1 / (negatives + 2));
    aims.weights.push_back(weights[i]);
  }
  return aims;
}

// Newton's method with backtracking on a convex loss.
Calibration FitSigmoid(const Aims& aims) {
  constexpr int kSteps = 100, kHalvings = 34;
  constexpr double kFlat = 1e-9, kRidge = 1e-12, kArmijo = 1e-4;
  double scale = 0;
  double shift = aims.prior;
  double loss = aims.Loss(scale, shift);
  for (int step = 0; step < kSteps; ++step) {
    double g1 = 0, g2 = 0, h11 = kRidge, h22 = kRidge, h21 = 0;
    for (std::size_t i = 0; i < aims.margins.size(); ++i) {
      const double m = aims.margins[i];
      const double p = Logistic(scale * m + shift);
      const double off = aims.weights[i] * (p - aims.aims[i]);
      const double curve = aims.weights[i] * p * (1 - p);
      g1 += off * m;
      g2 += off;
      h11 += curve * m * m;
      h21 += curve * m;
      h22 += curve;
    }
    const double flat = kFlat * static_cast<double>(aims.margins.size());
    if (std::abs(g1) < flat && std::abs(g2) < flat) break;
    const double determinant = h11 * h22 - h21 * h21;
    const double to_scale = -(h22 * g1 - h21 * g2) / determinant;
    const double to_shift = -(h11 * g2 - h21 * g1) / determinant;
    const double slope = g1 * to_scale + g2 * to_shift;
    bool lower = false;
    double length = 1;
    for (int halving = 0; halving < kHalvings && !lower; ++halving, length /= 2) {
      const double tried = aims.Loss(scale + length * to_scale, shift + length * to_shift);
      if (!(tried < loss + kArmijo * length * slope)) continue;
      scale += length * to_scale;
      shift += length * to_shift;
      loss = tried;
      lower = true;
    }
    if (!lower) break;
  }
  // A model that ranks rows the wrong way round says nothing.
  if (!(scale > 0)) return {.kind = CalibrationKind::kSigmoid, .scale = 0, .shift = aims.prior};
  return {.kind = CalibrationKind::kSigmoid, .scale = scale, .shift = shift};
}

struct Pool {  // rows that get one probability
  double weight = 0, margins = 0, positives = 0;
  double margin() const { return margins / weight; }
  double probability() const { return positives / weight; }
  void Add(const Pool& other) {
    weight += other.weight;
    margins += other.margins;
    positives += other.positives;
  }
};

// Pools are taken one after the other; the last ones are made one for as long as `apart` is false.
template <typename Apart>
std::vector<Pool> PoolWhile(const std::vector<Pool>& given, const Apart& apart) {
  std::vector<Pool> pools;
  for (const Pool& next : given) {
    pools.push_back(next);
    while (pools.size() > 1 && !apart(pools[pools.size() - 2], pools.back())) {
      const Pool last = pools.back();
      pools.pop_back();
      pools.back().Add(last);
    }
  }
  return pools;
}

// Of too many pools the two most alike are made one.
void LimitPools(std::vector<Pool>& pools) {
  while (pools.size() > kCalibrationPoints) {
    std::size_t least = 1;
    const auto step = [&](std::size_t i) {
      return pools[i].probability() - pools[i - 1].probability();
    };
    for (std::size_t i = 2; i < pools.size(); ++i)
      if (step(i) < step(least)) least = i;
    pools[least - 1].Add(pools[least]);
    pools.erase(pools.begin() + static_cast<std::ptrdiff_t>(least));
  }
}

Calibration FitIsotonic(std::span<const float> scores, std::span<const std::uint8_t> labels,
                        std::span<const float> weights) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return scores[a] < scores[b]; });
  std::vector<Pool> pools;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::size_t row = order[i];
    const double weight = weights[row];
    const Pool one{weight, weight * MarginOf(scores[row]), labels[row] != 0 ? weight : 0};
    if (i > 0 && scores[row] == scores[order[i - 1]])
      pools.back().Add(one);
    else
      pools.push_back(one);
  }
  pools = PoolWhile(pools,
                    [](const Pool& a, const Pool& b) { return a.probability() < b.probability(); });
  LimitPools(pools);
  pools = PoolWhile(pools, [](const Pool& a, const Pool& b) {
    return b.probability() - a.probability() <= kSteepestCalibration * (b.margin() - a.margin());
  });
  Calibration calibration{.kind = CalibrationKind::kIsotonic};
  for (const Pool& pool : pools) {
    const auto margin = static_cast<float>(pool.margin());
    if (!calibration.margins.empty() && margin <= calibration.margins.back()) continue;
    calibration.margins.push_back(margin);
    calibration.probabilities.push_back(static_cast<float>(pool.probability()));
  }
  return calibration;
}

}  // namespace

Result<CalibrationKind> ParseCalibration(std::string_view text) {
  for (const auto kind :
       {CalibrationKind::kNone, CalibrationKind::kSigmoid, CalibrationKind::kIsotonic})
    if (text == CalibrationName(kind)) return kind;
  return Fail(ErrorCode::kInvalidArgument,
              "there is no calibration '{}'; there are none, sigmoid and isotonic", text);
}

std::string_view CalibrationName(CalibrationKind kind) {
  if (kind == CalibrationKind::kSigmoid) return "sigmoid";
  return kind == CalibrationKind::kIsotonic ? "isotonic" : "none";
}

double Calibration::Apply(double margin) const {
  if (kind == CalibrationKind::kNone) return Logistic(margin);
  if (kind == CalibrationKind::kSigmoid) return Logistic(scale * margin + shift);
  const auto above = std::upper_bound(margins.begin(), margins.end(), margin);
  if (above == margins.begin()) return probabilities.front();
  if (above == margins.end()) return probabilities.back();
  const auto i = static_cast<std::size_t>(above - margins.begin());
  const double from = margins[i - 1], p = probabilities[i - 1];
  return p + (probabilities[i] - p) * (margin - from) / (margins[i] - from);
}

Json Calibration::ToJson() const {
  Json json = {{"kind", CalibrationName(kind)}};
  if (kind == CalibrationKind::kSigmoid) {
    json["scale"] = scale;
    json["shift"] = shift;
  }
  if (kind == CalibrationKind::kIsotonic)
    for (std::size_t i = 0; i < margins.size(); ++i)
      json["points"].push_back({{"margin", margins[i]}, {"probability", probabilities[i]}});
  return json;
}

Calibration FitCalibration(CalibrationKind kind, std::span<const float> scores,
                           std::span<const std::uint8_t> labels, std::span<const float> weights) {
  if (kind == CalibrationKind::kNone) return {};
  if (kind == CalibrationKind::kSigmoid) return FitSigmoid(AimsOf(scores, labels, weights));
  return FitIsotonic(scores, labels, weights);
}

std::vector<float> CalibrateAcrossFolds(CalibrationKind kind, std::span<const float> scores,
                                        const LabelledRows& rows,
                                        std::span<const std::uint8_t> folds) {
  std::vector<float> calibrated(scores.size());
  for (const std::uint8_t fold : std::set<std::uint8_t>(folds.begin(), folds.end())) {
    std::vector<float> known, weights;
    std::vector<std::uint8_t> labels;
    for (std::size_t row = 0; row < scores.size(); ++row) {
      if (folds[row] == fold) continue;
      known.push_back(scores[row]);
      weights.push_back(rows.weights[row]);
      labels.push_back(rows.labels[row]);
    }
    const auto positives = static_cast<std::size_t>(std::ranges::count(labels, 1));
    const bool both = positives > 0 && positives < labels.size();
    const Calibration calibration = both ? FitCalibration(kind, known, labels, weights)
                                         : FitCalibration(kind, scores, rows.labels, rows.weights);
    for (std::size_t row = 0; row < scores.size(); ++row)
      if (folds[row] == fold)
        calibrated[row] = static_cast<float>(calibration.Apply(MarginOf(scores[row])));
  }
  return calibrated;
}

std::vector<float> Calibrate(const Calibration& calibration, std::span<const float> scores) {
  std::vector<float> calibrated;
  for (const float score : scores)
    calibrated.push_back(static_cast<float>(calibration.Apply(MarginOf(score))));
  return calibrated;
}

std::vector<float> MarginsOf(const BoostedTrees& ensemble, const FeatureMatrix& rows) {
  std::vector<float> margins(rows.rows(), ensemble.base_margins[0]);
  for (std::size_t row = 0; row < margins.size(); ++row) {
    for (const Tree& tree : ensemble.trees) {
      const TreeNode* node = tree.data();
      while (!node->is_leaf()) {
        const float value = rows.row(row)[static_cast<std::size_t>(node->feature)];
        node = &tree[static_cast<std::size_t>(node->GoesLeft(value) ? node->left : node->right)];
      }
      margins[row] += node->value;
    }
  }
  return margins;
}

}  // namespace skerry
