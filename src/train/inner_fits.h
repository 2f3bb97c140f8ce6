// Fits of several choices of parameters to the same inner folds, learnt by turns. Inside train.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/error.h"
#include "train/booster.h"
#include "train/matrix.h"
#include "train/trainer.h"

namespace skerry {

// Rows parted by inner fold, as XGBoost holds them; all fits share them. `rows` outlive them.
class InnerFolds {
 public:
  static Result<InnerFolds> Part(const LabelledRows& rows, std::span<const std::uint8_t> folds,
                                 int threads);

 private:
  friend class InnerFits;
  struct Fold {
    std::vector<std::size_t> outside{};
    LabelledRows watched{};
    XgboostMatrix fit, check;
  };
  explicit InnerFolds(const LabelledRows& rows) : rows_(&rows) {}

  const LabelledRows* rows_;
  std::vector<std::unique_ptr<Fold>> folds_{};
};

// What CrossValidate does, a stretch of rounds at a time, with random numbers of its own for each
// round: the same whatever is learnt in between. The folds outlive it.
class InnerFits {
 public:
  static Result<InnerFits> Start(const InnerFolds& folds, const HyperParameters& parameters,
                                 std::uint64_t seed);
  // Until each fold has `rounds` rounds in all, or has stopped early.
  Status Learn(int rounds, const CancelCheck& cancelled);
  CrossValidation Judge() const;
  // Of the scores so judged, over all rows: what early stopping goes by.
  double Loss() const;

 private:
  InnerFits(const InnerFolds& folds, bool absolute) : folds_(&folds), absolute_(absolute) {}

  const InnerFolds* folds_;
  bool absolute_;
  std::vector<WatchedFit> fits_{};  // a fold each
};

}  // namespace skerry
