#include "serve/json_tensor.h"

#include <cmath>
#include <limits>

#include "base/limits.h"

namespace skerry {
namespace {

namespace ondemand = simdjson::ondemand;

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

}  // namespace

Status ReadElements(ondemand::value& data, Tensor& tensor) {
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
              "input \"{}\": FP16 cannot travel as JSON; send it as binary data", tensor.name);
}

}  // namespace skerry
