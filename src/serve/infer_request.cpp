#include "serve/infer_request.h"

#include <cmath>
#include <limits>
#include <utility>

#include "base/limits.h"
#include "serve/json_read.h"

namespace skerry {
namespace {

namespace ondemand = simdjson::ondemand;
using json_read::KindName;

enum class Decoded : std::uint8_t {
  kDone,
  kWrongKind,
  kOutOfRange,
  kTooMany,
  kTooDeep,
  kMalformed
};

template <typename T>
Decoded ReadNumber(ondemand::value& value, T& out) {
  if constexpr (std::is_same_v<T, bool>) {
    return value.get_bool().get(out) ? Decoded::kWrongKind : Decoded::kDone;
  } else if constexpr (std::is_floating_point_v<T>) {
    double number = 0;
    if (const auto error = value.get_double().get(number)) {
      bool is_null = false;
      if (error != simdjson::INCORRECT_TYPE || value.is_null().get(is_null) || !is_null)
        return Decoded::kWrongKind;
      out = std::numeric_limits<T>::quiet_NaN();
      return Decoded::kDone;
    }
    out = static_cast<T>(number);
    return std::isfinite(out) ? Decoded::kDone : Decoded::kOutOfRange;
  } else {
    using Wide = std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>;
    Wide number = 0;
    simdjson::error_code error = simdjson::SUCCESS;
    if constexpr (std::is_signed_v<T>)
      error = value.get_int64().get(number);
    else
      error = value.get_uint64().get(number);
    if (error)
      return error == simdjson::NUMBER_OUT_OF_RANGE ? Decoded::kOutOfRange : Decoded::kWrongKind;
    if (number < Wide{std::numeric_limits<T>::min()} ||
        number > Wide{std::numeric_limits<T>::max()})
      return Decoded::kOutOfRange;
    out = static_cast<T>(number);
    return Decoded::kDone;
  }
}

// Puts elements one after the other into a tensor that has been sized by its shape.
template <typename T>
class ElementSink {
 public:
  explicit ElementSink(Tensor& tensor) : elements_(tensor.MutableView<T>()) {}
  Decoded Take(ondemand::value& value) {
    if (count_ == elements_.size()) return Decoded::kTooMany;
    const Decoded decoded = ReadNumber(value, elements_[count_]);
    if (decoded == Decoded::kDone) ++count_;
    return decoded;
  }
  // Elements taken: the index of the one that failed.
  std::size_t count() const { return count_; }

 private:
  std::span<T> elements_;
  std::size_t count_ = 0;
};

template <>
class ElementSink<std::string> {
 public:
  explicit ElementSink(Tensor& tensor) : elements_(tensor.strings) {}
  Decoded Take(ondemand::value& value) {
    if (count_ == elements_.size()) return Decoded::kTooMany;
    std::string_view text;
    if (value.get_string().get(text)) return Decoded::kWrongKind;
    elements_[count_++] = text;
    return Decoded::kDone;
  }
  std::size_t count() const { return count_; }

 private:
  std::span<std::string> elements_;
  std::size_t count_ = 0;
};

template <typename Sink>
Decoded DecodeData(ondemand::value& value, Sink& sink, std::size_t depth) {
  if (depth > limits::kTensorRank) return Decoded::kTooDeep;
  ondemand::array array;
  if (value.get_array().get(array)) return Decoded::kWrongKind;
  for (auto item : array) {
    ondemand::value element;
    ondemand::json_type type;
    if (item.get(element) || element.type().get(type)) return Decoded::kMalformed;
    const Decoded decoded = type == ondemand::json_type::array
                                ? DecodeData(element, sink, depth + 1)
                                : sink.Take(element);
    if (decoded != Decoded::kDone) return decoded;
  }
  return Decoded::kDone;
}

template <typename T>
Status DecodeAs(ondemand::value& data, Tensor& tensor) {
  ElementSink<T> sink(tensor);
  const Decoded decoded = DecodeData(data, sink, 1);
  const auto fail = [&](std::string_view what) {
    return Fail(ErrorCode::kInvalidArgument, "input \"{}\": data element {}: {}", tensor.name,
                sink.count(), what);
  };
  switch (decoded) {
    case Decoded::kDone: break;
    case Decoded::kWrongKind:
      return fail(
          fmt::format("expected {}, got something else (null is a missing value in FP32 and "
                      "FP64; JSON has no NaN)",
                      TensorTypeName(tensor.type)));
    case Decoded::kOutOfRange:
      return fail(fmt::format("a number that {} cannot hold", TensorTypeName(tensor.type)));
    case Decoded::kTooMany:
      return Fail(ErrorCode::kInvalidArgument,
                  "input \"{}\": shape {} wants {} elements, data has more", tensor.name,
                  ShapeText(tensor.shape), tensor.elements());
    case Decoded::kTooDeep: return fail("arrays nested too deeply");
    case Decoded::kMalformed: return fail("no valid JSON value (JSON has no NaN: send null)");
  }
  if (sink.count() != tensor.elements())
    return Fail(ErrorCode::kInvalidArgument,
                "input \"{}\": shape {} wants {} elements, data has {}", tensor.name,
                ShapeText(tensor.shape), tensor.elements(), sink.count());
  return {};
}

Status DecodeByType(ondemand::value& data, Tensor& tensor) {
  switch (tensor.type) {
    case TensorType::kBool: return DecodeAs<bool>(data, tensor);
    case TensorType::kInt8: return DecodeAs<std::int8_t>(data, tensor);
    case TensorType::kInt16: return DecodeAs<std::int16_t>(data, tensor);
    case TensorType::kInt32: return DecodeAs<std::int32_t>(data, tensor);
    case TensorType::kInt64: return DecodeAs<std::int64_t>(data, tensor);
    case TensorType::kUint8: return DecodeAs<std::uint8_t>(data, tensor);
    case TensorType::kUint16: return DecodeAs<std::uint16_t>(data, tensor);
    case TensorType::kUint32: return DecodeAs<std::uint32_t>(data, tensor);
    case TensorType::kUint64: return DecodeAs<std::uint64_t>(data, tensor);
    case TensorType::kFloat32: return DecodeAs<float>(data, tensor);
    case TensorType::kFloat64: return DecodeAs<double>(data, tensor);
    case TensorType::kString: return DecodeAs<std::string>(data, tensor);
    case TensorType::kFloat16: break;
  }
  return Fail(ErrorCode::kInvalidArgument,
              "input \"{}\": FP16 cannot travel as JSON; send FP32 to a model that takes it",
              tensor.name);
}

Result<std::vector<std::int64_t>> ReadShape(ondemand::object& object, const std::string& name) {
  std::vector<std::int64_t> shape;
  ondemand::array array;
  if (object.find_field_unordered("shape").get_array().get(array))
    return Fail(ErrorCode::kInvalidArgument,
                "input \"{}\": expected \"shape\", an array of integers", name);
  for (auto item : array) {
    std::int64_t dimension = 0;
    if (item.get_int64().get(dimension) || dimension < 0)
      return Fail(ErrorCode::kInvalidArgument, "input \"{}\": shape[{}] is no integer of 0 or more",
                  name, shape.size());
    if (shape.size() == limits::kTensorRank)
      return Fail(ErrorCode::kTooLarge, "input \"{}\": shape has more than {} dimensions", name,
                  limits::kTensorRank);
    shape.push_back(dimension);
  }
  return shape;
}

Status ReadInput(ondemand::value& value, std::size_t index, std::size_t body_bytes,
                 Tensor& tensor) {
  ondemand::object object;
  if (value.get_object().get(object))
    return Fail(ErrorCode::kInvalidArgument, "inputs[{}]: expected an object, got {}", index,
                KindName(value));
  std::string_view text;
  if (object.find_field_unordered("name").get_string().get(text))
    return Fail(ErrorCode::kInvalidArgument, "inputs[{}]: expected \"name\", a string", index);
  tensor.name = text;
  SKERRY_ASSIGN_OR_RETURN(std::vector<std::int64_t> shape, ReadShape(object, tensor.name));
  if (object.find_field_unordered("datatype").get_string().get(text))
    return Fail(ErrorCode::kInvalidArgument, "input \"{}\": expected \"datatype\", a string",
                tensor.name);
  SKERRY_ASSIGN_OR_RETURN(const TensorType type, ParseTensorType(text),
                          fmt::format("input \"{}\"", tensor.name));
  SKERRY_ASSIGN_OR_RETURN(const std::size_t elements, CountElements(shape),
                          fmt::format("input \"{}\"", tensor.name));
  // An element and its comma take two bytes: a small body cannot make a large allocation.
  if (elements > body_bytes / 2 + 1)
    return Fail(ErrorCode::kInvalidArgument,
                "input \"{}\": shape {} wants {} elements, more than the body can hold",
                tensor.name, ShapeText(shape), elements);
  tensor.Resize(type, std::move(shape));
  ondemand::value data;
  if (object.find_field_unordered("data").get(data))
    return Fail(ErrorCode::kInvalidArgument, "input \"{}\": expected \"data\", an array",
                tensor.name);
  return DecodeByType(data, tensor);
}

Status ReadInputs(ondemand::value& value, std::size_t body_bytes, std::vector<Tensor>& inputs) {
  ondemand::array array;
  if (value.get_array().get(array))
    return Fail(ErrorCode::kInvalidArgument, "inputs: expected an array, got {}", KindName(value));
  for (auto item : array) {
    ondemand::value element;
    if (item.get(element))
      return Fail(ErrorCode::kInvalidArgument, "inputs[{}] is no valid JSON", inputs.size());
    if (inputs.size() == limits::kTensorsPerRequest)
      return Fail(ErrorCode::kTooLarge, "more than {} inputs", limits::kTensorsPerRequest);
    Tensor tensor;
    SKERRY_RETURN_IF_ERROR(ReadInput(element, inputs.size(), body_bytes, tensor));
    inputs.push_back(std::move(tensor));
  }
  return {};
}

Status ReadOutputs(ondemand::value& value, std::vector<RequestedOutput>& outputs) {
  ondemand::array array;
  if (value.get_array().get(array))
    return Fail(ErrorCode::kInvalidArgument, "outputs: expected an array, got {}", KindName(value));
  for (auto item : array) {
    std::string_view name;
    if (item.find_field_unordered("name").get_string().get(name))
      return Fail(ErrorCode::kInvalidArgument, "outputs[{}]: expected an object with \"name\"",
                  outputs.size());
    if (outputs.size() == limits::kTensorsPerRequest)
      return Fail(ErrorCode::kTooLarge, "more than {} outputs", limits::kTensorsPerRequest);
    outputs.push_back({.name = std::string(name)});
  }
  return {};
}

Status ReadMember(std::string_view key, ondemand::value& value, std::size_t body_bytes,
                  InferRequest& request) {
  if (key == "inputs") return ReadInputs(value, body_bytes, request.inputs);
  if (key == "outputs") return ReadOutputs(value, request.outputs);
  if (key == "parameters") return json_read::ReadParameters(value, request.parameters);
  if (key != "id") return {};
  std::string_view id;
  if (value.get_string().get(id))
    return Fail(ErrorCode::kInvalidArgument, "id: expected a string, got {}", KindName(value));
  if (id.size() > limits::kRequestIdBytes)
    return Fail(ErrorCode::kTooLarge, "id has {} bytes, the limit kRequestIdBytes is {}", id.size(),
                limits::kRequestIdBytes);
  request.id = id;
  return {};
}

}  // namespace

std::vector<std::string> OutputNames(std::span<const RequestedOutput> outputs) {
  std::vector<std::string> names;
  names.reserve(outputs.size());
  for (const RequestedOutput& output : outputs) names.push_back(output.name);
  return names;
}

Result<InferRequest> ParseInferRequest(std::string& body) {
  SKERRY_ASSIGN_OR_RETURN(ondemand::document document, json_read::Start(body));
  ondemand::object object;
  if (document.get_object().get(object))
    return Fail(ErrorCode::kInvalidArgument,
                "expected a JSON object with \"inputs\" (Open Inference Protocol v2)");
  InferRequest request;
  for (auto item : object) {
    ondemand::field field;
    std::string_view key;
    if (const auto error = std::move(item).get(field))
      return tl::make_unexpected(json_read::Malformed(error, document, body));
    if (const auto error = field.unescaped_key().get(key))
      return tl::make_unexpected(json_read::Malformed(error, document, body));
    ondemand::value value = field.value();
    SKERRY_RETURN_IF_ERROR(ReadMember(key, value, body.size(), request));
  }
  if (!json_read::AtEnd(document))
    return Fail(ErrorCode::kInvalidArgument, "the body is no valid JSON: text after the object");
  if (request.inputs.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "expected \"inputs\", an array of at least one tensor");
  return request;
}

}  // namespace skerry
