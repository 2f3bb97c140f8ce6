// Typed n-dimensional arrays as they go into and come out of a model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry {

enum class TensorType : std::uint8_t {
  kBool,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
  kFloat16,
  kFloat32,
  kFloat64,
  kString,
};

// The names of the Open Inference Protocol v2: BOOL, INT8 ... UINT64, FP16, FP32, FP64, BYTES.
std::string_view TensorTypeName(TensorType type);
Result<TensorType> ParseTensorType(std::string_view name);
// Bytes of one element; 0 for kString.
std::size_t TensorElementBytes(TensorType type);

// A model's declared input or output. A dimension of -1 is free.
struct TensorSpec {
  std::string name;
  TensorType type = TensorType::kFloat32;
  std::vector<std::int64_t> shape;
  bool has_shape = true;  // false: any rank

  std::string ToString() const;  // "input FP32 [-1,6]"
};

// Owns its elements. Reusing one keeps its capacity. Not thread-safe.
struct Tensor {
  std::string name;
  TensorType type = TensorType::kFloat32;
  std::vector<std::int64_t> shape;   // every dimension >= 0
  std::string bytes;                 // elements in native order, row-major; empty for kString
  std::vector<std::string> strings;  // elements of kString

  // The product of the shape.
  std::size_t elements() const;
  template <typename T>
  std::span<const T> View() const {
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  template <typename T>
  std::span<T> MutableView() {
    return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  // Sets the shape and sizes the storage for it; elements are zero or empty.
  void Resize(TensorType new_type, std::vector<std::int64_t> new_shape);
};

// Elements of a shape; kInvalidArgument on a negative dimension, kTooLarge over
// limits::kTensorElements (also when the product overflows).
Result<std::size_t> CountElements(std::span<const std::int64_t> shape);
std::string ShapeText(std::span<const std::int64_t> shape);  // "[2,6]"

}  // namespace skerry
