// From an ONNX graph that others made to the predictor of a model package: one float32 matrix in,
// probabilities or a number out (docs/formats/model-package.md). Inside train.
//
// The graph itself stays as it is; nodes before it take the matrix apart, nodes behind it give the
// output its form. A map or sequence of maps, as tree converters emit, is replaced by the tensor
// that it is made of.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/schema.h"
#include "model/tensor.h"

namespace skerry {

// What a graph wants and gives, as far as a package can use it.
struct ImportedGraph {
  struct Input {
    std::string name;
    TensorType type = TensorType::kFloat32;
    std::size_t rank = 2;     // 2: [N, columns]; 1: [N]
    std::size_t columns = 1;  // 0: not told
  };
  std::vector<Input> inputs;
  std::string output;                // whose values are probabilities, or the number
  std::vector<std::string> classes;  // of the probabilities, where the graph tells them
  bool probabilities = false;        // told by the graph: it has classes, or the name says so
  std::string producer;              // "skl2onnx 1.17.0"; "" when not told
};

// `output` names the output to use; empty: the one with class probabilities, or the only one of
// floating point. kDataLoss: no ONNX model; kInvalidArgument: no usable input or output, with those
// that there are.
Result<ImportedGraph> InspectGraph(std::string_view onnx, const std::string& output);

// How a row of the schema becomes the graph's inputs and its output the package's.
struct GraphImport {
  std::vector<const Field*> features;  // of the matrix, in order; views into the schema
  ModelTask task = ModelTask::kBinary;
  std::size_t columns = 2;        // of the package's output
  std::size_t graph_columns = 2;  // of the graph's: 1 for the probability of class 1 alone
  bool swap_classes = false;      // a binary graph whose first class is our class 1
};

// The predictor. Inputs of one column each take the features of their names, a single matrix takes
// all. Texts are given to the graph as the categories' words: "" for a missing or an unseen one.
// kInvalidArgument: inputs that the features do not fit, named.
Result<std::string> ImportGraph(std::string_view onnx, const ImportedGraph& graph,
                                const GraphImport& import);

}  // namespace skerry
