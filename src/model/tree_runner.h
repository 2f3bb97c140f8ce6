// Runs a graph that is one tree ensemble, as converters of XGBoost, LightGBM and scikit-learn write
// binary classifiers and regressors, or one and what follows it in the graphs of skerry train
// (margin_graph.h), faster than ONNX Runtime does: without the runtime's own work around a run, and
// with several trees walked at once.
//
// Role: OnnxSession makes one beside its session and asks it first. It is used only where, on rows
// around the graph's own thresholds and categories (missing and infinite values among them), both
// gave the same bits; behind a link, which the runtime computes by an approximation of its own and
// this as XGBoost does, the same within kLinkDifference. Immutable; any thread.
//
// Layout: every tree's nodes stand in one array, 16 bytes each; a leaf points to itself, so that a
// walk needs no test for the end and `kLanes` trees go down side by side, each step waiting for no
// other tree's memory. A chain of BRANCH_EQ nodes is one node with a set of categories; graphs
// without any are walked by code that does not ask. Leaf weights are added in the order of the
// trees in float32, as ONNX Runtime's and XGBoost's are.
//
// Source: ONNX operators, ai.onnx.ml, TreeEnsembleClassifier and TreeEnsembleRegressor, versions 1
// to 3; what they leave open (one weight for two classes) is as ONNX Runtime has it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "model/tensor.h"
#include "model/tree_bits.h"
#include "model/tree_ensemble.h"

namespace skerry {

class TreeRunner {
 public:
  static constexpr std::size_t kLanes = 8;
  // Of probabilities absolute, of numbers relative.
  static constexpr float kLinkDifference = 1e-6F;

  // Null where the graph is anything else, or uses what is left to the runtime: labels of text,
  // other post transforms than none and LOGISTIC, weights of more than one class, a tree of several
  // targets, weights that are all positive in a classifier, modes other than BRANCH_LT, BRANCH_LEQ
  // and BRANCH_EQ, categories that are no codes below kCategoryCodes, a node with two parents.
  // `columns`: of the input's rows.
  static std::unique_ptr<TreeRunner> Make(std::string_view onnx, std::size_t columns);

  // `rows`: float32 [N, columns]. `outputs` are sized: labels INT64 [N], a classifier's
  // probabilities FP32 [N,2], else FP32 [N,width()]; `which` says what each is, as an index of the
  // graph's outputs.
  void Run(std::span<const float> rows, std::span<const std::size_t> which,
           std::span<Tensor> outputs) const;
  // The graph's output `which`, which is probabilities or values: [N, width()]. False where it is
  // labels.
  bool RunScores(std::span<const float> rows, std::size_t which, std::span<float> scores) const;

  // Numbers a row: two probabilities of two classes, else one a target.
  std::size_t width() const;
  // Whether the graph's answers are its margins, so that they can be the same to the last bit.
  bool is_bare() const { return link_ == MarginLink::kIdentity; }
  bool gives_numbers() const { return is_bare() || link_ == MarginLink::kExp; }

  // Rows on which this has to prove itself: for each, every column at, just below or just above one
  // of its thresholds or categories, missing, infinite or zero. The same for the same graph.
  std::vector<float> ProbeRows(std::size_t rows) const;

 private:
  struct Node {
    float threshold = 0;  // of a leaf: its weight; of a split by category the first of its sets_
    std::uint32_t column = 0;  // of a split by category with kByCategory
    // Where the next node begins, in bytes from the first, which spares a multiplication a step:
    // [1] where value < threshold, or is one of the categories; a leaf's are itself.
    std::array<std::uint32_t, 2> next{};
  };
  struct Group {  // of kLanes trees, or fewer at the end
    std::uint32_t first = 0, trees = 0;
    std::uint32_t steps = 0;  // to the deepest leaf
  };
  enum class Output : std::uint8_t { kLabels, kScores };
  friend class TreeRunnerReader;
  static constexpr std::uint32_t kByCategory = 1U << 31U;

  bool IsOneOf(const Node& node, float value) const;
  template <bool kMissing, bool kCategories>
  void AddGroup(const Group& group, std::span<const float> rows, std::span<float> sums) const;
  // Nothing where a tree is deeper than a CompleteTree, the columns are too many, or
  // there are several targets or splits by category.
  std::vector<CompleteTree> Complete() const;
  void AddGroups(std::span<const float> rows, std::span<float> sums) const;
  std::vector<float> Sum(std::span<const float> rows) const;  // [N, targets_]
  void AddProbed(const Node& node, std::vector<std::vector<float>>& thresholds) const;
  void WriteScores(std::span<const float> sums, std::span<float> scores) const;

  bool classifies_ = false, logistic_ = false;
  MarginLink link_ = MarginLink::kIdentity;
  float scale_ = 1;
  std::size_t targets_ = 1;
  std::vector<float> bases_;  // by target; empty: 0
  std::size_t columns_ = 0;
  std::array<std::int64_t, 2> labels_{};
  std::vector<Output> outputs_;  // of the graph, in its order
  std::vector<Node> nodes_;
  std::vector<std::uint8_t> missing_true_;  // by node: where a missing value goes, an index of next
  std::vector<std::uint32_t> roots_;        // where they begin, as in Node::next
  std::vector<std::uint32_t> target_of_;    // by tree
  // Of a split by category: how many codes its words have, then a bit a code.
  std::vector<std::uint32_t> sets_;
  std::vector<Group> groups_;
  std::vector<CompleteTree> complete_;  // empty where TreeBits is not used
};

}  // namespace skerry
