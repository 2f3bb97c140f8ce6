#include "model/tests/tensor_file.h"

#include <onnx-ml.pb.h>

#include <fstream>

namespace skerry::fixture {
namespace {

template <typename T, typename Values>
void Fill(Tensor& tensor, const Values& values) {
  const std::span<T> out = tensor.MutableView<T>();
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<T>(values[static_cast<int>(i)]);
}

std::optional<TensorType> TypeOf(int type) {
  switch (type) {
    case onnx::TensorProto::BOOL: return TensorType::kBool;
    case onnx::TensorProto::INT8: return TensorType::kInt8;
    case onnx::TensorProto::INT16: return TensorType::kInt16;
    case onnx::TensorProto::INT32: return TensorType::kInt32;
    case onnx::TensorProto::INT64: return TensorType::kInt64;
    case onnx::TensorProto::UINT8: return TensorType::kUint8;
    case onnx::TensorProto::UINT16: return TensorType::kUint16;
    case onnx::TensorProto::UINT32: return TensorType::kUint32;
    case onnx::TensorProto::UINT64: return TensorType::kUint64;
    case onnx::TensorProto::FLOAT16: return TensorType::kFloat16;
    case onnx::TensorProto::FLOAT: return TensorType::kFloat32;
    case onnx::TensorProto::DOUBLE: return TensorType::kFloat64;
    case onnx::TensorProto::STRING: return TensorType::kString;
    default: return std::nullopt;
  }
}

void FillByType(Tensor& tensor, const onnx::TensorProto& proto) {
  switch (tensor.type) {
    case TensorType::kBool:
    case TensorType::kInt8:
    case TensorType::kUint8: return Fill<std::uint8_t>(tensor, proto.int32_data());
    case TensorType::kInt16:
    case TensorType::kUint16:
    case TensorType::kFloat16: return Fill<std::uint16_t>(tensor, proto.int32_data());
    case TensorType::kInt32: return Fill<std::int32_t>(tensor, proto.int32_data());
    case TensorType::kInt64: return Fill<std::int64_t>(tensor, proto.int64_data());
    case TensorType::kUint32: return Fill<std::uint32_t>(tensor, proto.uint64_data());
    case TensorType::kUint64: return Fill<std::uint64_t>(tensor, proto.uint64_data());
    case TensorType::kFloat32: return Fill<float>(tensor, proto.float_data());
    case TensorType::kFloat64: return Fill<double>(tensor, proto.double_data());
    case TensorType::kString:
      tensor.strings.assign(proto.string_data().begin(), proto.string_data().end());
  }
}

}  // namespace

std::optional<Tensor> ReadTensorFile(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  onnx::TensorProto proto;
  if (!proto.ParseFromIstream(&in)) return std::nullopt;
  const auto type = TypeOf(proto.data_type());
  if (!type) return std::nullopt;
  Tensor tensor;
  tensor.Resize(*type, {proto.dims().begin(), proto.dims().end()});
  if (proto.raw_data().empty())
    FillByType(tensor, proto);
  else
    tensor.bytes = proto.raw_data();
  return tensor;
}

}  // namespace skerry::fixture
