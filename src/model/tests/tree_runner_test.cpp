// Tree ensembles that skerry walks itself give what ONNX Runtime gives, to the last bit. The
// runtime's answer is that of the same graph with one more node, which is left to it.
#include "model/tree_runner.h"

#include <gtest/gtest.h>
#include <onnx-ml.pb.h>

#include <cmath>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/random.h"
#include "model/session.h"

namespace skerry {
namespace {

struct Shape {
  bool classifies = true;
  std::string transform = "LOGISTIC";
  std::string mode = "BRANCH_LT";
  std::size_t trees = 100, depth = 6, columns = 5;
  bool base = true, missing = true;
  float least_weight = -1;
  std::int64_t classes = 2;  // of a regressor other than 2: targets
  bool text_labels = false;
  bool one_more_node = false;
  float first_category = 0;
};

// A random ensemble; the same for the same seed, with one more node or not.
class EnsembleWriter {
 public:
  EnsembleWriter(const Shape& shape, std::uint64_t seed) : shape_(shape), random_(seed) {
    model_.set_ir_version(8);
    AddOpset("", 17);
    AddOpset("ai.onnx.ml", 3);
    onnx::GraphProto& graph = *model_.mutable_graph();
    graph.set_name("trees");
    node_ = graph.add_node();
    node_->set_op_type(shape.classifies ? "TreeEnsembleClassifier" : "TreeEnsembleRegressor");
    node_->set_domain("ai.onnx.ml");
    node_->add_input("input");
    AddValue(graph.add_input(), "input", onnx::TensorProto::FLOAT,
             {-1, static_cast<std::int64_t>(shape.columns)});
  }

  std::string Write() {
    Attribute("post_transform")->set_s(shape_.transform);
    for (std::int64_t k = 0; shape_.base && k < Targets(); ++k)
      Attribute("base_values")->add_floats(-0.75F + static_cast<float>(k));
    WriteSettings();
    for (std::size_t tree = 0; tree < shape_.trees; ++tree) {
      tree_ = static_cast<std::int64_t>(tree);
      next_id_ = 0;
      AddNode(tree % 3 == 0 ? shape_.depth : shape_.depth / 2);
    }
    WriteOutputs();
    for (onnx::AttributeProto& attribute : *node_->mutable_attribute())
      attribute.set_type(attribute.ints_size() > 0      ? onnx::AttributeProto::INTS
                         : attribute.floats_size() > 0  ? onnx::AttributeProto::FLOATS
                         : attribute.strings_size() > 0 ? onnx::AttributeProto::STRINGS
                         : attribute.has_s()            ? onnx::AttributeProto::STRING
                                                        : onnx::AttributeProto::INT);
    return model_.SerializeAsString();
  }

 private:
  void AddOpset(const char* domain, std::int64_t version) {
    onnx::OperatorSetIdProto& opset = *model_.add_opset_import();
    opset.set_domain(domain);
    opset.set_version(version);
  }
  static void AddValue(onnx::ValueInfoProto* value, const std::string& name, int type,
                       const std::vector<std::int64_t>& shape) {
    value->set_name(name);
    onnx::TypeProto::Tensor& tensor = *value->mutable_type()->mutable_tensor_type();
    tensor.set_elem_type(type);
    tensor.mutable_shape();
    for (const std::int64_t size : shape) {
      auto* dimension = tensor.mutable_shape()->add_dim();
      if (size < 0)
        dimension->set_dim_param("N");
      else
        dimension->set_dim_value(size);
    }
  }
  onnx::AttributeProto* Attribute(const std::string& name) {
    for (onnx::AttributeProto& found : *node_->mutable_attribute())
      if (found.name() == name) return &found;
    onnx::AttributeProto* made = node_->add_attribute();
    made->set_name(name);
    return made;
  }
  std::int64_t Targets() const {
    return shape_.classifies || shape_.classes == 2 ? 1 : shape_.classes;
  }
  void WriteSettings() {
    if (!shape_.classifies) return Attribute("n_targets")->set_i(Targets());
    for (std::int64_t label = 0; label < shape_.classes; ++label)
      if (shape_.text_labels)
        Attribute("classlabels_strings")->add_strings("class" + std::to_string(label));
      else
        Attribute("classlabels_int64s")->add_ints(label * 4 + 3);
  }

  std::int64_t AddNode(std::size_t depth) {
    const std::int64_t id = next_id_++;
    const bool leaf = depth == 0 || (id > 0 && random_.NextBelow(8) == 0);
    Attribute("nodes_treeids")->add_ints(tree_);
    Attribute("nodes_nodeids")->add_ints(id);
    const int place = Attribute("nodes_treeids")->ints_size() - 1;
    Attribute("nodes_featureids")
        ->add_ints(leaf ? 0 : static_cast<std::int64_t>(random_.NextBelow(shape_.columns)));
    const auto drawn = static_cast<float>(random_.NextBelow(40));
    Attribute("nodes_values")
        ->add_floats(leaf                         ? 0
                     : shape_.mode == "BRANCH_EQ" ? std::fmod(drawn, 4.0F) + shape_.first_category
                                                  : drawn / 8 - 2);
    Attribute("nodes_modes")->add_strings(leaf ? "LEAF" : shape_.mode);
    if (shape_.missing)
      Attribute("nodes_missing_value_tracks_true")
          ->add_ints(leaf ? 0 : static_cast<std::int64_t>(random_.NextBelow(2)));
    Attribute("nodes_truenodeids")->add_ints(0);
    Attribute("nodes_falsenodeids")->add_ints(0);
    if (leaf) {
      const std::string kind = shape_.classifies ? "class_" : "target_";
      Attribute(kind + "treeids")->add_ints(tree_);
      Attribute(kind + "nodeids")->add_ints(id);
      Attribute(kind + "ids")->add_ints(shape_.classes == 2 ? 0 : tree_ % shape_.classes);
      const bool first = tree_ == 0 && Attribute(kind + "ids")->ints_size() == 1;
      const double spread = first ? 0 : 1 - shape_.least_weight;
      Attribute(kind + "weights")
          ->add_floats(static_cast<float>(random_.NextDouble() * spread) + shape_.least_weight);
      return id;
    }
    const std::int64_t yes = AddNode(depth - 1), no = AddNode(depth - 1);
    Attribute("nodes_truenodeids")->set_ints(place, yes);
    Attribute("nodes_falsenodeids")->set_ints(place, no);
    return id;
  }

  void WriteOutputs() {
    onnx::GraphProto& graph = *model_.mutable_graph();
    const std::string scores = shape_.one_more_node ? "raw" : "scores";
    // Not in the node's order.
    AddValue(graph.add_output(), "scores", onnx::TensorProto::FLOAT,
             {-1, shape_.classifies ? shape_.classes : Targets()});
    if (shape_.classifies) {
      node_->add_output("label");
      AddValue(graph.add_output(), "label",
               shape_.text_labels ? onnx::TensorProto::STRING : onnx::TensorProto::INT64, {-1});
    }
    node_->add_output(scores);
    if (!shape_.one_more_node) return;
    onnx::NodeProto& more = *graph.add_node();
    more.set_op_type("Identity");
    more.add_input("raw");
    more.add_output("scores");
  }

  const Shape shape_;
  SeededRandom random_;
  onnx::ModelProto model_;
  onnx::NodeProto* node_ = nullptr;
  std::int64_t tree_ = 0, next_id_ = 0;
};

std::unique_ptr<OnnxSession> Load(const Shape& shape, std::uint64_t seed) {
  auto loaded = OnnxSession::LoadBytes(EnsembleWriter(shape, seed).Write(), "the ensemble");
  EXPECT_TRUE(loaded) << loaded.error().ToString();
  return loaded ? std::move(*loaded) : nullptr;
}

Tensor RandomRows(std::size_t rows, std::size_t columns, SeededRandom& random, bool missing) {
  Tensor tensor;
  tensor.name = "input";
  tensor.Resize(TensorType::kFloat32,
                {static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns)});
  for (float& value : tensor.MutableView<float>()) {
    value = static_cast<float>(random.NextBelow(56)) / 8 - 3;  // often a threshold itself
    if (missing && random.NextBelow(5) == 0) value = std::numeric_limits<float>::quiet_NaN();
  }
  return tensor;
}

void ExpectTheRuntimesBits(Shape shape, std::uint64_t seed) {
  SCOPED_TRACE(fmt::format("{} {} {}: {} trees of depth {}, missing {}, seed {}",
                           shape.classifies ? "classifier" : "regressor", shape.transform,
                           shape.mode, shape.trees, shape.depth, shape.missing, seed));
  const auto walked = Load(shape, seed);
  shape.one_more_node = true;
  const auto run = Load(shape, seed);
  ASSERT_TRUE(walked && run);
  ASSERT_TRUE(walked->walks_trees());
  ASSERT_FALSE(run->walks_trees());
  SeededRandom random(seed + 1);
  for (const std::size_t rows : {1U, 1U, 3U, 64U, 500U}) {
    const Tensor input = RandomRows(rows, shape.columns, random, rows % 2 == 0 || seed % 2 == 0);
    const auto got = walked->Run({&input, 1}), wanted = run->Run({&input, 1});
    ASSERT_TRUE(got && wanted);
    ASSERT_EQ(got->size(), wanted->size());
    for (std::size_t k = 0; k < got->size(); ++k) {
      EXPECT_EQ((*got)[k].name, (*wanted)[k].name);
      EXPECT_EQ((*got)[k].shape, (*wanted)[k].shape);
      EXPECT_EQ((*got)[k].bytes, (*wanted)[k].bytes) << rows << " rows, " << (*got)[k].name;
    }
    std::vector<float> matrix((*wanted)[0].elements());
    ASSERT_TRUE(walked->RunMatrix(input.View<float>(), rows, shape.columns, 0, matrix,
                                  matrix.size() / rows));
    EXPECT_EQ(std::memcmp(matrix.data(), (*wanted)[0].bytes.data(), (*wanted)[0].bytes.size()), 0);
  }
}

TEST(TreeRunner, GivesTheRuntimesBits) {
  std::uint64_t seed = 1;
  for (const std::string mode : {"BRANCH_LT", "BRANCH_LEQ"})
    for (const std::size_t trees : {1U, 7U, 8U, 100U})
      for (const std::size_t depth : {1U, 6U, 9U})
        for (const bool missing : {true, false}) {
          Shape shape{.mode = mode, .trees = trees, .depth = depth, .missing = missing};
          ExpectTheRuntimesBits(shape, seed++);
          shape.transform = "NONE";
          shape.base = false;
          ExpectTheRuntimesBits(shape, seed++);
          shape.classifies = false;
          ExpectTheRuntimesBits(shape, seed++);
        }
}

// TreeBits has one register of sixteen columns, two, or nothing to do with the ensemble.
TEST(TreeRunner, GivesTheRuntimesBitsForAnyNumberOfColumns) {
  std::uint64_t seed = 100;
  for (const std::size_t columns : {1U, 15U, 16U, 17U, 31U, 32U, 33U, 100U})
    for (const bool missing : {true, false})
      ExpectTheRuntimesBits({.depth = 6, .columns = columns, .missing = missing}, seed++);
}

TEST(TreeRunner, GivesTheRuntimesBitsOfCategoriesAndOfSeveralTargets) {
  std::uint64_t seed = 1'000;
  for (const std::string mode : {"BRANCH_LT", "BRANCH_EQ"})
    for (const std::size_t trees : {7U, 10U, 60U})
      for (const std::int64_t classes : {2, 3, 7})
        for (const bool base : {true, false})
          ExpectTheRuntimesBits({.classifies = false,
                                 .transform = "NONE",
                                 .mode = mode,
                                 .trees = trees,
                                 .base = base,
                                 .classes = classes},
                                seed++);
}

TEST(TreeRunner, AnswersTheOutputsThatAreAskedFor) {
  const auto session = Load({}, 5);
  SeededRandom random(6);
  const Tensor input = RandomRows(4, 5, random, false);
  const std::vector<std::string> wanted{"label"};
  const auto labels = session->Run({&input, 1}, wanted);
  ASSERT_TRUE(labels);
  ASSERT_EQ(labels->size(), 1U);
  EXPECT_EQ((*labels)[0].name, "label");
  for (const std::int64_t label : (*labels)[0].View<std::int64_t>())
    EXPECT_TRUE(label == 3 || label == 7) << label;
}

TEST(TreeRunner, LeavesToTheRuntimeWhatItDoesNotKnow) {
  const auto left = [](const Shape& shape) {
    const auto session = Load(shape, 3);
    SeededRandom random(4);
    const Tensor input = RandomRows(2, shape.columns, random, false);
    return session && !session->walks_trees() && session->Run({&input, 1});
  };
  EXPECT_TRUE(left({.text_labels = true}));
  EXPECT_TRUE(left({.transform = "SOFTMAX", .base = false, .classes = 3}));
  EXPECT_TRUE(left({.least_weight = 0.5}));
  EXPECT_TRUE(left({.mode = "BRANCH_GT"}));
  const auto coded = [](float first) {
    return Shape{.mode = "BRANCH_EQ", .first_category = first};
  };
  EXPECT_FALSE(left(coded(limits::kCategoryCodes - 4)));
  EXPECT_TRUE(left(coded(limits::kCategoryCodes - 3)));
  EXPECT_TRUE(left(coded(-1)));
  EXPECT_TRUE(left(coded(0.5)));
  EXPECT_TRUE(left({.one_more_node = true}));
  // The runtime adds no base to targets without a tree; rows on load find that.
  EXPECT_TRUE(left({.classifies = false, .transform = "NONE", .trees = 1, .classes = 3}));
  EXPECT_EQ(TreeRunner::Make("no model", 3), nullptr);
  EXPECT_EQ(TreeRunner::Make(EnsembleWriter({.columns = 5}, 1).Write(), 2), nullptr);
}

}  // namespace
}  // namespace skerry
