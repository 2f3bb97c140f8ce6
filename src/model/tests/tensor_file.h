// Reads the reference tensors of ONNX's own test cases (input_0.pb, output_0.pb), for tests here
// and in the modules above.
#pragma once

#include <filesystem>
#include <optional>

#include "model/tensor.h"

namespace skerry::fixture {

// nullopt when there is no such file, or its element type has no name in the protocol.
std::optional<Tensor> ReadTensorFile(const std::filesystem::path& path);

}  // namespace skerry::fixture
