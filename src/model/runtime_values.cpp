#include "model/runtime_values.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <utility>

namespace skerry {
namespace {

// The library's types by ours, in the order of TensorType.
constexpr std::array<ONNXTensorElementDataType, 13> kRuntimeTypes = {
    ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,   ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16,  ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,  ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,  ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING};

ONNXTensorElementDataType ToRuntime(TensorType type) {
  return kRuntimeTypes[static_cast<std::size_t>(type)];
}

std::optional<TensorType> FromRuntime(ONNXTensorElementDataType type) {
  const auto found = std::find(kRuntimeTypes.begin(), kRuntimeTypes.end(), type);
  if (found == kRuntimeTypes.end()) return std::nullopt;
  return static_cast<TensorType>(found - kRuntimeTypes.begin());
}

Result<Tensor> FromRuntimeTensor(const Ort::Value& value, const std::string& name) {
  const auto info = value.GetTensorTypeAndShapeInfo();
  const std::optional<TensorType> type = FromRuntime(info.GetElementType());
  if (!type)
    return Fail(ErrorCode::kUnimplemented,
                "output \"{}\" has an element type that has no name here", name);
  Tensor tensor;
  tensor.name = name;
  tensor.Resize(*type, info.GetShape());
  if (*type == TensorType::kString) {
    for (std::size_t i = 0; i < tensor.strings.size(); ++i)
      tensor.strings[i] = value.GetStringTensorElement(i);
  } else if (!tensor.bytes.empty()) {
    std::memcpy(tensor.bytes.data(), value.GetTensorRawData(), tensor.bytes.size());
  }
  return tensor;
}

// Puts tensors of one type and shape behind each other along a new first axis.
Result<Tensor> Stack(std::vector<Tensor> parts, const TensorSpec& spec) {
  Tensor stacked;
  stacked.name = spec.name;
  if (parts.empty()) {
    stacked.Resize(spec.type, {0});
    return stacked;
  }
  std::vector<std::int64_t> shape = {static_cast<std::int64_t>(parts.size())};
  shape.insert(shape.end(), parts[0].shape.begin(), parts[0].shape.end());
  for (const Tensor& part : parts)
    if (part.type != parts[0].type || part.shape != parts[0].shape)
      return Fail(
          ErrorCode::kUnimplemented,
          "output \"{}\" is a sequence of tensors {} and {}: only equal shapes fit into one "
          "tensor",
          spec.name, ShapeText(parts[0].shape), ShapeText(part.shape));
  stacked.type = parts[0].type;
  stacked.shape = std::move(shape);
  for (Tensor& part : parts) {
    stacked.bytes += part.bytes;
    std::move(part.strings.begin(), part.strings.end(), std::back_inserter(stacked.strings));
  }
  return stacked;
}

// A sequence of maps (a map alone: one row of them) with the same keys in all.
Result<Tensor> FromMaps(const Ort::Value& sequence, const TensorSpec& spec, OutputKind kind) {
  Ort::AllocatorWithDefaultOptions allocator;
  std::vector<Tensor> keys;
  std::vector<Tensor> values;
  for (std::size_t i = 0; i < sequence.GetCount(); ++i) {
    const Ort::Value map = sequence.GetValue(static_cast<int>(i), allocator);
    SKERRY_ASSIGN_OR_RETURN(Tensor key, FromRuntimeTensor(map.GetValue(0, allocator), spec.name));
    if (!keys.empty() && (key.bytes != keys[0].bytes || key.strings != keys[0].strings))
      return Fail(ErrorCode::kUnimplemented,
                  "output \"{}\" has maps of different keys: they do not fit into one tensor",
                  spec.name);
    if (keys.empty()) keys.push_back(std::move(key));
    if (kind == OutputKind::kMapKeys) continue;
    SKERRY_ASSIGN_OR_RETURN(Tensor value, FromRuntimeTensor(map.GetValue(1, allocator), spec.name));
    values.push_back(std::move(value));
  }
  if (kind == OutputKind::kMapValues) return Stack(std::move(values), spec);
  if (!keys.empty()) return std::move(keys[0]);
  return Stack({}, spec);
}

}  // namespace

std::optional<TensorSpec> SpecOf(std::string name, const Ort::TypeInfo& info) {
  if (info.GetONNXType() != ONNX_TYPE_TENSOR) return std::nullopt;
  const auto tensor = info.GetTensorTypeAndShapeInfo();
  const std::optional<TensorType> type = FromRuntime(tensor.GetElementType());
  if (!type) return std::nullopt;
  TensorSpec spec{std::move(name), *type, tensor.GetShape(), true};
  // The library tells an unknown rank and a scalar alike; take it as "any".
  spec.has_shape = !spec.shape.empty();
  for (std::int64_t& dimension : spec.shape) dimension = std::max<std::int64_t>(dimension, -1);
  return spec;
}

std::vector<OutputPart> PartsOf(const std::string& name, const Ort::TypeInfo& info) {
  std::vector<OutputPart> parts;
  if (auto spec = SpecOf(name, info)) parts.push_back({std::move(*spec), OutputKind::kTensor});
  if (info.GetONNXType() != ONNX_TYPE_SEQUENCE) return parts;
  const Ort::TypeInfo element = info.GetSequenceTypeInfo().GetSequenceElementType();
  if (auto spec = SpecOf(name, element)) {
    if (spec->has_shape) spec->shape.insert(spec->shape.begin(), -1);
    parts.push_back({std::move(*spec), OutputKind::kStack});
  }
  if (element.GetONNXType() != ONNX_TYPE_MAP) return parts;
  const auto map = element.GetMapTypeInfo();
  const auto value = SpecOf(name, map.GetMapValueType());
  const auto key = FromRuntime(map.GetMapKeyType());
  if (!value || !key) return parts;
  parts.push_back({{name, value->type, {-1, -1}, true}, OutputKind::kMapValues});
  parts.push_back({{name + "_keys", *key, {-1}, true}, OutputKind::kMapKeys});
  return parts;
}

Ort::Value ToRuntimeValue(const Tensor& tensor, const Ort::MemoryInfo& memory) {
  if (tensor.type != TensorType::kString)
    // The library takes a mutable pointer for what it only reads.
    return Ort::Value::CreateTensor(memory, const_cast<char*>(tensor.bytes.data()),
                                    tensor.bytes.size(), tensor.shape.data(), tensor.shape.size(),
                                    ToRuntime(tensor.type));
  Ort::AllocatorWithDefaultOptions allocator;
  Ort::Value value = Ort::Value::CreateTensor(allocator, tensor.shape.data(), tensor.shape.size(),
                                              ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING);
  for (std::size_t i = 0; i < tensor.strings.size(); ++i) {
    const std::string& text = tensor.strings[i];
    std::memcpy(value.GetResizedStringTensorElementBuffer(i, text.size()), text.data(),
                text.size());
  }
  return value;
}

Result<Tensor> FromRuntimeValue(const Ort::Value& value, const TensorSpec& spec, OutputKind kind) {
  if (kind == OutputKind::kTensor) return FromRuntimeTensor(value, spec.name);
  if (kind != OutputKind::kStack) return FromMaps(value, spec, kind);
  Ort::AllocatorWithDefaultOptions allocator;
  std::vector<Tensor> parts;
  for (std::size_t i = 0; i < value.GetCount(); ++i) {
    SKERRY_ASSIGN_OR_RETURN(
        Tensor tensor,
        FromRuntimeTensor(value.GetValue(static_cast<int>(i), allocator), spec.name));
    parts.push_back(std::move(tensor));
  }
  return Stack(std::move(parts), spec);
}

}  // namespace skerry
