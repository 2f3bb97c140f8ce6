// The other anomaly detector: rows are put into the few directions in which normal rows vary
// (principal components), and are strange as far as they go in them (T^2) or leave them (Q).
// Fitted, scored and exported by ourselves; deterministic.
//
// Sources: Hotelling 1947 (T^2); Jackson, Mudholkar 1979, "Control Procedures for Residuals
// Associated with Principal Component Analysis" (Q, the squared prediction error); missing cells:
// Nelson, Taylor, MacGregor 1996, "Missing data methods in PCA and PLS", the iterated projection.
// Both limits are quantiles of rows that a fit did not see (detector.h), not of a distribution:
// rows with missing cells and long tails have no other.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "train/matrix.h"

namespace skerry {

// Score of a row = max(T^2 / its limit, Q / its limit): 1 is where either limit is reached.
// Features of scale 0 have no part: categories, and columns that do not vary. A missing cell of any
// other starts as the mean and is replaced kPcaSteps times by what the components make of the row;
// Q is of the cells that are there.
constexpr int kPcaSteps = 8;
struct PcaDetector {
  std::vector<double> means{}, scales{};  // one a feature: z = (value - mean) * scale, within +-1e6
  std::size_t components = 0;             // 0: nothing varies, and every row is at distance 0
  std::vector<double> loadings{};         // row-major [features][components]
  std::vector<double> variances{};        // one a component
  double explained = 0;                   // share of the variance that the components have
  double t2_limit = 1, q_limit = 1;

  struct Distances {  // one a row, before limits
    std::vector<double> t2{}, q{};
  };
  Distances Measure(const FeatureMatrix& rows) const;
  std::vector<float> Score(const Distances& distances) const;
  // "input" float32 [N, features] -> "anomaly_score" float32 [N, 1], by standard operators in
  // float64.
  std::string Export() const;
};

// Means, scales and components of the rows that are there, each correlation from the rows that have
// both cells. Keeps the least components that explain nine tenths of the variance of the
// standardized features, and one less than there are features if these are more than one; or
// `components`, if the rows have so many. The limits are left at 1. At most limits::kPcaFeatures
// features may be numbers.
PcaDetector FitPca(const FeatureMatrix& rows, std::optional<std::size_t> components = {});

struct EigenPairs {
  std::vector<double> values{};   // falling
  std::vector<double> vectors{};  // row-major [n][n], a column each
};
// Of a symmetric matrix [n][n], by Jacobi's rotations; the greatest element of a vector is
// positive.
EigenPairs EigenOf(std::vector<double> matrix, std::size_t n);

}  // namespace skerry
