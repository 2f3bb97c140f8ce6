// XGBoost's matrices and boosters, owned. Inside train; boosted_trees.h is what others take.
//
// Rows are given in blocks and kept by XGBoost as bins of quantiles (its QuantileDMatrix): about
// two bytes a cell, whatever they were before.
#pragma once

#include <cstddef>
#include <cstdint>
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

// Chosen rows of a table in memory, which outlives it.
class SelectedRows : public RowSource {
 public:
  SelectedRows(const LabelledRows& rows, std::vector<std::size_t> chosen)
      : rows_(rows), chosen_(std::move(chosen)) {}
  static SelectedRows All(const LabelledRows& rows);

  void Reset() override { next_ = 0; }
  RowBlock Next() override;
  std::size_t columns() const override { return rows_.features.columns; }
  std::span<const std::uint8_t> categorical() const override { return rows_.features.categorical; }

 private:
  const LabelledRows& rows_;
  std::vector<std::size_t> chosen_;
  std::size_t next_ = 0;
  LabelledRows block_{};
  std::vector<float> labels_{};
};

class QuantileMatrix {
 public:
  // With `reference` in its bins: to be predicted while that is learnt from.
  static Result<QuantileMatrix> Create(const XgboostFunctions& xgb, RowSource& rows, int threads,
                                       const QuantileMatrix* reference = nullptr);
  QuantileMatrix(QuantileMatrix&& other) noexcept
      : xgb_(other.xgb_), handle_(std::exchange(other.handle_, nullptr)) {}
  QuantileMatrix& operator=(QuantileMatrix&&) = delete;
  ~QuantileMatrix();
  DMatrixHandle handle() const { return handle_; }

 private:
  explicit QuantileMatrix(const XgboostFunctions& xgb) : xgb_(&xgb) {}

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

// Of exactly `rounds` rounds; the matrix that it learnt from is freed. `facts` as for
// Booster::Create.
Result<Booster> FitBooster(RowSource& rows, const LabelledRows& facts,
                           const HyperParameters& parameters, int rounds, std::uint64_t seed,
                           const CancelCheck& cancelled);

struct EarlyStopped {
  int rounds = 1;
  std::vector<float> scores{};  // of the rows that were watched, at that round
};
// `facts`: task, labels, weights and targets of `watched`.
Result<EarlyStopped> FitWithEarlyStopping(RowSource& rows, RowSource& watched,
                                          const LabelledRows& facts,
                                          const HyperParameters& parameters, std::uint64_t seed,
                                          const CancelCheck& cancelled);

}  // namespace skerry
