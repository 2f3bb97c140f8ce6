#include "model/tensor.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/limits.h"

namespace skerry {
namespace {

struct TypeFacts {
  std::string_view name;
  std::size_t bytes;
};
// In the order of TensorType.
constexpr std::array<TypeFacts, 13> kTypes = {{{"BOOL", 1},
                                               {"INT8", 1},
                                               {"INT16", 2},
                                               {"INT32", 4},
                                               {"INT64", 8},
                                               {"UINT8", 1},
                                               {"UINT16", 2},
                                               {"UINT32", 4},
                                               {"UINT64", 8},
                                               {"FP16", 2},
                                               {"FP32", 4},
                                               {"FP64", 8},
                                               {"BYTES", 0}}};

}  // namespace

std::string_view TensorTypeName(TensorType type) {
  return kTypes[static_cast<std::size_t>(type)].name;
}

Result<TensorType> ParseTensorType(std::string_view name) {
  for (std::size_t i = 0; i < kTypes.size(); ++i)
    if (kTypes[i].name == name) return static_cast<TensorType>(i);
  std::vector<std::string_view> names;
  for (const TypeFacts& facts : kTypes) names.push_back(facts.name);
  return Fail(ErrorCode::kInvalidArgument, "unknown datatype \"{}\", expected one of {}",
              name.substr(0, 32), fmt::join(names, ", "));
}

std::size_t TensorElementBytes(TensorType type) {
  return kTypes[static_cast<std::size_t>(type)].bytes;
}

std::string TensorSpec::ToString() const {
  return fmt::format("{} {} {}", name, TensorTypeName(type),
                     has_shape ? ShapeText(shape) : "[...]");
}

std::size_t Tensor::elements() const {
  std::size_t count = 1;
  for (const std::int64_t dimension : shape) count *= static_cast<std::size_t>(dimension);
  return count;
}

void Tensor::Resize(TensorType new_type, std::vector<std::int64_t> new_shape) {
  type = new_type;
  shape = std::move(new_shape);
  if (type == TensorType::kString) {
    bytes.clear();
    strings.assign(elements(), std::string());
    return;
  }
  strings.clear();
  bytes.assign(elements() * TensorElementBytes(type), '\0');
}

Result<std::size_t> CountElements(std::span<const std::int64_t> shape) {
  if (shape.size() > limits::kTensorRank)
    return Fail(ErrorCode::kTooLarge, "a shape of {} dimensions, the limit kTensorRank is {}",
                shape.size(), limits::kTensorRank);
  std::size_t count = 1;
  for (const std::int64_t dimension : shape) {
    if (dimension < 0)
      return Fail(ErrorCode::kInvalidArgument, "a negative dimension {}", dimension);
    const auto size = static_cast<std::size_t>(dimension);
    if (size != 0 && count > limits::kTensorElements / size)
      return Fail(ErrorCode::kTooLarge,
                  "shape {} has more elements than the limit kTensorElements {}", ShapeText(shape),
                  limits::kTensorElements);
    count *= size;
  }
  return count;
}

std::string ShapeText(std::span<const std::int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ","));
}

}  // namespace skerry
