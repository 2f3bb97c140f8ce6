// A model package of a model that others trained: any ONNX graph from a row's fields to class
// probabilities or a number, with a sample of rows that says what the fields are.
//
// The package's predictor is the graph in a frame (train/import_graph.h); its answers on the first
// 4,096 rows of the sample are compared with the graph's own before anything is written. The
// reference distributions are the sample's. No detector: anomalies are told by what is outside the
// sample's ranges.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/schema.h"

namespace skerry {

struct ImportOptions {
  // An .onnx file, or the directory of an MLflow model with the flavour onnx.
  std::filesystem::path model;
  std::filesystem::path sample;  // CSV, Parquet or NDJSON: rows as clients will send them
  std::string name, version;
  // The label's column, which the sample may have or not; needed but for a schema that names it.
  std::string label;
  std::string task;  // classification, multiclass or regression; empty: by the graph
  std::vector<std::string> classes;  // in the order of the probabilities; empty: as the graph says
  std::string positive;              // of two classes; empty: the second
  std::string output;                // of the graph; empty: the one with probabilities, or the only
  std::vector<std::string> ignore, context, id;  // columns of the sample that are no features
  // schema.json, instead of what is read off graph and sample; empty: none.
  std::filesystem::path schema;
  double threshold = 0.5;     // of a binary model
  std::filesystem::path out;  // the package directory to make
};

struct ImportedModel {
  ModelSchema schema;
  std::uint64_t sample_rows = 0;
  std::uint64_t compared_rows = 0;  // the first ones, on which package and graph agree
};

// Errors: kNotFound (no such file); kDataLoss (no ONNX model, a graph that the runtime cannot
// load); kInvalidArgument (graph, sample and options do not fit: which input, output, column or
// option); kAlreadyExists (`out`). `out` appears whole or not at all.
Result<ImportedModel> ImportModel(const ImportOptions& options);

// Whether the path is what ImportModel takes, and not a package directory.
bool IsForeignModel(const std::filesystem::path& path);

}  // namespace skerry
