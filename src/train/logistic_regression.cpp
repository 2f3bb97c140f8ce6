#include "train/logistic_regression.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/limits.h"
#include "base/random.h"

namespace skerry {
namespace {

constexpr double kPenalty = 1;  // scikit-learn's default, C = 1
constexpr int kNewtonSteps = 25;
constexpr int kConjugateSteps = 100;

double Sigmoid(double margin) { return 1 / (1 + std::exp(-margin)); }

double Dot(std::span<const double> a, std::span<const double> b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

double Margin(std::span<const float> design, std::span<const double> coefficients) {
  double margin = 0;
  for (std::size_t i = 0; i < design.size(); ++i)
    margin += static_cast<double>(design[i]) * coefficients[i];
  return margin;
}

}  // namespace

// The design rows with what Newton's method needs to know of them.
struct LogisticRegression::Problem {
  std::size_t columns;
  std::vector<float> design;  // [rows][columns]
  std::vector<std::uint8_t> labels;
  std::vector<float> weights;
  std::vector<double> curvature{};  // weight * p * (1 - p), a row

  std::span<const float> row(std::size_t i) const {
    return std::span(design).subspan(i * columns, columns);
  }

  // The penalised negative log likelihood's gradient; sets the curvature.
  std::vector<double> Gradient(std::span<const double> coefficients) {
    std::vector<double> gradient(coefficients.begin(), coefficients.end());
    for (double& g : gradient) g *= kPenalty;
    gradient.back() = 0;  // the intercept is not penalised
    curvature.resize(labels.size());
    for (std::size_t i = 0; i < labels.size(); ++i) {
      const double p = Sigmoid(Margin(row(i), coefficients));
      const double weight = weights[i];
      curvature[i] = std::max(weight * p * (1 - p), 1e-10);
      const double residual = weight * (p - labels[i]);
      for (std::size_t j = 0; j < columns; ++j)
        gradient[j] += residual * static_cast<double>(row(i)[j]);
    }
    return gradient;
  }

  std::vector<double> TimesHessian(std::span<const double> vector) const {
    std::vector<double> product(vector.begin(), vector.end());
    for (double& p : product) p *= kPenalty;
    product.back() = 0;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      const double scale = curvature[i] * Margin(row(i), vector);
      for (std::size_t j = 0; j < columns; ++j)
        product[j] += scale * static_cast<double>(row(i)[j]);
    }
    return product;
  }

  // Conjugate gradients for Hessian * step = gradient (Hestenes & Stiefel 1952).
  std::vector<double> NewtonStep(const std::vector<double>& gradient) const {
    std::vector<double> step(columns, 0);
    std::vector<double> residual = gradient;
    std::vector<double> direction = gradient;
    double square = Dot(residual, residual);
    const double enough = square * 1e-12;
    for (int i = 0; i < kConjugateSteps && square > enough; ++i) {
      const std::vector<double> product = TimesHessian(direction);
      const double length = square / Dot(direction, product);
      for (std::size_t j = 0; j < columns; ++j) {
        step[j] += length * direction[j];
        residual[j] -= length * product[j];
      }
      const double next = Dot(residual, residual);
      for (std::size_t j = 0; j < columns; ++j)
        direction[j] = residual[j] + next / square * direction[j];
      square = next;
    }
    return step;
  }
};

LogisticRegression::LogisticRegression(const LabelledRows& rows, const ModelSchema& schema) {
  const std::vector<const Field*> fields = schema.features();
  std::size_t position = 0;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    Encoding encoding{.first = position, .categories = fields[i]->categories.size()};
    if (fields[i]->type == FieldType::kNumber) {
      double count = 0;
      double sum = 0;
      double squares = 0;
      for (std::size_t row = i; row < rows.features.values.size(); row += fields.size()) {
        const double value = rows.features.values[row];
        if (std::isnan(value)) continue;
        const double delta = value - (count == 0 ? 0 : sum / count);
        ++count;
        sum += value;
        squares += delta * (value - sum / count);  // Welford 1962
      }
      encoding.categories = 0;
      encoding.mean = count == 0 ? 0 : sum / count;
      const double deviation = count == 0 ? 0 : std::sqrt(squares / count);
      encoding.scale = deviation > 0 ? 1 / deviation : 0;
    }
    position += std::max<std::size_t>(encoding.categories, 1);
    encodings_.push_back(encoding);
  }
  coefficients_.assign(position + 1, 0);
}

void LogisticRegression::Encode(std::span<const float> row, std::span<float> design) const {
  std::fill(design.begin(), design.end(), 0.0F);
  design.back() = 1;
  for (std::size_t i = 0; i < encodings_.size(); ++i) {
    const Encoding& encoding = encodings_[i];
    if (std::isnan(row[i])) continue;
    if (encoding.categories == 0) {
      design[encoding.first] =
          static_cast<float>((static_cast<double>(row[i]) - encoding.mean) * encoding.scale);
    } else if (row[i] >= 0 && row[i] < static_cast<float>(encoding.categories)) {
      design[encoding.first + static_cast<std::size_t>(row[i])] = 1;
    }
  }
}

LogisticRegression LogisticRegression::Fit(const LabelledRows& rows, const ModelSchema& schema,
                                           std::uint64_t seed) {
  LogisticRegression model(rows, schema);
  std::vector<std::size_t> chosen(rows.rows());
  std::iota(chosen.begin(), chosen.end(), std::size_t{0});
  if (chosen.size() > limits::kBaselineRows) {
    SeededRandom random(seed);
    random.Shuffle(chosen);
    chosen.resize(limits::kBaselineRows);
  }
  Problem problem{.columns = model.coefficients_.size(), .design = {}, .labels = {}, .weights = {}};
  problem.design.resize(chosen.size() * problem.columns);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    model.Encode(rows.features.row(chosen[i]),
                 std::span(problem.design).subspan(i * problem.columns, problem.columns));
    problem.labels.push_back(rows.labels[chosen[i]]);
    problem.weights.push_back(rows.weights[chosen[i]]);
  }
  for (int i = 0; i < kNewtonSteps; ++i) {
    const std::vector<double> gradient = problem.Gradient(model.coefficients_);
    if (std::sqrt(Dot(gradient, gradient)) < 1e-6 * static_cast<double>(chosen.size())) break;
    const std::vector<double> step = problem.NewtonStep(gradient);
    // Newton's method may overshoot where the likelihood is flat: bound the step.
    const double length = std::sqrt(Dot(step, step));
    const double share = std::min(1.0, 5 / std::max(length, 1e-12));
    for (std::size_t j = 0; j < problem.columns; ++j) model.coefficients_[j] -= share * step[j];
  }
  return model;
}

std::vector<float> LogisticRegression::Score(const FeatureMatrix& rows) const {
  std::vector<float> scores;
  scores.reserve(rows.rows());
  std::vector<float> design(coefficients_.size());
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    Encode(rows.row(i), design);
    scores.push_back(static_cast<float>(Sigmoid(Margin(design, coefficients_))));
  }
  return scores;
}

}  // namespace skerry
