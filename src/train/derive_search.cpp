#include "train/derive_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "base/limits.h"
#include "base/random.h"
#include "train/boosted_trees.h"
#include "train/model_fit.h"
#include "train/row_plan.h"

namespace skerry {
namespace {

constexpr std::size_t kTries = 6;  // candidates that a step tries on the inner folds
constexpr std::uint64_t kSampleSalt = 0xD1B54A32D192ED03U;

// Fewer and larger steps than a model's: the loss is compared, not kept.
HyperParameters QuickParameters(HyperParameters parameters) {
  parameters.learning_rate = std::max(parameters.learning_rate, 0.15);
  parameters.trees = std::min(parameters.trees, 150);
  parameters.early_stopping_rounds = std::min(parameters.early_stopping_rounds, 15);
  return parameters;
}

std::string_view OperationWord(DerivedOperation operation) {
  switch (operation) {
    case DerivedOperation::kProduct: return "times";
    case DerivedOperation::kRatio: return "per";
    case DerivedOperation::kDifference: break;
  }
  return "minus";
}

struct Judged {
  std::vector<double> losses{};  // weighted, a row each
  double loss = 0;               // their mean
  int rounds = 1;
};

class DeriveSearch {
 public:
  DeriveSearch(const FitInput& input, std::size_t most)
      : input_(input), parameters_(QuickParameters(input.parameters)), schema_(input.schema) {
    report_.most = most;
    DrawRows();
  }

  Result<DeriveReport> Run() {
    SKERRY_ASSIGN_OR_RETURN(best_, Judge({}));
    SKERRY_ASSIGN_OR_RETURN(std::vector<DerivedFeature> candidates, Candidates());
    report_.rows = rows_.rows();
    report_.candidates = candidates.size();
    if (input_.progress)
      input_.progress(
          fmt::format("choosing derived features: {} candidates, on inner folds of {} rows",
                      candidates.size(), rows_.rows()));
    while (report_.chosen.size() < report_.most && !candidates.empty()) {
      SKERRY_ASSIGN_OR_RETURN(const bool found, Step(candidates));
      if (!found) break;
    }
    return std::move(report_);
  }

 private:
  // The training rows, or as many as are tried on, with their folds.
  void DrawRows() {
    const LabelledRows& training = input_.training;
    folds_ = input_.folds.empty() ? FoldsOf(training, input_.seed) : input_.folds;
    std::vector<std::size_t> drawn = ShuffledRows(training.rows(), input_.seed ^ kSampleSalt);
    drawn.resize(std::min(drawn.size(), limits::kDeriveRows));
    std::sort(drawn.begin(), drawn.end());
    rows_ = training.Select(drawn);
    for (std::size_t i = 0; i < drawn.size(); ++i) folds_[i] = folds_[drawn[i]];
    folds_.resize(drawn.size());
  }

  LabelledRows RowsWith(const std::vector<DerivedFeature>& derived) const {
    ModelSchema schema = schema_;
    schema.derived = derived;
    return rows_.WithDerived(DerivedColumns(schema));
  }

  std::vector<DerivedFeature> ChosenAnd(std::span<const DerivedFeature> more) const {
    std::vector<DerivedFeature> derived = report_.features();
    derived.insert(derived.end(), more.begin(), more.end());
    return derived;
  }

  Result<Judged> Judge(const std::vector<DerivedFeature>& derived) const {
    const LabelledRows rows = RowsWith(derived);
    SKERRY_ASSIGN_OR_RETURN(
        const CrossValidation inner,
        CrossValidate(rows, folds_, parameters_, input_.seed, input_.cancelled));
    Judged judged{.rounds = inner.rounds};
    const bool absolute = parameters_.objective == "absolute-error";
    double weight = 0;
    for (std::size_t row = 0; row < rows.rows(); ++row) {
      judged.losses.push_back(rows.weights[row] * RowLoss(rows, inner.scores, row, absolute));
      weight += rows.weights[row];
    }
    judged.loss = std::accumulate(judged.losses.begin(), judged.losses.end(), 0.0) / weight;
    return judged;
  }

  // By column of the features, what was chosen and `derived`.
  Result<std::vector<double>> Gains(const std::vector<DerivedFeature>& derived) const {
    const LabelledRows rows = RowsWith(ChosenAnd(derived));
    const std::size_t first[] = {0};
    SKERRY_ASSIGN_OR_RETURN(FittedTrees fitted,
                            FitTrees(rows, parameters_, best_.rounds, input_.seed,
                                     rows.Select(first), input_.cancelled));
    return std::move(fitted.ensemble.gains);
  }

  // Columns of number features, at most kDeriveNumbers: those of most gain.
  Result<std::vector<std::size_t>> Numbers() const {
    const std::vector<const Field*> fields = schema_.features();
    std::vector<std::size_t> numbers;
    for (std::size_t i = 0; i < fields.size(); ++i)
      if (fields[i]->type == FieldType::kNumber) numbers.push_back(i);
    if (numbers.size() <= limits::kDeriveNumbers) return numbers;
    SKERRY_ASSIGN_OR_RETURN(const std::vector<double> gains, Gains({}));
    std::stable_sort(numbers.begin(), numbers.end(),
                     [&](std::size_t a, std::size_t b) { return gains[a] > gains[b]; });
    numbers.resize(limits::kDeriveNumbers);
    std::sort(numbers.begin(), numbers.end());
    return numbers;
  }

  std::size_t ZerosOf(std::size_t column) const {
    const std::vector<float> values = rows_.features.Column(column);
    return static_cast<std::size_t>(std::ranges::count(values, 0.0F));
  }

  // A ratio has the feature with fewer zeros below the line; of two positive ones either way has
  // the same order of rows, and so the same splits.
  Result<std::vector<DerivedFeature>> Candidates() const {
    SKERRY_ASSIGN_OR_RETURN(const std::vector<std::size_t> numbers, Numbers());
    const std::vector<const Field*> fields = schema_.features();
    std::vector<std::size_t> zeros(fields.size(), 0);
    for (const std::size_t column : numbers) zeros[column] = ZerosOf(column);
    std::set<std::string> taken;
    for (const Field& field : schema_.fields) taken.insert(field.name);
    std::vector<DerivedFeature> candidates;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      for (std::size_t j = i + 1; j < numbers.size(); ++j) {
        for (const auto operation : {DerivedOperation::kProduct, DerivedOperation::kRatio,
                                     DerivedOperation::kDifference}) {
          std::size_t left = numbers[i];
          std::size_t right = numbers[j];
          if (operation == DerivedOperation::kRatio && zeros[right] > zeros[left])
            std::swap(left, right);
          candidates.push_back({.name = NameOf(operation, *fields[left], *fields[right], taken),
                                .operation = operation,
                                .left = fields[left]->name,
                                .right = fields[right]->name});
        }
      }
    }
    return candidates;
  }

  static std::string NameOf(DerivedOperation operation, const Field& left, const Field& right,
                            std::set<std::string>& taken) {
    std::string name = fmt::format("{}_{}_{}", left.name, OperationWord(operation), right.name);
    while (!taken.insert(name).second) name += "_derived";
    return name;
  }

  // Chooses one of the candidates and takes it out of them; false where none helps.
  Result<bool> Step(std::vector<DerivedFeature>& candidates) {
    SKERRY_ASSIGN_OR_RETURN(const std::vector<double> gains, Gains(candidates));
    const std::size_t first = rows_.features.columns + report_.chosen.size();
    std::vector<std::size_t> order(candidates.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return gains[first + a] > gains[first + b];
    });
    order.resize(std::min(order.size(), kTries));
    std::optional<std::size_t> chosen;
    Judged least = best_;
    for (const std::size_t index : order) {
      if (gains[first + index] <= 0) break;
      SKERRY_ASSIGN_OR_RETURN(Judged judged, Judge(ChosenAnd({&candidates[index], 1})));
      if (judged.loss >= least.loss) continue;
      least = std::move(judged);
      chosen = index;
    }
    if (!chosen || !IsCertain(least)) return false;
    report_.chosen.push_back({candidates[*chosen], best_.loss, least.loss});
    if (input_.progress)
      input_.progress(fmt::format("derived {}: loss {:.4g} to {:.4g}", candidates[*chosen].Words(),
                                  best_.loss, least.loss));
    best_ = std::move(least);
    candidates.erase(candidates.begin() + static_cast<std::ptrdiff_t>(*chosen));
    return true;
  }

  // Whether the loss fell by more than chance would have it.
  bool IsCertain(const Judged& judged) const {
    const auto rows = static_cast<double>(judged.losses.size());
    double sum = 0;
    double squares = 0;
    for (std::size_t row = 0; row < judged.losses.size(); ++row) {
      const double fell = best_.losses[row] - judged.losses[row];
      sum += fell;
      squares += fell * fell;
    }
    const double mean = sum / rows;
    const double variance = std::max(0.0, squares / rows - mean * mean);
    return mean > kDeriveSigmas * std::sqrt(variance / rows);
  }

  const FitInput& input_;
  const HyperParameters parameters_;
  const ModelSchema& schema_;
  LabelledRows rows_{};
  std::vector<std::uint8_t> folds_{};
  Judged best_{};  // with what was chosen so far
  DeriveReport report_{};
};

}  // namespace

std::vector<DerivedFeature> DeriveReport::features() const {
  std::vector<DerivedFeature> features;
  for (const DerivedChoice& choice : chosen) features.push_back(choice.feature);
  return features;
}

Json DeriveReport::ToJson() const {
  Json json = {
      {"most", most}, {"candidates", candidates}, {"rows", rows}, {"chosen", Json::array()}};
  for (const DerivedChoice& choice : chosen) {
    Json one = choice.feature.ToJson();
    one["loss_before"] = choice.loss_before;
    one["loss_after"] = choice.loss_after;
    json["chosen"].push_back(std::move(one));
  }
  return json;
}

Result<DeriveReport> ChooseDerived(const FitInput& input, std::size_t most) {
  return DeriveSearch(input, most).Run();
}

}  // namespace skerry
