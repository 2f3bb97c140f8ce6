// The pieces that exported ONNX graphs are made of. Inside train.
#pragma once

#include <onnx-ml.pb.h>

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace skerry {

// A float32 constant [rows, columns].
void AddMatrixConstant(onnx::GraphProto& graph, const std::string& name,
                       std::span<const float> values, std::int64_t rows, std::int64_t columns);

// A float32 constant without dimensions.
void AddNumberConstant(onnx::GraphProto& graph, const std::string& name, float value);

// A node named for its one output.
onnx::NodeProto& AddGraphNode(onnx::GraphProto& graph, const std::string& op,
                              std::initializer_list<std::string> inputs, const std::string& output);

// The same bytes for the same model.
std::string SerializeGraph(const onnx::ModelProto& model);

}  // namespace skerry
