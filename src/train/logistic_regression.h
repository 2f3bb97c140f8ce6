// The baseline that a model must beat: logistic regression with an L2 penalty, on standardised
// numbers and one-hot categories, fitted by Newton's method (each step's linear system solved by
// conjugate gradients, so that wide tables need no matrix of columns squared).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/schema.h"
#include "train/matrix.h"

namespace skerry {

class LogisticRegression {
 public:
  // Fits to at most limits::kBaselineRows of the rows, drawn with `seed`. Missing numbers are the
  // mean, missing categories no category. Always gives a model.
  static LogisticRegression Fit(const LabelledRows& rows, const ModelSchema& schema,
                                std::uint64_t seed);

  // P(class 1), one a row.
  std::vector<float> Score(const FeatureMatrix& rows) const;

 private:
  // How one feature becomes one number or a block of one-hot numbers in the design row.
  struct Encoding {
    std::size_t first = 0;       // its first position in the design row
    std::size_t categories = 0;  // 0: a number
    double mean = 0;
    double scale = 1;
  };
  struct Problem;

  LogisticRegression(const LabelledRows& rows, const ModelSchema& schema);
  void Encode(std::span<const float> row, std::span<float> design) const;

  std::vector<Encoding> encodings_;
  std::vector<double> coefficients_;  // the last one is the intercept
};

}  // namespace skerry
