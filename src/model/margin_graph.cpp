#include "model/margin_graph.h"

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>

namespace skerry {
namespace {

bool Takes(const onnx::NodeProto& node, std::string_view op,
           std::initializer_list<std::string_view> inputs) {
  return node.op_type() == op && node.output_size() == 1 &&
         std::equal(node.input().begin(), node.input().end(), inputs.begin(), inputs.end());
}

// The one constant of the graph, a single number.
std::optional<float> ConstantOf(const onnx::GraphProto& graph) {
  if (graph.initializer_size() != 1) return std::nullopt;
  const onnx::TensorProto& tensor = graph.initializer(0);
  if (tensor.data_type() != onnx::TensorProto::FLOAT || tensor.float_data_size() != 1)
    return std::nullopt;
  return tensor.float_data(0);
}

// A graph, and the name of its only output that is no other node's input.
struct Ending {
  MarginGraph graph;
  std::string_view output;
};

std::optional<Ending> EndingOf(const onnx::GraphProto& graph) {
  const auto& nodes = graph.node();
  if (nodes.empty() || !Takes(nodes[0], "TreeEnsembleRegressor", {"input"})) return std::nullopt;
  const std::string& margin = nodes[0].output(0);
  if (nodes.size() == 1) return Ending{{MarginLink::kIdentity}, "value"};
  if (nodes.size() == 2 && Takes(nodes[1], "Softmax", {margin}))
    return Ending{{MarginLink::kSoftmax}, "probabilities"};
  if (nodes.size() == 2 && Takes(nodes[1], "Exp", {margin}))
    return Ending{{MarginLink::kExp}, "value"};
  const std::optional<float> constant = ConstantOf(graph);
  if (!constant) return std::nullopt;
  const std::string& name = graph.initializer(0).name();
  if (nodes.size() == 3 && Takes(nodes[1], "Mul", {margin, name}) &&
      Takes(nodes[2], "Exp", {nodes[1].output(0)}))
    return Ending{{MarginLink::kExp, *constant}, "anomaly_score"};
  if (nodes.size() == 4 && *constant == 1 && Takes(nodes[1], "Sigmoid", {margin}) &&
      Takes(nodes[2], "Sub", {name, nodes[1].output(0)}) &&
      Takes(nodes[3], "Concat", {nodes[2].output(0), nodes[1].output(0)}))
    return Ending{{MarginLink::kLogistic}, "probabilities"};
  return std::nullopt;
}

}  // namespace

std::optional<MarginGraph> ReadMarginGraph(const onnx::GraphProto& graph) {
  const std::optional<Ending> ending = EndingOf(graph);
  if (!ending || graph.output_size() != 1 || graph.output(0).name() != ending->output ||
      graph.node(graph.node_size() - 1).output(0) != ending->output)
    return std::nullopt;
  return ending->graph;
}

}  // namespace skerry
