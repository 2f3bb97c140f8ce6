#include "model/tree_runner.h"

#include <onnx-ml.pb.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "base/limits.h"
#include "base/random.h"
#include "model/margin_graph.h"
#include "model/onnx_attributes.h"

namespace skerry {

namespace {
constexpr std::size_t kFewRows = 4;  // below, a walk is faster than TreeBits
}

// Reads the parallel arrays of a tree ensemble; every function is false where the graph is to be
// left to the runtime.
class TreeRunnerReader {
 public:
  // `graph` has a node, and outlives this.
  TreeRunnerReader(TreeRunner& runner, const onnx::GraphProto& graph)
      : runner_(runner), graph_(graph), node_(graph.node(0)), attributes_(node_) {}

  bool Read() {
    if (node_.domain() != "ai.onnx.ml" || node_.input_size() != 1) return false;
    runner_.classifies_ = node_.op_type() == "TreeEnsembleClassifier";
    if (!runner_.classifies_ && node_.op_type() != "TreeEnsembleRegressor") return false;
    return ReadEnding() && ReadSettings() && ReadNodes() && ReadWeights() && MakeGroups();
  }

 private:
  using Node = TreeRunner::Node;
  using Key = std::pair<std::int64_t, std::int64_t>;  // tree, node

  std::string Weights(const char* what) const {
    return std::string(runner_.classifies_ ? "class_" : "target_") + what;
  }

  bool ReadEnding() {
    if (graph_.node_size() == 1) return ReadOutputs();
    const auto ending = ReadMarginGraph(graph_);
    if (!ending) return false;
    runner_.link_ = ending->link;
    runner_.scale_ = ending->scale;
    runner_.outputs_ = {TreeRunner::Output::kScores};
    return true;
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
    runner_.bases_.assign(base.begin(), base.end());
    if (runner_.classifies_) {
      const auto labels = attributes_.Ints("classlabels_int64s");
      if (labels.size() != 2 || base.size() > 1) return false;
      std::ranges::copy(labels, runner_.labels_.begin());
      return true;
    }
    const std::int64_t targets = attributes_.Int("n_targets", 1);
    if (targets < 1 || targets > static_cast<std::int64_t>(limits::kClasses)) return false;
    runner_.targets_ = static_cast<std::size_t>(targets);
    const bool one = targets == 1;
    if (!one && (runner_.link_ == MarginLink::kLogistic || runner_.link_ == MarginLink::kExp))
      return false;
    return (base.empty() || base.size() == runner_.targets_) &&
           attributes_.Text("aggregate_function", "SUM") == "SUM";
  }

  struct Arrays {
    std::span<const std::int64_t> trees, ids, columns, trues, falses, missing;
    std::span<const float> values;
    const OnnxAttributes::Strings* modes = nullptr;

    bool TracksTrue(std::size_t i) const { return !missing.empty() && missing[i] != 0; }
    bool IsEqual(std::size_t i) const { return (*modes)[static_cast<int>(i)] == "BRANCH_EQ"; }
  };

  bool FindArrays() {
    arrays_ = {.trees = attributes_.Ints("nodes_treeids"),
               .ids = attributes_.Ints("nodes_nodeids"),
               .columns = attributes_.Ints("nodes_featureids"),
               .trues = attributes_.Ints("nodes_truenodeids"),
               .falses = attributes_.Ints("nodes_falsenodeids"),
               .missing = attributes_.Ints("nodes_missing_value_tracks_true"),
               .values = attributes_.Floats("nodes_values"),
               .modes = &attributes_.Texts("nodes_modes")};
    const std::size_t count = arrays_.trees.size();
    if (count == 0 || count > limits::kWalkedNodes ||
        static_cast<std::size_t>(arrays_.modes->size()) != count)
      return false;
    for (const std::size_t size : {arrays_.ids.size(), arrays_.columns.size(), arrays_.trues.size(),
                                   arrays_.falses.size(), arrays_.values.size()})
      if (size != count) return false;
    return arrays_.missing.empty() || arrays_.missing.size() == count;
  }

  bool ReadNodes() {
    if (!FindArrays()) return false;
    const std::size_t count = arrays_.trees.size();
    runner_.nodes_.resize(count);
    runner_.missing_true_.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      const Key key{arrays_.trees[i], arrays_.ids[i]};
      if (indices_.emplace_hint(indices_.end(), key, i)->second != i) return false;
      if (i == 0 || arrays_.trees[i] != arrays_.trees[i - 1]) roots_.push_back(i);
    }
    parents_.resize(count);
    joined_.resize(count);
    for (std::size_t i = 0; i < count; ++i)
      if (!ReadNode(i)) return false;
    // Every node but the roots, each the first of its tree, and those that were joined has a
    // parent.
    std::size_t orphans = 0;
    for (std::size_t i = 0; i < count; ++i) orphans += parents_[i] == 0 && joined_[i] == 0 ? 1 : 0;
    return orphans == roots_.size() && std::ranges::all_of(roots_, [&](std::size_t root) {
             return parents_[root] == 0 && joined_[root] == 0;
           });
  }

  bool ReadNode(std::size_t i) {
    Node& node = runner_.nodes_[i];
    node.next = {PlaceOf(i), PlaceOf(i)};
    if (joined_[i] != 0) return true;
    const std::string& mode = (*arrays_.modes)[static_cast<int>(i)];
    if (mode == "LEAF") return true;
    if (arrays_.columns[i] < 0 || arrays_.columns[i] >= static_cast<std::int64_t>(runner_.columns_))
      return false;
    node.column = static_cast<std::uint32_t>(arrays_.columns[i]);
    runner_.missing_true_[i] = arrays_.TracksTrue(i) ? 1 : 0;
    auto no = Child(i, arrays_.falses);
    const auto yes = Child(i, arrays_.trues);
    if (mode == "BRANCH_EQ") {
      if (!JoinChain(i, no)) return false;
    } else if (!SetThreshold(node, mode, arrays_.values[i])) {
      return false;
    }
    if (!no || !yes) return false;
    node.next = {PlaceOf(*no), PlaceOf(*yes)};
    for (const std::size_t child : {*no, *yes})
      if (child <= i || parents_[child]++ != 0) return false;  // else a walk might not end
    return true;
  }

  std::optional<std::size_t> Child(std::size_t i, std::span<const std::int64_t> ids) const {
    const auto found = indices_.find({arrays_.trees[i], ids[i]});
    if (found == indices_.end()) return std::nullopt;
    return found->second;
  }

  // Node `i` and those after it on the false side that ask for another category of the same column
  // and go on alike: one split by their set. `no` becomes where the last one's false side leads.
  bool JoinChain(std::size_t i, std::optional<std::size_t>& no) {
    std::vector<std::uint32_t>& sets = runner_.sets_;
    const std::size_t first = sets.size();
    sets.push_back(0);
    if (!AddCategory(first, arrays_.values[i])) return false;
    while (no && arrays_.IsEqual(*no) && joined_[*no] == 0 && *no != i &&
           arrays_.columns[*no] == arrays_.columns[i] && arrays_.trues[*no] == arrays_.trues[i] &&
           arrays_.TracksTrue(*no) == arrays_.TracksTrue(i)) {
      if (parents_[*no] != 0 || !AddCategory(first, arrays_.values[*no])) return false;
      joined_[*no] = 1;
      no = Child(*no, arrays_.falses);
    }
    Node& node = runner_.nodes_[i];
    node.column |= TreeRunner::kByCategory;
    node.threshold = std::bit_cast<float>(static_cast<std::uint32_t>(first));
    return true;
  }

  bool AddCategory(std::size_t first, float value) {
    if (!(value >= 0) || value >= static_cast<float>(limits::kCategoryCodes) ||
        value != std::floor(value))
      return false;
    constexpr std::size_t kBits = 32;
    std::vector<std::uint32_t>& sets = runner_.sets_;
    const auto code = static_cast<std::size_t>(value);
    const std::size_t words = code / kBits + 1;
    if (sets.size() < first + 1 + words) sets.resize(first + 1 + words);
    sets[first] = static_cast<std::uint32_t>((sets.size() - first - 1) * kBits);
    sets[first + words] |= 1U << (code % kBits);
    return true;
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
      if (found == indices_.end() || targets[i] < 0 ||
          targets[i] >= static_cast<std::int64_t>(runner_.targets_) || joined_[found->second] != 0)
        return false;
      if (!SetTarget(found->second, static_cast<std::uint32_t>(targets[i]))) return false;
      Node& leaf = runner_.nodes_[found->second];
      if (leaf.next[0] != PlaceOf(found->second) || weighed[found->second]++ != 0) return false;
      leaf.threshold = weights[i];
      negative = negative || weights[i] < 0;
    }
    return negative || !runner_.classifies_;
  }

  // All leaves of a tree are of one target.
  bool SetTarget(std::size_t leaf, std::uint32_t target) {
    constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
    if (runner_.target_of_.empty()) runner_.target_of_.resize(roots_.size(), kNone);
    const auto tree = std::upper_bound(roots_.begin(), roots_.end(), leaf) - roots_.begin() - 1;
    std::uint32_t& known = runner_.target_of_[static_cast<std::size_t>(tree)];
    if (known != kNone && known != target) return false;
    known = target;
    return true;
  }

  bool MakeGroups() {
    runner_.target_of_.resize(roots_.size());
    for (std::uint32_t& target : runner_.target_of_)
      target = target < runner_.targets_ ? target : 0;  // of a tree without weights
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
  Arrays arrays_;
  std::map<Key, std::size_t> indices_;  // of nodes
  std::vector<std::size_t> roots_;
  std::vector<std::uint8_t> parents_,
      joined_;  // by node: how many it has, whether in another's set
};

std::unique_ptr<TreeRunner> TreeRunner::Make(std::string_view onnx, std::size_t columns) {
  onnx::ModelProto model;
  if (onnx.size() > limits::kWalkedModelBytes ||
      !model.ParseFromArray(onnx.data(), static_cast<int>(onnx.size())))
    return nullptr;
  if (model.graph().node_size() == 0) return nullptr;
  auto runner = std::make_unique<TreeRunner>();
  runner->columns_ = columns;
  if (!TreeRunnerReader(*runner, model.graph()).Read()) return nullptr;
  if (TreeBits::MachineHasIt()) runner->complete_ = runner->Complete();
  return runner;
}

std::vector<CompleteTree> TreeRunner::Complete() const {
  const auto too_deep = [](const Group& group) { return group.steps > CompleteTree::kDepth; };
  if (columns_ > TreeBits::kColumns || targets_ != 1 || !sets_.empty() ||
      std::ranges::any_of(groups_, too_deep))
    return {};
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

bool TreeRunner::IsOneOf(const Node& node, float value) const {
  constexpr std::uint32_t kBits = 32;
  const std::uint32_t* set = sets_.data() + std::bit_cast<std::uint32_t>(node.threshold);
  if (!(value >= 0) || !(value < static_cast<float>(set[0]))) return false;
  const auto code = static_cast<std::uint32_t>(value);
  return static_cast<float>(code) == value && (set[1 + code / kBits] >> (code % kBits) & 1U) != 0;
}

template <bool kMissing, bool kCategories>
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
  for (float* sum = sums.data(); sum != sums.data() + sums.size(); sum += targets_) {
    std::array<std::uint32_t, kLanes> at = roots;
    for (std::uint32_t step = 0; step < group.steps; ++step) {
      // Unrolled, so that every lane has a register.
#pragma GCC unroll 8
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const Node& node = node_at(at[lane]);
        const float value = row[kCategories ? node.column & ~kByCategory : node.column];
        std::size_t less = value < node.threshold ? 1 : 0;
        if constexpr (kCategories)
          if ((node.column & kByCategory) != 0) less = IsOneOf(node, value) ? 1 : 0;
        if constexpr (kMissing)
          if (std::isnan(value)) less = missing_true_[at[lane] / sizeof(Node)];
        at[lane] = node.next[less];
      }
    }
    const std::uint32_t* targets = target_of_.data() + group.first;
    if (targets_ == 1)
      for (std::size_t lane = 0; lane < group.trees; ++lane) *sum += node_at(at[lane]).threshold;
    else
      for (std::size_t lane = 0; lane < group.trees; ++lane)
        sum[targets[lane]] += node_at(at[lane]).threshold;
    row += columns_;
  }
}

void TreeRunner::AddGroups(std::span<const float> rows, std::span<float> sums) const {
  const bool missing = std::ranges::any_of(rows, [](float value) { return std::isnan(value); });
  if (!complete_.empty() && sums.size() >= kFewRows) {
    TreeBits::AddTo(complete_, rows, columns_, missing, sums);
    return;
  }
  // Group by group, so that a group's nodes stay near while all rows pass them.
  for (const Group& group : groups_)
    if (!sets_.empty())
      AddGroup<true, true>(group, rows, sums);
    else if (missing)
      AddGroup<true, false>(group, rows, sums);
    else
      AddGroup<false, false>(group, rows, sums);
}

std::vector<float> TreeRunner::Sum(std::span<const float> rows) const {
  std::vector<float> sums(rows.size() / columns_ * targets_);
  AddGroups(rows, sums);
  for (std::size_t i = 0; !bases_.empty() && i < sums.size(); ++i) sums[i] += bases_[i % targets_];
  return sums;
}

namespace {

// As ONNX Runtime computes it: exact to the last bit only this way.
float Logistic(float margin) {
  const float positive = 1.0F / (1.0F + std::exp(-std::abs(margin)));
  return margin < 0 ? 1.0F - positive : positive;
}

// As XGBoost computes it, in place.
void Softmax(std::span<float> margins) {
  const float most = *std::ranges::max_element(margins);
  double sum = 0;
  for (float& margin : margins) {
    margin = std::exp(margin - most);
    sum += margin;
  }
  for (float& margin : margins) margin /= static_cast<float>(sum);
}

}  // namespace

std::size_t TreeRunner::width() const {
  return classifies_ || link_ == MarginLink::kLogistic ? 2 : targets_;
}

void TreeRunner::WriteScores(std::span<const float> sums, std::span<float> scores) const {
  if (link_ == MarginLink::kSoftmax) {
    std::ranges::copy(sums, scores.begin());
    for (std::size_t i = 0; i < sums.size(); i += targets_) Softmax(scores.subspan(i, targets_));
    return;
  }
  for (std::size_t i = 0; i < sums.size(); ++i) {
    if (link_ == MarginLink::kLogistic) {
      scores[2 * i + 1] = 1.0F / (1.0F + std::exp(-sums[i]));  // as XGBoost computes it
      scores[2 * i] = 1.0F - scores[2 * i + 1];
    } else if (!classifies_) {
      scores[i] = link_ == MarginLink::kExp ? std::exp(sums[i] * scale_) : sums[i];
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

void TreeRunner::AddProbed(const Node& node, std::vector<std::vector<float>>& thresholds) const {
  if ((node.column & kByCategory) == 0) return thresholds[node.column].push_back(node.threshold);
  const std::uint32_t codes = sets_[std::bit_cast<std::uint32_t>(node.threshold)];
  for (std::uint32_t code = 0; code < codes; ++code)
    if (IsOneOf(node, static_cast<float>(code)))
      thresholds[node.column & ~kByCategory].push_back(static_cast<float>(code));
}

std::vector<float> TreeRunner::ProbeRows(std::size_t rows) const {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<std::vector<float>> thresholds(columns_);
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    if (nodes_[i].next[0] != i * sizeof(Node)) AddProbed(nodes_[i], thresholds);
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
