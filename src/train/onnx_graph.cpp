#include "train/onnx_graph.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

namespace skerry {
namespace {

onnx::TensorProto& AddMatrix(onnx::GraphProto& graph, const std::string& name,
                             onnx::TensorProto::DataType type, std::int64_t rows,
                             std::int64_t columns) {
  onnx::TensorProto& tensor = *graph.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(type);
  tensor.add_dims(rows);
  tensor.add_dims(columns);
  return tensor;
}

}  // namespace

void DescribeMatrix(onnx::ValueInfoProto& value, const std::string& name, std::size_t columns) {
  value.set_name(name);
  onnx::TypeProto::Tensor& tensor = *value.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(onnx::TensorProto::FLOAT);
  tensor.mutable_shape()->add_dim()->set_dim_param("N");
  tensor.mutable_shape()->add_dim()->set_dim_value(static_cast<std::int64_t>(columns));
}

onnx::ModelProto StartGraph(const std::string& name, std::size_t features) {
  constexpr std::int64_t kIrVersion = 8, kOpset = 17;
  onnx::ModelProto model;
  model.set_ir_version(kIrVersion);
  model.set_producer_name("skerry");
  onnx::OperatorSetIdProto& opset = *model.add_opset_import();
  opset.set_domain("");
  opset.set_version(kOpset);
  model.mutable_graph()->set_name(name);
  DescribeMatrix(*model.mutable_graph()->add_input(), "input", features);
  return model;
}

void AddMatrixConstant(onnx::GraphProto& graph, const std::string& name,
                       std::span<const float> values, std::int64_t rows, std::int64_t columns) {
  onnx::TensorProto& tensor = AddMatrix(graph, name, onnx::TensorProto::FLOAT, rows, columns);
  for (const float value : values) tensor.add_float_data(value);
}

void AddMatrixConstant(onnx::GraphProto& graph, const std::string& name,
                       std::span<const double> values, std::int64_t rows, std::int64_t columns) {
  onnx::TensorProto& tensor = AddMatrix(graph, name, onnx::TensorProto::DOUBLE, rows, columns);
  for (const double value : values) tensor.add_double_data(value);
}

void AddNumberConstant(onnx::GraphProto& graph, const std::string& name, float value) {
  onnx::TensorProto& tensor = *graph.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  tensor.add_float_data(value);
}

void AddDoubleConstant(onnx::GraphProto& graph, const std::string& name, double value) {
  onnx::TensorProto& tensor = *graph.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(onnx::TensorProto::DOUBLE);
  tensor.add_double_data(value);
}

void AddCast(onnx::GraphProto& graph, const std::string& input, const std::string& output,
             onnx::TensorProto::DataType to) {
  onnx::AttributeProto& type = *AddGraphNode(graph, "Cast", {input}, output).add_attribute();
  type.set_name("to");
  type.set_type(onnx::AttributeProto::INT);
  type.set_i(to);
}

onnx::NodeProto& AddGraphNode(onnx::GraphProto& graph, const std::string& op,
                              std::initializer_list<std::string> inputs,
                              const std::string& output) {
  onnx::NodeProto& node = *graph.add_node();
  node.set_op_type(op);
  node.set_name(output);
  for (const std::string& input : inputs) node.add_input(input);
  node.add_output(output);
  return node;
}

std::string SerializeGraph(const onnx::ModelProto& model) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    model.SerializeToCodedStream(&coded);
  }
  return bytes;
}

}  // namespace skerry
