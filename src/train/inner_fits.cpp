#include "train/inner_fits.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "train/splits.h"

namespace skerry {

Result<InnerFolds> InnerFolds::Part(const LabelledRows& rows, std::span<const std::uint8_t> folds,
                                    int threads) {
  SKERRY_ASSIGN_OR_RETURN(const XgboostFunctions* xgb, LoadXgboost());
  InnerFolds parted(rows);
  for (const std::uint8_t number : FoldNumbers(folds)) {
    auto [inside, outside] = RowsOfFold(folds, number);
    LabelledRows watched = rows.Select(outside);
    SKERRY_ASSIGN_OR_RETURN(XgboostMatrix fit,
                            XgboostMatrix::FromRows(*xgb, rows.Select(inside), threads));
    SKERRY_ASSIGN_OR_RETURN(XgboostMatrix check, XgboostMatrix::FromRows(*xgb, watched, threads));
    parted.folds_.push_back(std::make_unique<Fold>(
        Fold{std::move(outside), std::move(watched), std::move(fit), std::move(check)}));
  }
  return parted;
}

Result<InnerFits> InnerFits::Start(const InnerFolds& folds, const HyperParameters& parameters,
                                   std::uint64_t seed) {
  SKERRY_RETURN_IF_ERROR(ObjectiveOf(*folds.rows_, parameters));
  SKERRY_ASSIGN_OR_RETURN(const XgboostFunctions* xgb, LoadXgboost());
  InnerFits fits(folds, parameters.objective == "absolute-error");
  for (const auto& fold : folds.folds_) {
    SKERRY_ASSIGN_OR_RETURN(WatchedFit fit, WatchedFit::Start(*xgb, fold->fit, fold->check,
                                                              fold->watched, parameters, seed));
    SKERRY_RETURN_IF_ERROR(fit.SeedEachRound());
    fits.fits_.push_back(std::move(fit));
  }
  return fits;
}

Status InnerFits::Learn(int rounds, const CancelCheck& cancelled) {
  for (WatchedFit& fit : fits_) SKERRY_RETURN_IF_ERROR(fit.Learn(rounds, cancelled));
  return {};
}

CrossValidation InnerFits::Judge() const {
  const LabelledRows& rows = *folds_->rows_;
  const std::size_t outputs = rows.outputs();
  CrossValidation result{.scores = std::vector<float>(rows.rows() * outputs, 0)};
  double rounds = 0;
  for (std::size_t k = 0; k < fits_.size(); ++k) {
    const EarlyStopped& best = fits_[k].best();
    const std::vector<std::size_t>& outside = folds_->folds_[k]->outside;
    rounds += best.rounds;
    for (std::size_t i = 0; i < best.scores.size(); ++i)
      result.scores[outside[i / outputs] * outputs + i % outputs] = best.scores[i];
  }
  result.rounds =
      std::max(1, static_cast<int>(std::lround(rounds / static_cast<double>(fits_.size()))));
  return result;
}

double InnerFits::Loss() const { return LossOf(*folds_->rows_, Judge().scores, absolute_); }

}  // namespace skerry
