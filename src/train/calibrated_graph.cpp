// How a calibration gets into an exported graph (calibration.h).
#include <algorithm>

#include "train/calibration.h"
#include "train/onnx_graph.h"

namespace skerry {
namespace {

onnx::AttributeProto* Attribute(onnx::NodeProto& node, const char* name) {
  for (onnx::AttributeProto& attribute : *node.mutable_attribute())
    if (attribute.name() == name) return &attribute;
  return nullptr;
}

// The trees give scale * margin + shift instead of the margin.
Status ScaleTrees(onnx::GraphProto& graph, const Calibration& calibration) {
  const auto trees = std::ranges::find(*graph.mutable_node(), "TreeEnsembleRegressor",
                                       [](const onnx::NodeProto& n) { return n.op_type(); });
  onnx::AttributeProto* weights =
      trees == graph.mutable_node()->end() ? nullptr : Attribute(*trees, "target_weights");
  if (weights == nullptr)
    return Fail(ErrorCode::kInternal, "the exported predictor has no trees to calibrate");
  for (float& weight : *weights->mutable_floats())
    weight = static_cast<float>(calibration.scale * weight);
  onnx::AttributeProto* base = Attribute(*trees, "base_values");
  if (base == nullptr) {
    base = trees->add_attribute();
    base->set_name("base_values");
    base->set_type(onnx::AttributeProto::FLOATS);
    base->add_floats(0);
  }
  if (base->floats_size() != 1)
    return Fail(ErrorCode::kInternal, "the exported predictor starts from {} margins",
                base->floats_size());
  base->set_floats(0, static_cast<float>(calibration.scale * base->floats(0) + calibration.shift));
  return {};
}

// In the place of Sigmoid: the first probability, and each stretch between two points adds its rise
// as far as the margin is on its way through it.
void AddStretches(onnx::GraphProto& graph, const Calibration& calibration,
                  const std::string& margin, const std::string& positive) {
  const std::size_t points = calibration.margins.size();
  std::vector<float> starts, widths, rises;
  for (std::size_t i = 0; i + 1 < points; ++i) {
    starts.push_back(calibration.margins[i]);
    widths.push_back(calibration.margins[i + 1] - calibration.margins[i]);
    rises.push_back(calibration.probabilities[i + 1] - calibration.probabilities[i]);
  }
  if (starts.empty()) {  // one probability for all
    starts = {calibration.margins.front()};
    widths = {1};
    rises = {0};
  }
  const auto stretches = static_cast<std::int64_t>(starts.size());
  AddMatrixConstant(graph, "calibration_starts", starts, 1, stretches);
  AddMatrixConstant(graph, "calibration_widths", widths, 1, stretches);
  AddMatrixConstant(graph, "calibration_rises", rises, stretches, 1);
  const float least[] = {calibration.probabilities.front()};
  AddMatrixConstant(graph, "calibration_least", least, 1, 1);
  AddNumberConstant(graph, "calibration_none", 0);
  AddNumberConstant(graph, "calibration_all", 1);
  AddGraphNode(graph, "Sub", {margin, "calibration_starts"}, "calibration_past");
  AddGraphNode(graph, "Div", {"calibration_past", "calibration_widths"}, "calibration_share");
  AddGraphNode(graph, "Clip", {"calibration_share", "calibration_none", "calibration_all"},
               "calibration_way");
  AddGraphNode(graph, "MatMul", {"calibration_way", "calibration_rises"}, "calibration_rise");
  AddGraphNode(graph, "Add", {"calibration_rise", "calibration_least"}, "calibration_sum");
  AddGraphNode(graph, "Clip", {"calibration_sum", "calibration_none", "calibration_all"}, positive);
}

}  // namespace

Result<std::string> CalibrateGraph(const std::string& onnx, const Calibration& calibration) {
  if (calibration.kind == CalibrationKind::kNone) return onnx;
  onnx::ModelProto model;
  if (!model.ParseFromString(onnx))
    return Fail(ErrorCode::kInternal, "the exported predictor is no ONNX");
  onnx::GraphProto& graph = *model.mutable_graph();
  if (calibration.kind == CalibrationKind::kSigmoid) {
    SKERRY_RETURN_IF_ERROR(ScaleTrees(graph, calibration));
    return SerializeGraph(model);
  }
  const std::vector<onnx::NodeProto> nodes(graph.node().begin(), graph.node().end());
  const auto is_sigmoid = [](const onnx::NodeProto& n) { return n.op_type() == "Sigmoid"; };
  if (std::ranges::count_if(nodes, is_sigmoid) != 1)
    return Fail(ErrorCode::kInternal, "the exported predictor has no one logistic function");
  graph.clear_node();
  for (const onnx::NodeProto& node : nodes) {
    if (is_sigmoid(node))
      AddStretches(graph, calibration, node.input(0), node.output(0));
    else
      *graph.add_node() = node;
  }
  return SerializeGraph(model);
}

}  // namespace skerry
