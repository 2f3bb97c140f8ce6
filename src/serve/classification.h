// The classification extension of the Open Inference Protocol: of an output, the best classes
// instead of the tensor. Source: github.com/triton-inference-server/server,
// docs/protocol/extension_classification.md.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "model/tensor.h"

namespace skerry {

// Whether the elements of a tensor of that type can be put in order: numbers and BOOL.
bool CanClassify(TensorType type);

// Of each row (the first dimension, when there are two or more; the rest are its classes; a tensor
// of one dimension is one row) the `count` greatest elements, greatest first, as "value:index", or
// "value:index:label" where `labels` has one for the index. BYTES [rows, count], or [count] for one
// dimension or none; `count` is cut to the classes that there are. NaN comes last. `tensor` is of a
// type that CanClassify.
Tensor ClassesOf(const Tensor& tensor, std::size_t count, std::span<const std::string> labels);

}  // namespace skerry
