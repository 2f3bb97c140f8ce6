// The pieces that exported ONNX graphs are made of. Inside train.
#pragma once

#include <onnx-ml.pb.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace skerry {

// A model of the graph `name` with the one input "input" float32 [N, features].
onnx::ModelProto StartGraph(const std::string& name, std::size_t features);
// Float32 [N, columns].
void DescribeMatrix(onnx::ValueInfoProto& value, const std::string& name, std::size_t columns);
// A constant [rows, columns].
void AddMatrixConstant(onnx::GraphProto& graph, const std::string& name,
                       std::span<const float> values, std::int64_t rows, std::int64_t columns);
void AddMatrixConstant(onnx::GraphProto& graph, const std::string& name,
                       std::span<const double> values, std::int64_t rows, std::int64_t columns);

// A constant without dimensions.
void AddNumberConstant(onnx::GraphProto& graph, const std::string& name, float value);
void AddDoubleConstant(onnx::GraphProto& graph, const std::string& name, double value);

void AddCast(onnx::GraphProto& graph, const std::string& input, const std::string& output,
             onnx::TensorProto::DataType to);

// A node named for its one output.
onnx::NodeProto& AddGraphNode(onnx::GraphProto& graph, const std::string& op,
                              std::initializer_list<std::string> inputs, const std::string& output);

// The same bytes for the same model.
std::string SerializeGraph(const onnx::ModelProto& model);

}  // namespace skerry
