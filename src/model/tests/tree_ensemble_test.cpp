#include "model/tree_ensemble.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx-ml.pb.h>

#include <functional>
#include <limits>
#include <string>

#include "base/limits.h"
#include "model/tests/fixture_package.h"

namespace skerry {
namespace {

using testing::HasSubstr;

std::string Explained() {
  fixture::TreeModel model;
  model.low = -1;
  model.high = 2;
  model.explained = true;
  return fixture::TreeModelBytes(model);
}

// Why the graph is refused once `change` was made to it.
std::string Refusal(const std::function<void(onnx::GraphProto&)>& change) {
  onnx::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(Explained()));
  change(*model.mutable_graph());
  const auto read = ReadTreeEnsemble(model.SerializeAsString(), 3);
  if (read) return "it was read";
  EXPECT_EQ(read.error().code(), ErrorCode::kUnimplemented);
  return read.error().message();
}

onnx::AttributeProto& Attribute(onnx::GraphProto& graph, std::string_view name) {
  for (onnx::AttributeProto& attribute : *graph.mutable_node(0)->mutable_attribute())
    if (attribute.name() == name) return attribute;
  onnx::AttributeProto& added = *graph.mutable_node(0)->add_attribute();
  added.set_name(std::string(name));
  return added;
}

TEST(TreeEnsemble, IsReadFromTheGraph) {
  const auto ensemble = ReadTreeEnsemble(Explained(), 3);
  ASSERT_TRUE(ensemble) << ensemble.error().message();
  ASSERT_EQ(ensemble->trees.size(), 1U);
  ASSERT_EQ(ensemble->trees[0].size(), 3U);
  const TreeNode& root = ensemble->trees[0][0];
  EXPECT_EQ(root.feature, 1);
  EXPECT_EQ(root.threshold, 60);
  EXPECT_EQ(root.cover, 10);
  EXPECT_TRUE(root.GoesLeft(59.99F));
  EXPECT_FALSE(root.GoesLeft(60));
  EXPECT_TRUE(root.GoesLeft(std::numeric_limits<float>::quiet_NaN()));
  EXPECT_EQ(ensemble->trees[0][2].value, 2);
  EXPECT_EQ(ensemble->depth, 1U);
  EXPECT_NEAR(ensemble->expected_margins[0], -0.7 + 0.6, 1e-6);
}

TEST(TreeEnsemble, OtherGraphsAreRefusedWithTheReason) {
  const auto plain = ReadTreeEnsemble(fixture::TreeModelBytes({}), 3);
  ASSERT_FALSE(plain);
  EXPECT_THAT(plain.error().message(), HasSubstr("3 nodes (TreeEnsembleRegressor, Sub, Concat)"));
  EXPECT_EQ(ReadTreeEnsemble("not onnx", 3).error().code(), ErrorCode::kDataLoss);
  EXPECT_THAT(Refusal([](auto& graph) { graph.mutable_node(1)->set_op_type("Tanh"); }),
              HasSubstr("no tree ensemble"));
  EXPECT_THAT(Refusal([](auto& graph) { graph.mutable_node()->RemoveLast(); }),
              HasSubstr("3 nodes"));
  EXPECT_THAT(Refusal([](auto& graph) { Attribute(graph, "nodes_hitrates").set_name("x"); }),
              HasSubstr("no covers (nodes_hitrates)"));
  EXPECT_THAT(Refusal([](auto& graph) { Attribute(graph, "nodes_hitrates").set_floats(1, 4); }),
              HasSubstr("do not add up: 10 above 4 and 3"));
  EXPECT_THAT(Refusal([](auto& graph) { Attribute(graph, "nodes_hitrates").set_floats(1, -1); }),
              HasSubstr("cover of -1"));
  EXPECT_THAT(
      Refusal([](auto& graph) { Attribute(graph, "nodes_modes").set_strings(0, "BRANCH_GT"); }),
      HasSubstr("BRANCH_GT"));
  EXPECT_THAT(Refusal([](auto& graph) { Attribute(graph, "aggregate_function").set_s("MIN"); }),
              HasSubstr("one margin"));
  EXPECT_THAT(Refusal([](auto& graph) { Attribute(graph, "nodes_values").add_floats(1); }),
              HasSubstr("nodes_values"));
}

TEST(TreeEnsemble, DamagedTreesAreRefused) {
  EXPECT_THAT(Refusal([](auto& graph) { Attribute(graph, "nodes_truenodeids").set_ints(0, 2); }),
              HasSubstr("no trees"));
  EXPECT_THAT(Refusal([](auto& graph) { Attribute(graph, "nodes_truenodeids").set_ints(0, 9); }),
              HasSubstr("no trees"));
  EXPECT_THAT(Refusal([](auto& graph) { Attribute(graph, "nodes_truenodeids").set_ints(0, -1); }),
              HasSubstr("splits nothing"));
  EXPECT_THAT(Refusal([](auto& graph) { Attribute(graph, "nodes_featureids").set_ints(0, 3); }),
              HasSubstr("splits nothing"));
  EXPECT_THAT(Refusal([](auto& graph) { Attribute(graph, "nodes_treeids").set_ints(1, 7); }),
              HasSubstr("in order"));
  EXPECT_THAT(Refusal([](auto& graph) { Attribute(graph, "target_nodeids").set_ints(0, -4); }),
              HasSubstr("no leaf"));
  EXPECT_THAT(Refusal([](auto& graph) { Attribute(graph, "nodes_treeids").clear_ints(); }),
              HasSubstr("no trees"));
}

// A chain of `depth` splits.
std::string Chain(std::int64_t depth) {
  onnx::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(Explained()));
  onnx::GraphProto& graph = *model.mutable_graph();
  for (const char* name : {"nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values",
                           "nodes_modes", "nodes_truenodeids", "nodes_falsenodeids",
                           "nodes_missing_value_tracks_true", "nodes_hitrates"}) {
    onnx::AttributeProto& attribute = Attribute(graph, name);
    attribute.clear_ints();
    attribute.clear_floats();
    attribute.clear_strings();
  }
  const auto add = [&graph](std::int64_t id, bool leaf, float cover) {
    Attribute(graph, "nodes_treeids").add_ints(0);
    Attribute(graph, "nodes_nodeids").add_ints(id);
    Attribute(graph, "nodes_featureids").add_ints(0);
    Attribute(graph, "nodes_values").add_floats(0);
    Attribute(graph, "nodes_modes").add_strings(leaf ? "LEAF" : "BRANCH_LT");
    Attribute(graph, "nodes_truenodeids").add_ints(leaf ? 0 : id + 1);
    Attribute(graph, "nodes_falsenodeids").add_ints(leaf ? 0 : id + 2);
    Attribute(graph, "nodes_missing_value_tracks_true").add_ints(0);
    Attribute(graph, "nodes_hitrates").add_floats(cover);
  };
  // Node 2 d splits into the leaf 2 d + 1 and node 2 d + 2.
  for (std::int64_t d = 0; d < depth; ++d) {
    add(2 * d, false, static_cast<float>(depth - d + 1));
    add(2 * d + 1, true, 1);
  }
  add(2 * depth, true, 1);
  Attribute(graph, "target_nodeids").set_ints(1, 2 * depth);
  return model.SerializeAsString();
}

TEST(TreeEnsemble, DepthAndBytesAreLimited) {
  const auto most = static_cast<std::int64_t>(limits::kExplainedDepth);
  const auto deep = ReadTreeEnsemble(Chain(most), 3);
  ASSERT_TRUE(deep) << deep.error().message();
  EXPECT_EQ(deep->depth, limits::kExplainedDepth);
  EXPECT_THAT(ReadTreeEnsemble(Chain(most + 1), 3).error().message(), HasSubstr("kExplainedDepth"));
  const std::string large(limits::kExplainedModelBytes + 1, 'x');
  EXPECT_THAT(ReadTreeEnsemble(large, 3).error().message(), HasSubstr("kExplainedModelBytes"));
}

}  // namespace
}  // namespace skerry
