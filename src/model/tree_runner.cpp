#include "model/tree_runner.h"

#include <onnx-ml.pb.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "base/limits.h"
#include "base/random.h"
#include "model/onnx_attributes.h"

namespace skerry {

namespace {
constexpr std::size_t kFewRows = 4;  // below, a walk is faster than TreeBits
}

// Reads the parallel arrays of a tree ensemble; every function is false where the graph is to be
// left to the runtime.
class TreeRunnerReader {
 public:
  // `graph` has one node, and outlives this.
  TreeRunnerReader(TreeRunner& runner, const onnx::GraphProto& graph)
      : runner_(runner), graph_(graph), node_(graph.node(0)), attributes_(node_) {}

  bool Read() {
    if (node_.domain() != "ai.onnx.ml" || node_.input_size() != 1) return false;
    runner_.classifies_ = node_.op_type() == "TreeEnsembleClassifier";
    if (!runner_.classifies_ && node_.op_type() != "TreeEnsembleRegressor") return false;
    return ReadOutputs() && ReadSettings() && ReadNodes() && ReadWeights() && MakeGroups();
  }

 private:
  using Node = TreeRunner::Node;
  using Key = std::pair<std::int64_t, std::int64_t>;  // tree, node

  std::string Weights(const char* what) const {
    return std::string(runner_.classifies_ ? "class_" : "target_") + what;
  }

  bool ReadOutputs() {
    const auto& given = node_.output();
    for (const onnx::ValueInfoProto& output : graph_.output()) {
      const auto found = std::find(given.begin(), given.end(), output.name());
      if (found == given.end() || output.name().empty()) return false;
      const bool labels = runner_.classifies_ && found == given.begin();
      runner_.outputs_.push_back(labels ? TreeRunner::Output::kLabels
                                        : TreeRunner::Output::kScores);
    }
    return true;
  }

  bool ReadSettings() {
    const std::string_view transform = attributes_.Text("post_transform", "NONE");
    runner_.logistic_ = transform == "LOGISTIC";
    if (transform != "NONE" && !(runner_.logistic_ && runner_.classifies_)) return false;
    const auto base = attributes_.Floats("base_values");
    if (base.size() > 1) return false;
    if (!base.empty()) runner_.base_ = base[0];
    if (runner_.classifies_) {
      const auto labels = attributes_.Ints("classlabels_int64s");
      if (labels.size() != 2) return false;
      std::ranges::copy(labels, runner_.labels_.begin());
      return true;
    }
    return attributes_.Int("n_targets", 1) == 1 &&
           attributes_.Text("aggregate_function", "SUM") == "SUM";
  }

  bool ReadNodes() {
    const auto trees = attributes_.Ints("nodes_treeids"), ids = attributes_.Ints("nodes_nodeids"),
               columns = attributes_.Ints("nodes_featureids"),
               trues = attributes_.Ints("nodes_truenodeids"),
               falses = attributes_.Ints("nodes_falsenodeids"),
               missing = attributes_.Ints("nodes_missing_value_tracks_true");
    const auto values = attributes_.Floats("nodes_values");
    const OnnxAttributes::Strings& modes = attributes_.Texts("nodes_modes");
    const std::size_t count = trees.size();
    if (count == 0 || count > limits::kWalkedNodes ||
        static_cast<std::size_t>(modes.size()) != count)
      return false;
    for (const std::size_t size :
         {ids.size(), columns.size(), trues.size(), falses.size(), values.size()})
      if (size != count) return false;
    if (!missing.empty() && missing.size() != count) return false;
    runner_.nodes_.resize(count);
    runner_.missing_true_.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      if (!indices_.emplace(Key{trees[i], ids[i]}, i).second) return false;
      if (i == 0 || trees[i] != trees[i - 1]) roots_.push_back(i);
    }
    std::vector<std::uint8_t> parents(count);
    for (std::size_t i = 0; i < count; ++i) {
      Node& node = runner_.nodes_[i];
      node.next = {PlaceOf(i), PlaceOf(i)};
      const std::string& mode = modes[static_cast<int>(i)];
      if (mode == "LEAF") continue;
      if (columns[i] < 0 || columns[i] >= static_cast<std::int64_t>(runner_.columns_)) return false;
      node.column = static_cast<std::uint32_t>(columns[i]);
      if (!SetThreshold(node, mode, values[i])) return false;
      runner_.missing_true_[i] = !missing.empty() && missing[i] != 0 ? 1 : 0;
      const auto no = indices_.find({trees[i], falses[i]}),
                 yes = indices_.find({trees[i], trues[i]});
      if (no == indices_.end() || yes == indices_.end()) return false;
      node.next = {PlaceOf(no->second), PlaceOf(yes->second)};
      for (const std::size_t child : {no->second, yes->second})
        if (child <= i || parents[child]++ != 0) return false;  // else a walk might not end
    }
    // Every node but the roots, each the first of its tree, has a parent.
    return static_cast<std::size_t>(std::ranges::count(parents, 0)) == roots_.size() &&
           std::ranges::all_of(roots_, [&](std::size_t root) { return parents[root] == 0; });
  }

  static bool SetThreshold(Node& node, const std::string& mode, float value) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    if (!std::isfinite(value)) return false;
    if (mode != "BRANCH_LT" && mode != "BRANCH_LEQ") return false;
    // at <= value is at < the next float.
    node.threshold = mode == "BRANCH_LT" ? value : std::nextafter(value, kInfinity);
    return true;
  }

  bool ReadWeights() {
    const auto trees = attributes_.Ints(Weights("treeids")),
               ids = attributes_.Ints(Weights("nodeids")),
               targets = attributes_.Ints(Weights("ids"));
    const auto weights = attributes_.Floats(Weights("weights"));
    if (trees.size() != weights.size() || ids.size() != weights.size() ||
        targets.size() != weights.size())
      return false;
    std::vector<std::uint8_t> weighed(runner_.nodes_.size());
    bool negative = false;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const auto found = indices_.find({trees[i], ids[i]});
      if (found == indices_.end() || targets[i] != 0) return false;
      Node& leaf = runner_.nodes_[found->second];
      if (leaf.next[0] != PlaceOf(found->second) || weighed[found->second]++ != 0) return false;
      leaf.threshold = weights[i];
      negative = negative || weights[i] < 0;
    }
    return negative || !runner_.classifies_;
  }

  bool MakeGroups() {
    std::vector<std::uint32_t> depths(runner_.nodes_.size());
    for (std::size_t i = 0; i < depths.size(); ++i)
      for (const std::uint32_t place : runner_.nodes_[i].next)
        if (place != PlaceOf(i)) depths[place / sizeof(Node)] = depths[i] + 1;
    for (std::size_t first = 0; first < roots_.size(); first += TreeRunner::kLanes) {
      const std::size_t end = std::min(first + TreeRunner::kLanes, roots_.size());
      const std::size_t nodes_end = end == roots_.size() ? depths.size() : roots_[end];
      const auto deepest =
          *std::max_element(depths.begin() + static_cast<std::ptrdiff_t>(roots_[first]),
                            depths.begin() + static_cast<std::ptrdiff_t>(nodes_end));
      runner_.groups_.push_back({.first = static_cast<std::uint32_t>(first),
                                 .trees = static_cast<std::uint32_t>(end - first),
                                 .steps = deepest});
    }
    for (const std::size_t root : roots_) runner_.roots_.push_back(PlaceOf(root));
    return true;
  }

  static std::uint32_t PlaceOf(std::size_t index) {
    return static_cast<std::uint32_t>(index * sizeof(Node));
  }

  TreeRunner& runner_;
  const onnx::GraphProto& graph_;
  const onnx::NodeProto& node_;
  const OnnxAttributes attributes_;
  std::map<Key, std::size_t> indices_;  // of nodes
  std::vector<std::size_t> roots_;
};

std::unique_ptr<TreeRunner> TreeRunner::Make(std::string_view onnx, std::size_t columns) {
  onnx::ModelProto model;
  if (onnx.size() > limits::kWalkedModelBytes ||
      !model.ParseFromArray(onnx.data(), static_cast<int>(onnx.size())))
    return nullptr;
  if (model.graph().node_size() != 1) return nullptr;
  auto runner = std::make_unique<TreeRunner>();
  runner->columns_ = columns;
  if (!TreeRunnerReader(*runner, model.graph()).Read()) return nullptr;
  if (TreeBits::MachineHasIt()) runner->complete_ = runner->Complete();
  return runner;
}

std::vector<CompleteTree> TreeRunner::Complete() const {
  const auto too_deep = [](const Group& group) { return group.steps > CompleteTree::kDepth; };
  if (columns_ > TreeBits::kColumns || std::ranges::any_of(groups_, too_deep)) return {};
  std::vector<CompleteTree> trees(roots_.size());
  for (std::size_t i = 0; i < trees.size(); ++i) {
    CompleteTree& tree = trees[i];
    std::array<std::uint32_t, 2 * CompleteTree::kNodes> places{};  // by node of the complete tree
    places[1] = roots_[i];
    for (std::size_t at = 1; at < CompleteTree::kNodes; ++at) {
      const std::size_t index = places[at] / sizeof(Node);
      const Node& node = nodes_[index];
      const bool leaf = node.next[0] == places[at];
      places[2 * at] = node.next[0];
      places[2 * at + 1] = node.next[1];
      tree.thresholds[at] = leaf ? -std::numeric_limits<float>::infinity() : node.threshold;
      tree.columns[at] = static_cast<std::int32_t>(node.column);
      tree.missing_true |= std::uint64_t{missing_true_[index]} << at;
    }
    for (std::size_t leaf = 0; leaf < CompleteTree::kNodes; ++leaf)
      tree.leaves[leaf] = nodes_[places[CompleteTree::kNodes + leaf] / sizeof(Node)].threshold;
  }
  return trees;
}

template <bool kMissing>
void TreeRunner::AddGroup(const Group& group, std::span<const float> rows,
                          std::span<float> sums) const {
  const auto node_at =
      [first = reinterpret_cast<const char*>(nodes_.data())](std::uint32_t place) -> const Node& {
    return *reinterpret_cast<const Node*>(first + place);
  };
  std::array<std::uint32_t, kLanes> roots{};
  // Lanes without a tree walk the first one again; nobody reads where they end.
  for (std::size_t lane = 0; lane < kLanes; ++lane)
    roots[lane] = roots_[group.first + (lane < group.trees ? lane : 0)];
  const float* row = rows.data();
  for (float& sum : sums) {
    std::array<std::uint32_t, kLanes> at = roots;
    for (std::uint32_t step = 0; step < group.steps; ++step) {
      // Unrolled, so that every lane has a register.
#pragma GCC unroll 8
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const Node& node = node_at(at[lane]);
        const float value = row[node.column];
        std::size_t less = value < node.threshold ? 1 : 0;
        if constexpr (kMissing)
          if (std::isnan(value)) less = missing_true_[at[lane] / sizeof(Node)];
        at[lane] = node.next[less];
      }
    }
    for (std::size_t lane = 0; lane < group.trees; ++lane) sum += node_at(at[lane]).threshold;
    row += columns_;
  }
}

std::vector<float> TreeRunner::Sum(std::span<const float> rows) const {
  std::vector<float> sums(rows.size() / columns_);
  const bool missing = std::ranges::any_of(rows, [](float value) { return std::isnan(value); });
  if (!complete_.empty() && sums.size() >= kFewRows) {
    TreeBits::AddTo(complete_, rows, columns_, missing, sums);
    for (float& sum : sums) sum += base_;
    return sums;
  }
  // Group by group, so that a group's nodes stay near while all rows pass them.
  for (const Group& group : groups_)
    if (missing)
      AddGroup<true>(group, rows, sums);
    else
      AddGroup<false>(group, rows, sums);
  for (float& sum : sums) sum += base_;
  return sums;
}

namespace {

// As ONNX Runtime computes it: exact to the last bit only this way.
float Logistic(float margin) {
  const float positive = 1.0F / (1.0F + std::exp(-std::abs(margin)));
  return margin < 0 ? 1.0F - positive : positive;
}

}  // namespace

void TreeRunner::WriteScores(std::span<const float> sums, std::span<float> scores) const {
  for (std::size_t i = 0; i < sums.size(); ++i) {
    if (!classifies_) {
      scores[i] = sums[i];
    } else {
      scores[2 * i] = logistic_ ? Logistic(-sums[i]) : -sums[i];
      scores[2 * i + 1] = logistic_ ? Logistic(sums[i]) : sums[i];
    }
  }
}

void TreeRunner::Run(std::span<const float> rows, std::span<const std::size_t> which,
                     std::span<Tensor> outputs) const {
  const std::vector<float> sums = Sum(rows);
  for (std::size_t k = 0; k < which.size(); ++k) {
    if (outputs_[which[k]] == Output::kScores) {
      WriteScores(sums, outputs[k].MutableView<float>());
      continue;
    }
    const auto labels = outputs[k].MutableView<std::int64_t>();
    for (std::size_t i = 0; i < sums.size(); ++i) labels[i] = labels_[sums[i] > 0 ? 1 : 0];
  }
}

bool TreeRunner::RunScores(std::span<const float> rows, std::size_t which,
                           std::span<float> scores) const {
  if (outputs_[which] != Output::kScores) return false;
  WriteScores(Sum(rows), scores);
  return true;
}

std::vector<float> TreeRunner::ProbeRows(std::size_t rows) const {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<std::vector<float>> thresholds(columns_);
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    if (nodes_[i].next[0] != i * sizeof(Node))
      thresholds[nodes_[i].column].push_back(nodes_[i].threshold);
  SeededRandom random(1);
  std::vector<float> probes;
  for (std::size_t i = 0; i < rows * columns_; ++i) {
    const std::vector<float>& known = thresholds[i % columns_];
    const float near = known.empty() ? 0 : known[random.NextBelow(known.size())];
    const std::array<float, 8> values = {near,
                                         std::nextafter(near, -kInfinity),
                                         std::nextafter(near, kInfinity),
                                         near - 1,
                                         near + 1,
                                         0,
                                         random.NextBelow(2) == 0 ? kInfinity : -kInfinity,
                                         std::numeric_limits<float>::quiet_NaN()};
    // Half of the rows have nothing missing, since these are walked by other code.
    const std::size_t choices = i / columns_ % 2 == 0 ? values.size() - 1 : values.size();
    probes.push_back(values[random.NextBelow(choices)]);
  }
  return probes;
}

}  // namespace skerry
