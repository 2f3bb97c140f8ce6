// JSON written straight into a string, without a tree: the answers of the hot path.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "model/tensor.h"

namespace skerry {

// With quotes and escapes; bytes that are no UTF-8 become U+FFFD.
void AppendJsonString(std::string& out, std::string_view text);
// The shortest text that reads back as the same number; null when it is not finite.
void AppendJsonNumber(std::string& out, float value);
void AppendJsonNumber(std::string& out, double value);
void AppendJsonNumber(std::string& out, std::int64_t value);
void AppendJsonNumber(std::string& out, std::uint64_t value);

// An IEEE 754 binary16 number by its bits.
float HalfToFloat(std::uint16_t half);

// {"name":..,"datatype":..,"shape":[..] of one, left open.
void AppendTensorHead(std::string& out, const Tensor& tensor);
// One member of an answer's `outputs`: {"name":..,"datatype":..,"shape":[..],"data":[..]}, data
// flat and row-major. FP16 elements are written as numbers.
void AppendTensor(std::string& out, const Tensor& tensor);

}  // namespace skerry
