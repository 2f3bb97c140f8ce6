// Our tensors as ONNX Runtime's values, and its values as plain tensors: what session.h promises of
// sequences and maps. Inside model. Thread-safe: nothing is shared.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/tensor.h"

namespace skerry {

// What one of our outputs is of the graph's: itself, or the keys of its maps.
enum class OutputKind : std::uint8_t { kTensor, kStack, kMapKeys, kMapValues };

struct OutputPart {
  TensorSpec spec;
  OutputKind kind = OutputKind::kTensor;
};

// nullopt for what is no tensor or has a type without a name here.
std::optional<TensorSpec> SpecOf(std::string name, const Ort::TypeInfo& info);
// The plain tensors that stand for a graph's output; none when it cannot be answered.
std::vector<OutputPart> PartsOf(const std::string& name, const Ort::TypeInfo& info);

// Numbers are borrowed, texts are copied. Throws what the runtime throws.
Ort::Value ToRuntimeValue(const Tensor& tensor, const Ort::MemoryInfo& memory);
// kUnimplemented for a type without a name here, a sequence of different shapes, maps of different
// keys. Throws what the runtime throws.
Result<Tensor> FromRuntimeValue(const Ort::Value& value, const TensorSpec& spec, OutputKind kind);

}  // namespace skerry
