// The adapter of ONNX Runtime: one loaded ONNX graph that can be run. One Env a process, made on
// the first load, telemetry off; a session runs on the calling thread alone (intra-op 1, no
// spinning, CPU).
//
// A graph that is one tree ensemble, alone or as skerry train ends it, is walked by a TreeRunner
// instead, which on load gave the runtime's answers (see tree_runner.h).
//
// Outputs that are no tensors become plain tensors: a sequence of tensors of one shape is stacked
// along a new first axis; a sequence of maps (as tree converters emit) becomes its values [N,K]
// under the output's name and its keys [K] under that name + "_keys". Sequences of different shapes
// and maps of different keys are refused when they come (kUnimplemented).
//
// Life: Load -> Run as often as wanted -> destroyed. Run is thread-safe; a session is shared by
// all event loops. Errors by code: kNotFound (no such file), kDataLoss (truncated or no ONNX),
// kUnimplemented (an opset, IR version or operator that this runtime does not support),
// kInvalidArgument (a tensor of wrong name, type or shape; the message names it, what was expected
// and what came), kInternal (the runtime failed while running).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/tensor.h"

namespace skerry {

// Of the library that runs here: "1.22.0".
std::string OnnxRuntimeVersion();

class OnnxSession {
 public:
  static Result<std::unique_ptr<OnnxSession>> Load(const std::filesystem::path& path);
  // `what` names the model in errors.
  static Result<std::unique_ptr<OnnxSession>> LoadBytes(std::string_view bytes,
                                                        std::string_view what);
  ~OnnxSession();
  OnnxSession(const OnnxSession&) = delete;
  OnnxSession& operator=(const OnnxSession&) = delete;

  const std::vector<TensorSpec>& inputs() const { return inputs_; }
  const std::vector<TensorSpec>& outputs() const { return outputs_; }
  // Every input and output has a free first dimension: rows of several requests may share a run.
  bool batches() const { return batches_; }
  // Whether a TreeRunner stands in for the runtime.
  bool walks_trees() const;

  // `given` in any order, matched by name; every declared input must be there. `wanted` names the
  // outputs and their order; empty means all.
  Result<std::vector<Tensor>> Run(std::span<const Tensor> given,
                                  std::span<const std::string> wanted = {}) const;

  // The hot path: input 0 is float32 [rows, columns], output `output` is float32 with `out.size()`
  // elements, written into `out` without a copy. The caller has checked the specs (see
  // RequireMatrix). kInternal when the runtime refuses.
  Status RunMatrix(std::span<const float> in, std::size_t rows, std::size_t columns,
                   std::size_t output, std::span<float> out, std::size_t out_columns) const;

  // Checks that the graph has exactly the input "input" float32 [N, columns] and an output `output`
  // float32 [N, out_columns]; returns the output's index. kInvalidArgument says what differs.
  Result<std::size_t> RequireMatrix(std::size_t columns, std::string_view output,
                                    std::size_t out_columns) const;

 private:
  struct Runtime;
  OnnxSession();
  Status Describe(std::string_view what);
  // Walks trees from now on where `onnx` is an ensemble that gives the same answers so.
  void AdoptTrees(std::string_view onnx);

  std::unique_ptr<Runtime> runtime_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  bool batches_ = false;
};

}  // namespace skerry
