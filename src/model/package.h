// A loaded model: a package directory (model.onnx, optional detector.onnx, schema.json,
// reference.json, card.md) or a bare ONNX file. Format: docs/formats/model-package.md.
//
// Immutable after load and shared: requests under way, captured rows and the repository each hold
// it until they are done with it, hence shared_ptr<const ModelPackage>. Everything const is
// thread-safe.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "crypto/digest.h"
#include "model/reference.h"
#include "model/schema.h"
#include "model/session.h"
#include "model/tree_ensemble.h"

namespace skerry {

struct PackageIdentity {
  std::string name{};              // empty: the schema's `model`
  std::string version = "0";       // as in `name:version`
  std::optional<Digest> digest{};  // of the OCI manifest, when it came by one
  // File name -> digest from the manifest's layers. Each is checked before anything is parsed.
  std::map<std::string, Digest> files{};
};

struct ModelPackage {
  std::string name;
  std::string version;
  std::optional<Digest> digest;
  bool bare = false;  // loaded by LoadBareOnnx: schema and reference are empty
  ModelSchema schema;
  ModelReference reference;
  DerivedColumns derived{};                // and the windows, of the schema
  std::unique_ptr<OnnxSession> predictor;  // null for task anomaly alone
  std::unique_ptr<OnnxSession> detector;   // null when the package has none
  std::size_t predictor_output = 0;        // index of "probabilities", or "value", in predictor
  std::size_t anomaly_output = 0;          // index of "anomaly_score" in detector
  // Of the predictor, for explanations; else why there are none.
  Result<TreeEnsemble> trees = Fail(ErrorCode::kUnimplemented, "a bare ONNX file has no fields");

  // The graph that a request's rows go to first: the predictor, or what there is instead.
  const OnnxSession& graph() const { return predictor ? *predictor : *detector; }
};

// The columns of the predictor's output: a class each, or 1 for a number.
std::size_t PredictorColumns(const ModelSchema& schema);
std::string_view PredictorOutputName(const ModelSchema& schema);  // "probabilities" or "value"

// Reads and checks the directory: digests, schema, reference against schema, the graphs' inputs and
// outputs against the schema (model.onnx: "input" float32 [N,F+D+W], D derived and W window
// features, -> "probabilities" float32 [N,K] for K classes, or "value" float32 [N,1];
// detector.onnx: "input" [N,F] -> "anomaly_score" float32 [N,1]), then scores two smoke rows.
// Errors: kNotFound, kDataLoss (digest differs, damaged file), kInvalidArgument (does not fit its
// schema), kUnimplemented (opset, format version).
Result<std::shared_ptr<const ModelPackage>> LoadPackage(const std::filesystem::path& directory,
                                                        const PackageIdentity& identity);

// Any ONNX file; only tensors in and out.
Result<std::shared_ptr<const ModelPackage>> LoadBareOnnx(const std::filesystem::path& file,
                                                         const std::string& name,
                                                         const std::string& version = "0");

}  // namespace skerry
