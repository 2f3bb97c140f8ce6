#include "train/pca_detector.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "train/onnx_graph.h"

namespace skerry {
namespace {

constexpr double kExplained = 0.9;
constexpr double kFarthest = 1e6;  // of a standardized value: no score is infinite
constexpr double kNothing = 1e-9;  // of the variance of one standardized feature
// Rows that lie in the components but for rounding are not strange.
constexpr double kLeastLimit = 1e-6;

// Means and scales; 0 as the scale of what has no part.
void Standardize(const FeatureMatrix& rows, PcaDetector& detector) {
  for (std::size_t i = 0; i < rows.columns; ++i) {
    double sum = 0, squares = 0, count = 0;
    for (std::size_t row = 0; row < rows.rows(); ++row)
      if (const double value = rows.row(row)[i]; !std::isnan(value)) {
        sum += value;
        ++count;
      }
    const double mean = count > 0 ? sum / count : 0;
    for (std::size_t row = 0; row < rows.rows(); ++row)
      if (const double value = rows.row(row)[i]; !std::isnan(value))
        squares += (value - mean) * (value - mean);
    const double deviation = count > 1 ? std::sqrt(squares / (count - 1)) : 0;
    const bool number = rows.categorical.empty() || rows.categorical[i] == 0;
    const bool varies = number && deviation > kNothing * (std::abs(mean) + kNothing);
    detector.means.push_back(mean);
    detector.scales.push_back(varies ? 1 / deviation : 0);
  }
}

// NaN is unknown: a missing cell, and an infinite one of a feature that has no part.
void PutStandardized(const PcaDetector& detector, std::span<const float> row,
                     std::vector<double>& z) {
  for (std::size_t i = 0; i < row.size(); ++i) {
    z[i] = (static_cast<double>(row[i]) - detector.means[i]) * detector.scales[i];
    if (!std::isnan(z[i])) z[i] = std::clamp(z[i], -kFarthest, kFarthest);
  }
}

// Of the features with these numbers, [n][n].
std::vector<double> Correlations(const PcaDetector& detector, const FeatureMatrix& rows,
                                 const std::vector<std::size_t>& features) {
  const std::size_t n = features.size();
  std::vector<double> sums(n * n, 0), counts(n * n, 0);
  std::vector<double> z(rows.columns), known(n);
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    PutStandardized(detector, rows.row(row), z);
    for (std::size_t i = 0; i < n; ++i) known[i] = std::isnan(z[features[i]]) ? 0 : 1;
    for (std::size_t i = 0; i < n; ++i) {
      if (known[i] == 0) continue;
      for (std::size_t j = 0; j <= i; ++j) {
        if (known[j] == 0) continue;
        sums[i * n + j] += z[features[i]] * z[features[j]];
        ++counts[i * n + j];
      }
    }
  }
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j <= i; ++j)
      sums[j * n + i] = sums[i * n + j] /= std::max(1.0, counts[i * n + j] - 1);
  return sums;
}

// One rotation that makes element (p, q) zero.
void Rotate(std::vector<double>& a, std::vector<double>& v, std::size_t n, std::size_t p,
            std::size_t q) {
  const double theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
  const double t = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::sqrt(theta * theta + 1));
  const double c = 1 / std::sqrt(t * t + 1), s = t * c;
  for (std::size_t k = 0; k < n; ++k) {
    const double kp = a[k * n + p], kq = a[k * n + q];
    a[k * n + p] = c * kp - s * kq;
    a[k * n + q] = s * kp + c * kq;
  }
  for (std::size_t k = 0; k < n; ++k) {
    const double pk = a[p * n + k], qk = a[q * n + k];
    a[p * n + k] = c * pk - s * qk;
    a[q * n + k] = s * pk + c * qk;
  }
  for (std::size_t k = 0; k < n; ++k) {
    const double kp = v[k * n + p], kq = v[k * n + q];
    v[k * n + p] = c * kp - s * kq;
    v[k * n + q] = s * kp + c * kq;
  }
}

// components = z * loadings.
void Project(const PcaDetector& detector, const std::vector<double>& z, std::vector<double>& t) {
  for (std::size_t k = 0; k < t.size(); ++k) {
    t[k] = 0;
    for (std::size_t i = 0; i < z.size(); ++i) t[k] += z[i] * detector.loadings[i * t.size() + k];
  }
}

double Reconstructed(const PcaDetector& detector, const std::vector<double>& t, std::size_t i) {
  double value = 0;
  for (std::size_t k = 0; k < t.size(); ++k) value += t[k] * detector.loadings[i * t.size() + k];
  return value;
}

}  // namespace

EigenPairs EigenOf(std::vector<double> matrix, std::size_t n) {
  constexpr int kSweeps = 100;
  constexpr double kZero = 1e-22;  // of the squares beside the diagonal
  std::vector<double> vectors(n * n, 0);
  for (std::size_t i = 0; i < n; ++i) vectors[i * n + i] = 1;
  double all = 0;
  for (const double value : matrix) all += value * value;
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    double beside = 0;
    for (std::size_t p = 0; p < n; ++p)
      for (std::size_t q = p + 1; q < n; ++q) beside += matrix[p * n + q] * matrix[p * n + q];
    if (beside <= kZero * all) break;
    for (std::size_t p = 0; p < n; ++p)
      for (std::size_t q = p + 1; q < n; ++q)
        if (matrix[p * n + q] != 0) Rotate(matrix, vectors, n, p, q);
  }
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return matrix[a * n + a] > matrix[b * n + b];
  });
  EigenPairs eigen{.vectors = std::vector<double>(n * n)};
  for (std::size_t k = 0; k < n; ++k) {
    const std::size_t from = order[k];
    eigen.values.push_back(matrix[from * n + from]);
    double greatest = 0;
    for (std::size_t i = 0; i < n; ++i)
      if (std::abs(vectors[i * n + from]) > std::abs(greatest)) greatest = vectors[i * n + from];
    for (std::size_t i = 0; i < n; ++i)
      eigen.vectors[i * n + k] = vectors[i * n + from] * (greatest < 0 ? -1 : 1);
  }
  return eigen;
}

PcaDetector FitPca(const FeatureMatrix& rows, std::optional<std::size_t> components) {
  PcaDetector detector;
  Standardize(rows, detector);
  std::vector<std::size_t> features;
  for (std::size_t i = 0; i < rows.columns; ++i)
    if (detector.scales[i] > 0) features.push_back(i);
  const std::size_t n = features.size();
  if (n == 0) return detector;
  const EigenPairs eigen = EigenOf(Correlations(detector, rows, features), n);
  double all = 0;  // correlations from different rows may have negative eigenvalues
  for (const double value : eigen.values) all += std::max(value, 0.0);
  const std::size_t most = std::min(components.value_or(n), std::max<std::size_t>(n - 1, 1));
  const double enough = components ? 2 : kExplained;  // no share is
  double explained = 0;
  while (detector.components < most && explained < enough * all &&
         eigen.values[detector.components] > kNothing)
    explained += eigen.values[detector.components++];
  detector.explained = all > 0 ? explained / all : 0;
  const std::size_t kept = detector.components;
  detector.loadings.assign(rows.columns * kept, 0);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = 0; k < kept; ++k)
      detector.loadings[features[i] * kept + k] = eigen.vectors[i * n + k];
  detector.variances.assign(eigen.values.begin(),
                            eigen.values.begin() + static_cast<std::ptrdiff_t>(kept));
  return detector;
}

PcaDetector::Distances PcaDetector::Measure(const FeatureMatrix& rows) const {
  Distances distances;
  std::vector<double> z(rows.columns), t(components);
  std::vector<std::size_t> unknown;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    PutStandardized(*this, rows.row(row), z);
    unknown.clear();
    for (std::size_t i = 0; i < z.size(); ++i)
      if (std::isnan(z[i])) unknown.push_back(i);
    for (const std::size_t i : unknown) z[i] = 0;
    Project(*this, z, t);
    for (int step = 0; step < kPcaSteps && !unknown.empty(); ++step) {
      for (const std::size_t i : unknown) z[i] = Reconstructed(*this, t, i);
      Project(*this, z, t);
    }
    double t2 = 0, q = 0;
    for (std::size_t k = 0; k < components; ++k) t2 += t[k] * t[k] / variances[k];
    auto next = unknown.begin();
    for (std::size_t i = 0; i < z.size(); ++i) {
      if (next != unknown.end() && *next == i) {
        ++next;
        continue;
      }
      const double rest = z[i] - Reconstructed(*this, t, i);
      q += rest * rest;
    }
    distances.t2.push_back(t2);
    distances.q.push_back(q);
  }
  return distances;
}

std::vector<float> PcaDetector::Score(const Distances& distances) const {
  std::vector<float> scores;
  for (std::size_t row = 0; row < distances.t2.size(); ++row)
    scores.push_back(
        static_cast<float>(std::max(distances.t2[row] / std::max(t2_limit, kLeastLimit),
                                    distances.q[row] / std::max(q_limit, kLeastLimit))));
  return scores;
}

std::string PcaDetector::Export() const {
  const auto n = static_cast<std::int64_t>(means.size());
  const auto k = static_cast<std::int64_t>(components);
  onnx::ModelProto model = StartGraph("pca", means.size());
  onnx::GraphProto& graph = *model.mutable_graph();
  std::vector<double> transposed(loadings.size()), t2_weights;
  for (std::size_t i = 0; i < means.size(); ++i)
    for (std::size_t j = 0; j < components; ++j)
      transposed[j * means.size() + i] = loadings[i * components + j];
  for (const double variance : variances)
    t2_weights.push_back(1 / (variance * std::max(t2_limit, kLeastLimit)));
  const std::vector<double> q_weights(means.size(), 1 / std::max(q_limit, kLeastLimit));
  AddMatrixConstant(graph, "means", means, 1, n);
  AddMatrixConstant(graph, "scales", scales, 1, n);
  AddMatrixConstant(graph, "loadings", loadings, n, k);
  AddMatrixConstant(graph, "loadings_back", transposed, k, n);
  AddMatrixConstant(graph, "t2_weights", t2_weights, k, 1);
  AddMatrixConstant(graph, "q_weights", q_weights, n, 1);
  AddDoubleConstant(graph, "farthest_below", -kFarthest);
  AddDoubleConstant(graph, "farthest", kFarthest);
  AddDoubleConstant(graph, "zero", 0);
  AddCast(graph, "input", "values", onnx::TensorProto::DOUBLE);
  AddGraphNode(graph, "Sub", {"values", "means"}, "centred");
  AddGraphNode(graph, "Mul", {"centred", "scales"}, "scaled");
  AddGraphNode(graph, "IsNaN", {"scaled"}, "unknown");
  AddGraphNode(graph, "Where", {"unknown", "zero", "scaled"}, "known");
  AddGraphNode(graph, "Clip", {"known", "farthest_below", "farthest"}, "row_0");
  AddGraphNode(graph, "MatMul", {"row_0", "loadings"}, "components_0");
  AddGraphNode(graph, "MatMul", {"components_0", "loadings_back"}, "reconstructed_0");
  for (int step = 0; step < kPcaSteps; ++step) {
    const std::string from = fmt::format("_{}", step), to = fmt::format("_{}", step + 1);
    AddGraphNode(graph, "Where", {"unknown", "reconstructed" + from, "row_0"}, "row" + to);
    AddGraphNode(graph, "MatMul", {"row" + to, "loadings"}, "components" + to);
    AddGraphNode(graph, "MatMul", {"components" + to, "loadings_back"}, "reconstructed" + to);
  }
  const std::string last = fmt::format("_{}", kPcaSteps);
  AddGraphNode(graph, "Mul", {"components" + last, "components" + last}, "component_squares");
  AddGraphNode(graph, "MatMul", {"component_squares", "t2_weights"}, "t2");
  AddGraphNode(graph, "Sub", {"row" + last, "reconstructed" + last}, "differences");
  AddGraphNode(graph, "Where", {"unknown", "zero", "differences"}, "rest");
  AddGraphNode(graph, "Mul", {"rest", "rest"}, "rest_squares");
  AddGraphNode(graph, "MatMul", {"rest_squares", "q_weights"}, "q");
  AddGraphNode(graph, "Max", {"t2", "q"}, "distance");
  AddCast(graph, "distance", "anomaly_score", onnx::TensorProto::FLOAT);
  DescribeMatrix(*graph.add_output(), "anomaly_score", 1);
  return SerializeGraph(model);
}

}  // namespace skerry
