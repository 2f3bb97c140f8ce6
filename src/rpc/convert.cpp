#include "rpc/convert.h"

#include <limits>
#include <utility>

#include "base/limits.h"
#include "serve/binary_tensors.h"

namespace skerry {
namespace {

using InputMessage = inference::ModelInferRequest::InferInputTensor;
using RequestedMessage = inference::ModelInferRequest::InferRequestedOutputTensor;
using Contents = inference::InferTensorContents;
using OutputMessage = inference::ModelInferResponse::InferOutputTensor;

std::size_t TypedCount(const Contents& contents) {
  return static_cast<std::size_t>(contents.bool_contents_size()) +
         static_cast<std::size_t>(contents.int_contents_size()) +
         static_cast<std::size_t>(contents.int64_contents_size()) +
         static_cast<std::size_t>(contents.uint_contents_size()) +
         static_cast<std::size_t>(contents.uint64_contents_size()) +
         static_cast<std::size_t>(contents.fp32_contents_size()) +
         static_cast<std::size_t>(contents.fp64_contents_size()) +
         static_cast<std::size_t>(contents.bytes_contents_size());
}

Status CheckCount(const Tensor& tensor, std::string_view member, std::size_t came,
                  std::size_t in_all) {
  const std::size_t expected = tensor.elements();
  if (came == expected && in_all == came) return {};
  if (in_all != came)
    return Fail(ErrorCode::kInvalidArgument,
                "input \"{}\": {} travels in {} alone, and other contents came with it",
                tensor.name, TensorTypeName(tensor.type), member);
  return Fail(ErrorCode::kInvalidArgument,
              "input \"{}\": its shape {} has {} elements, {} holds {}", tensor.name,
              ShapeText(tensor.shape), expected, member, came);
}

// `From` is what the wire has, `To` what the tensor holds; a value that does not fit is refused.
template <typename To, typename Values>
Status TakeNumbers(const Values& values, std::string_view member, std::size_t in_all,
                   Tensor& tensor) {
  SKERRY_RETURN_IF_ERROR(
      CheckCount(tensor, member, static_cast<std::size_t>(values.size()), in_all));
  tensor.Resize(tensor.type, std::move(tensor.shape));
  const std::span<To> out = tensor.MutableView<To>();
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto value = values.Get(static_cast<int>(i));
    out[i] = static_cast<To>(value);
    if constexpr (sizeof(To) < sizeof(value)) {
      if (static_cast<decltype(+value)>(out[i]) != value)
        return Fail(ErrorCode::kInvalidArgument, "input \"{}\": element {} is {}, outside {}",
                    tensor.name, i, value, TensorTypeName(tensor.type));
    }
  }
  return {};
}

Status TakeTyped(Contents& contents, Tensor& tensor) {
  const std::size_t all = TypedCount(contents);
  switch (tensor.type) {
    case TensorType::kBool:
      return TakeNumbers<bool>(contents.bool_contents(), "bool_contents", all, tensor);
    case TensorType::kInt8:
      return TakeNumbers<std::int8_t>(contents.int_contents(), "int_contents", all, tensor);
    case TensorType::kInt16:
      return TakeNumbers<std::int16_t>(contents.int_contents(), "int_contents", all, tensor);
    case TensorType::kInt32:
      return TakeNumbers<std::int32_t>(contents.int_contents(), "int_contents", all, tensor);
    case TensorType::kInt64:
      return TakeNumbers<std::int64_t>(contents.int64_contents(), "int64_contents", all, tensor);
    case TensorType::kUint8:
      return TakeNumbers<std::uint8_t>(contents.uint_contents(), "uint_contents", all, tensor);
    case TensorType::kUint16:
      return TakeNumbers<std::uint16_t>(contents.uint_contents(), "uint_contents", all, tensor);
    case TensorType::kUint32:
      return TakeNumbers<std::uint32_t>(contents.uint_contents(), "uint_contents", all, tensor);
    case TensorType::kUint64:
      return TakeNumbers<std::uint64_t>(contents.uint64_contents(), "uint64_contents", all, tensor);
    case TensorType::kFloat32:
      return TakeNumbers<float>(contents.fp32_contents(), "fp32_contents", all, tensor);
    case TensorType::kFloat64:
      return TakeNumbers<double>(contents.fp64_contents(), "fp64_contents", all, tensor);
    case TensorType::kFloat16:
      return Fail(ErrorCode::kInvalidArgument,
                  "input \"{}\": FP16 travels in raw_input_contents only", tensor.name);
    case TensorType::kString: break;
  }
  auto& texts = *contents.mutable_bytes_contents();
  SKERRY_RETURN_IF_ERROR(
      CheckCount(tensor, "bytes_contents", static_cast<std::size_t>(texts.size()), all));
  tensor.strings.reserve(static_cast<std::size_t>(texts.size()));
  for (std::string& text : texts) tensor.strings.push_back(std::move(text));
  return {};
}

Result<Tensor> DecodeHead(InputMessage& message) {
  Tensor tensor;
  tensor.name = std::move(*message.mutable_name());
  SKERRY_ASSIGN_OR_RETURN(tensor.type, ParseTensorType(message.datatype()),
                          fmt::format("input \"{}\"", tensor.name));
  const auto rank = static_cast<std::size_t>(message.shape_size());
  if (rank > limits::kTensorRank)
    return Fail(ErrorCode::kTooLarge, "input \"{}\": {} dimensions, the limit is {}", tensor.name,
                rank, limits::kTensorRank);
  tensor.shape.assign(message.shape().begin(), message.shape().end());
  SKERRY_RETURN_IF_ERROR(CountElements(tensor.shape), fmt::format("input \"{}\"", tensor.name));
  return tensor;
}

std::string ParameterText(const inference::InferParameter& value) {
  switch (value.parameter_choice_case()) {
    case inference::InferParameter::kBoolParam: return value.bool_param() ? "true" : "false";
    case inference::InferParameter::kInt64Param: return fmt::format("{}", value.int64_param());
    case inference::InferParameter::kUint64Param: return fmt::format("{}", value.uint64_param());
    case inference::InferParameter::kDoubleParam: return fmt::format("{}", value.double_param());
    case inference::InferParameter::kStringParam: return value.string_param();
    case inference::InferParameter::PARAMETER_CHOICE_NOT_SET: break;
  }
  return {};
}

// The number of classes that the output is asked for; 0 when it is asked for as it is.
Result<std::size_t> ClassificationOf(const RequestedMessage& output) {
  const auto found = output.parameters().find("classification");
  if (found == output.parameters().end()) return std::size_t{0};
  const inference::InferParameter& value = found->second;
  const std::int64_t classes =
      value.parameter_choice_case() == inference::InferParameter::kUint64Param
          ? static_cast<std::int64_t>(value.uint64_param())
          : value.int64_param();
  if (classes <= 0)
    return Fail(ErrorCode::kInvalidArgument,
                "output \"{}\": classification is a number of classes above 0, \"{}\" came",
                output.name(), ParameterText(value));
  return static_cast<std::size_t>(classes);
}

template <typename Values, typename View>
void PutNumbers(Values& values, View view) {
  values.Reserve(static_cast<int>(view.size()));
  for (const auto value : view) values.AddAlreadyReserved(value);
}

void PutTyped(Tensor& tensor, Contents& contents) {
  switch (tensor.type) {
    case TensorType::kBool:
      return PutNumbers(*contents.mutable_bool_contents(), tensor.View<bool>());
    case TensorType::kInt8:
      return PutNumbers(*contents.mutable_int_contents(), tensor.View<std::int8_t>());
    case TensorType::kInt16:
      return PutNumbers(*contents.mutable_int_contents(), tensor.View<std::int16_t>());
    case TensorType::kInt32:
      return PutNumbers(*contents.mutable_int_contents(), tensor.View<std::int32_t>());
    case TensorType::kInt64:
      return PutNumbers(*contents.mutable_int64_contents(), tensor.View<std::int64_t>());
    case TensorType::kUint8:
      return PutNumbers(*contents.mutable_uint_contents(), tensor.View<std::uint8_t>());
    case TensorType::kUint16:
      return PutNumbers(*contents.mutable_uint_contents(), tensor.View<std::uint16_t>());
    case TensorType::kUint32:
      return PutNumbers(*contents.mutable_uint_contents(), tensor.View<std::uint32_t>());
    case TensorType::kUint64:
      return PutNumbers(*contents.mutable_uint64_contents(), tensor.View<std::uint64_t>());
    case TensorType::kFloat32:
      return PutNumbers(*contents.mutable_fp32_contents(), tensor.View<float>());
    case TensorType::kFloat64:
      return PutNumbers(*contents.mutable_fp64_contents(), tensor.View<double>());
    case TensorType::kFloat16: return;  // FormFor chose raw
    case TensorType::kString: break;
  }
  for (std::string& text : tensor.strings) contents.add_bytes_contents(std::move(text));
}

}  // namespace

Result<DecodedRequest> DecodeRequest(inference::ModelInferRequest& message) {
  const auto inputs = static_cast<std::size_t>(message.inputs_size());
  const auto raws = static_cast<std::size_t>(message.raw_input_contents_size());
  if (inputs > limits::kTensorsPerRequest)
    return Fail(ErrorCode::kTooLarge, "{} inputs, the limit is {}", inputs,
                limits::kTensorsPerRequest);
  if (message.id().size() > limits::kRequestIdBytes)
    return Fail(ErrorCode::kTooLarge, "id has {} bytes, the limit is {}", message.id().size(),
                limits::kRequestIdBytes);
  if (raws != 0 && raws != inputs)
    return Fail(ErrorCode::kInvalidArgument,
                "raw_input_contents has {} elements for {} inputs; expected one for each", raws,
                inputs);
  DecodedRequest decoded;
  const auto asked = message.parameters().find("binary_data_output");
  if (asked != message.parameters().end() && asked->second.has_bool_param() &&
      !asked->second.bool_param())
    decoded.form = TensorForm::kTyped;
  InferRequest& request = decoded.request;
  request.id = std::move(*message.mutable_id());
  request.inputs.reserve(inputs);
  for (std::size_t i = 0; i < inputs; ++i) {
    InputMessage& input = *message.mutable_inputs(static_cast<int>(i));
    SKERRY_ASSIGN_OR_RETURN(Tensor tensor, DecodeHead(input));
    if (raws == 0) {
      SKERRY_RETURN_IF_ERROR(TakeTyped(*input.mutable_contents(), tensor));
    } else if (TypedCount(input.contents()) != 0) {
      return Fail(ErrorCode::kInvalidArgument,
                  "input \"{}\" has contents beside raw_input_contents; expected one of them",
                  tensor.name);
    } else {
      SKERRY_RETURN_IF_ERROR(TakeRawElements(
          std::move(*message.mutable_raw_input_contents(static_cast<int>(i))), tensor));
    }
    request.inputs.push_back(std::move(tensor));
  }
  for (const auto& output : message.outputs()) {
    SKERRY_ASSIGN_OR_RETURN(const std::size_t classification, ClassificationOf(output));
    request.outputs.push_back({output.name(), classification, false});
  }
  for (const auto& [name, value] : message.parameters())
    request.parameters.emplace(name, ParameterValue{false, {ParameterText(value)}});
  return decoded;
}

void AddOutput(Tensor tensor, TensorForm form, inference::ModelInferResponse& answer) {
  OutputMessage& output = *answer.add_outputs();
  output.set_datatype(std::string(TensorTypeName(tensor.type)));
  output.mutable_shape()->Assign(tensor.shape.begin(), tensor.shape.end());
  if (form == TensorForm::kTyped)
    PutTyped(tensor, *output.mutable_contents());
  else if (tensor.type == TensorType::kString)
    AppendRawElements(tensor, *answer.add_raw_output_contents());
  else
    answer.add_raw_output_contents(std::move(tensor.bytes));
  output.set_name(std::move(tensor.name));
}

TensorForm FormFor(std::span<const Tensor> outputs, TensorForm asked) {
  for (const Tensor& tensor : outputs)
    if (tensor.type == TensorType::kFloat16) return TensorForm::kRaw;
  return asked;
}

inference::DataType ProtoTypeOf(TensorType type) {
  switch (type) {
    case TensorType::kBool: return inference::TYPE_BOOL;
    case TensorType::kInt8: return inference::TYPE_INT8;
    case TensorType::kInt16: return inference::TYPE_INT16;
    case TensorType::kInt32: return inference::TYPE_INT32;
    case TensorType::kInt64: return inference::TYPE_INT64;
    case TensorType::kUint8: return inference::TYPE_UINT8;
    case TensorType::kUint16: return inference::TYPE_UINT16;
    case TensorType::kUint32: return inference::TYPE_UINT32;
    case TensorType::kUint64: return inference::TYPE_UINT64;
    case TensorType::kFloat16: return inference::TYPE_FP16;
    case TensorType::kFloat32: return inference::TYPE_FP32;
    case TensorType::kFloat64: return inference::TYPE_FP64;
    case TensorType::kString: return inference::TYPE_STRING;
  }
  return inference::TYPE_INVALID;
}

}  // namespace skerry
