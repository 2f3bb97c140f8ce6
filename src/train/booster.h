// XGBoost's matrices and boosters, owned. Inside train; boosted_trees.h is what others take.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "train/boosted_trees.h"
#include "train/matrix.h"
#include "train/trainer.h"
#include "train/xgboost_library.h"

namespace skerry {

struct RowBlock {
  std::span<const float> features{};  // row-major
  std::span<const float> labels{};    // classes or numbers
  std::span<const float> weights{};
  std::size_t rows() const { return labels.size(); }
};

// Rows to learn from. XGBoost reads them several times.
class RowSource {
 public:
  virtual ~RowSource() = default;
  virtual void Reset() = 0;
  // Valid until the next call. No rows: the end.
  virtual RowBlock Next() = 0;
  virtual std::size_t columns() const = 0;
  virtual std::span<const std::uint8_t> categorical() const = 0;  // FeatureMatrix::categorical
};

constexpr std::size_t kBlockCells = std::size_t{1} << 22U;  // of a block of rows, about

// What XGBoost learns from or predicts while it learns: its own copy of rows.
class XgboostMatrix {
 public:
  // Of rows in memory: its plain matrix, eight bytes a cell, made and predicted fastest.
  static Result<XgboostMatrix> FromRows(const XgboostFunctions& xgb, const LabelledRows& rows,
                                        int threads);
  // Of more rows than that: bins of quantiles (its QuantileDMatrix), about two bytes a cell. With
  // `reference` in its bins: to be predicted while that is learnt from.
  static Result<XgboostMatrix> FromBlocks(const XgboostFunctions& xgb, RowSource& rows,
                                          const HyperParameters& parameters,
                                          const XgboostMatrix* reference = nullptr);
  XgboostMatrix(XgboostMatrix&& other) noexcept
      : xgb_(other.xgb_), handle_(std::exchange(other.handle_, nullptr)) {}
  XgboostMatrix& operator=(XgboostMatrix&&) = delete;
  ~XgboostMatrix();
  DMatrixHandle handle() const { return handle_; }

 private:
  explicit XgboostMatrix(const XgboostFunctions& xgb) : xgb_(&xgb) {}

  const XgboostFunctions* xgb_;
  DMatrixHandle handle_ = nullptr;
};

class Booster {
 public:
  // Learns from the first of `matrices` and caches predictions for all. `facts`: task, classes and
  // targets of the first.
  static Result<Booster> Create(const XgboostFunctions& xgb, std::vector<DMatrixHandle> matrices,
                                const LabelledRows& facts, const HyperParameters& parameters,
                                std::uint64_t seed);
  Booster(Booster&& other) noexcept
      : xgb_(other.xgb_), handle_(std::exchange(other.handle_, nullptr)) {}
  Booster& operator=(Booster&&) = delete;
  ~Booster();

  // Else boosters by turns would draw from one sequence of XGBoost's, each depending on the others.
  Status SeedEachRound();
  Status Update(int round, DMatrixHandle matrix);
  Result<std::vector<float>> Predict(DMatrixHandle matrix);
  // Appends the scores of rows that are in no matrix, without a copy of them.
  Status PredictInPlace(const FeatureMatrix& rows, std::vector<float>& scores);
  Result<BoostedTrees> Trees(std::size_t features);

 private:
  explicit Booster(const XgboostFunctions& xgb) : xgb_(&xgb) {}
  const XgboostFunctions* xgb_;
  BoosterHandle handle_ = nullptr;
};

// Of exactly `rounds` rounds. `facts` as for Booster::Create.
Result<Booster> FitBooster(const XgboostFunctions& xgb, const XgboostMatrix& rows,
                           const LabelledRows& facts, const HyperParameters& parameters, int rounds,
                           std::uint64_t seed, const CancelCheck& cancelled);

struct EarlyStopped {
  int rounds = 1;
  std::vector<float> scores{};  // of the rows that were watched, at that round
};
// A fit that stops early by the rows of a second matrix, learnt a stretch at a time. Matrices and
// `facts` (task, labels, weights and targets of the second) outlive it.
class WatchedFit {
 public:
  static Result<WatchedFit> Start(const XgboostFunctions& xgb, const XgboostMatrix& fit,
                                  const XgboostMatrix& watched, const LabelledRows& facts,
                                  const HyperParameters& parameters, std::uint64_t seed);
  Status SeedEachRound() { return booster_.SeedEachRound(); }
  // Until there are `rounds` rounds, or it has stopped.
  Status Learn(int rounds, const CancelCheck& cancelled);
  const EarlyStopped& best() const { return best_; }

 private:
  WatchedFit(const XgboostMatrix& fit, const XgboostMatrix& watched, const LabelledRows& facts,
             const HyperParameters& parameters, Booster booster)
      : fit_(&fit),
        watched_(&watched),
        facts_(&facts),
        parameters_(parameters),
        booster_(std::move(booster)) {}

  const XgboostMatrix *fit_, *watched_;
  const LabelledRows* facts_;
  HyperParameters parameters_;
  Booster booster_;
  int learnt_ = 0;
  bool stopped_ = false;
  double least_ = std::numeric_limits<double>::infinity();
  EarlyStopped best_{};
};

// Weighted; log loss is clipped as XGBoost clips it.
double LossOf(const LabelledRows& rows, std::span<const float> scores, bool absolute);

// `facts`: task, labels, weights and targets of `watched`.
Result<EarlyStopped> FitWithEarlyStopping(const XgboostFunctions& xgb, const XgboostMatrix& rows,
                                          const XgboostMatrix& watched, const LabelledRows& facts,
                                          const HyperParameters& parameters, std::uint64_t seed,
                                          const CancelCheck& cancelled);

}  // namespace skerry
