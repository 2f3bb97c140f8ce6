#include "train/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "base/random.h"
#include "train/inner_fits.h"

namespace skerry {
namespace {

constexpr std::uint64_t kSalt = 0xC2B2AE3D27D4EB4FU;  // other draws than those of the split

double Draw(const SearchRange& range, SeededRandom& random) {
  const double low = std::log(range.least), high = std::log(range.most);
  const double drawn = std::exp(low + random.NextDouble() * (high - low));
  return std::strtod(fmt::format("{:.3g}", drawn).c_str(), nullptr);
}

std::string LossName(const LabelledRows& rows, const HyperParameters& parameters) {
  if (rows.task != ModelTask::kRegression) return "log loss";
  return parameters.objective == "absolute-error" ? "MAE" : "RMSE";
}

// What is still to be learnt, in shares of whole fits, and about how long that takes.
class Remaining {
 public:
  Remaining(std::size_t count, const ProgressSink& progress) : progress_(progress) {
    const std::vector<std::size_t> sizes = RungSizes(count);
    double before = 0;
    for (std::size_t rung = 0; rung < sizes.size(); ++rung) {
      all_ += static_cast<double>(sizes[rung]) * (kRungShares[rung] - before);
      before = kRungShares[rung];
    }
    all_ += 2 * (1 - before);  // the last one, and the default
  }

  void Learnt(double share, const std::string& where) {
    done_ += share;
    const auto now = std::chrono::steady_clock::now();
    constexpr std::chrono::seconds kQuiet{2};
    if (now - told_ < kQuiet) return;
    told_ = now;
    Say(where);
  }

 private:
  void Say(const std::string& what) const {
    const double spent =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    const double left = done_ > 0 ? spent * std::max(all_ - done_, 0.0) / done_ : 0;
    if (progress_) progress_(fmt::format("search: {}; about {:.0f} s left", what, left));
  }

  const ProgressSink& progress_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now(), told_ = start_;
  double all_ = 0, done_ = 0;
};

class Search {
 public:
  Search(std::vector<HyperParameters> configurations, const ProgressSink& progress,
         const CancelCheck& cancelled)
      : configurations_(std::move(configurations)),
        cancelled_(cancelled),
        remaining_(configurations_.size(), progress) {}

  Result<SearchOutcome> Run(const InnerFolds& folds, std::uint64_t seed) {
    for (const HyperParameters& configuration : configurations_) {
      SKERRY_ASSIGN_OR_RETURN(InnerFits fits, InnerFits::Start(folds, configuration, seed));
      alive_.push_back(fits_.size());
      fits_.emplace_back(std::move(fits));
    }
    losses_.resize(fits_.size());
    const std::vector<std::size_t> sizes = RungSizes(fits_.size());
    double before = 0;
    for (std::size_t rung = 0; rung < sizes.size(); ++rung) {
      SKERRY_RETURN_IF_ERROR(ClimbTo(kRungShares[rung], before));
      before = kRungShares[rung];
      KeepBest(rung + 1 < sizes.size() ? sizes[rung + 1] : 1);
    }
    if (alive_[0] != 0) alive_.push_back(0);
    SKERRY_RETURN_IF_ERROR(ClimbTo(1, before));
    return Choose();
  }

 private:
  Status ClimbTo(double share, double before) {
    for (std::size_t i = 0; i < alive_.size(); ++i) {
      const std::size_t number = alive_[i];
      const int rounds = RoundsOf(share, configurations_[0], configurations_[number]);
      SKERRY_RETURN_IF_ERROR(fits_[number]->Learn(rounds, cancelled_));
      losses_[number] = fits_[number]->Loss();
      remaining_.Learnt(share - before,
                        fmt::format("{} of {} configurations learnt to {:.4g} % of a whole fit",
                                    i + 1, alive_.size(), share * 100));
    }
    std::stable_sort(alive_.begin(), alive_.end(),
                     [&](std::size_t a, std::size_t b) { return losses_[a] < losses_[b]; });
    facts_.rungs.push_back({alive_.size(), share, losses_[alive_[0]]});
    return {};
  }

  // The default is set aside, to be learnt whole in any case.
  void KeepBest(std::size_t count) {
    for (std::size_t i = count; i < alive_.size(); ++i)
      if (alive_[i] != 0) fits_[alive_[i]].reset();
    alive_.resize(std::min(count, alive_.size()));
  }

  SearchOutcome Choose() {
    const std::size_t best = losses_[alive_[0]] < losses_[0] ? alive_[0] : 0;
    facts_.default_loss = losses_[0];
    facts_.chosen_loss = losses_[best];
    facts_.default_chosen = best == 0;
    return {configurations_[best], fits_[best]->Judge(), facts_};
  }

  std::vector<HyperParameters> configurations_;
  const CancelCheck& cancelled_;
  Remaining remaining_;
  SearchFacts facts_{};
  std::vector<std::optional<InnerFits>> fits_{};  // none where it was dropped
  std::vector<double> losses_{};
  std::vector<std::size_t> alive_{};
};

}  // namespace

std::vector<HyperParameters> DrawConfigurations(const HyperParameters& base, int count,
                                                std::uint64_t seed) {
  SeededRandom random(seed ^ kSalt);
  std::vector<HyperParameters> configurations = {base};
  for (int i = 1; i < count; ++i) {
    HyperParameters& drawn = configurations.emplace_back(base);
    drawn.depth = static_cast<int>(std::lround(Draw(kDepths, random)));
    drawn.learning_rate = Draw(kLearningRates, random);
    drawn.min_child_weight = Draw(kMinChildWeights, random);
    drawn.row_fraction = Draw(kRowFractions, random);
    drawn.feature_fraction = Draw(kFeatureFractions, random);
    drawn.l2 = Draw(kL2s, random);
  }
  return configurations;
}

std::vector<std::size_t> RungSizes(std::size_t count) {
  std::vector<std::size_t> sizes;
  constexpr std::size_t kRungs = std::size(kRungShares);
  for (std::size_t rung = 0; rung < kRungs; ++rung) {
    const double power = 1 - static_cast<double>(rung) / kRungs;
    sizes.push_back(
        static_cast<std::size_t>(std::ceil(std::pow(static_cast<double>(count), power) - 1e-9)));
  }
  return sizes;
}

int RoundsOf(double share, const HyperParameters& base, const HyperParameters& configuration) {
  if (share >= 1) return configuration.trees;
  const double budget = share * base.trees * base.learning_rate;
  const double rounds = std::ceil(budget / configuration.learning_rate - 1e-9);
  return static_cast<int>(std::clamp(rounds, 1.0, static_cast<double>(configuration.trees)));
}

Result<SearchOutcome> SearchParameters(const LabelledRows& rows,
                                       std::span<const std::uint8_t> folds,
                                       const HyperParameters& base, int count, std::uint64_t seed,
                                       const ProgressSink& progress, const CancelCheck& cancelled) {
  SKERRY_ASSIGN_OR_RETURN(const InnerFolds parts, InnerFolds::Part(rows, folds, base.threads));
  Search search(DrawConfigurations(base, count, seed), progress, cancelled);
  SKERRY_ASSIGN_OR_RETURN(SearchOutcome outcome, search.Run(parts, seed));
  SearchFacts& facts = outcome.facts;
  facts.loss = LossName(rows, base);
  if (progress)
    progress(fmt::format("search: {} on the inner folds {:.5g}, of the default parameters {:.5g}",
                         facts.loss, facts.chosen_loss, facts.default_loss));
  return outcome;
}

}  // namespace skerry
