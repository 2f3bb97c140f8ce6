#include "serve/model_document.h"

namespace skerry {
namespace {

Json TensorDocument(std::string_view name, std::string_view datatype, Json shape) {
  return {{"name", name}, {"datatype", datatype}, {"shape", std::move(shape)}};
}

Json SpecDocuments(const std::vector<TensorSpec>& specs) {
  Json documents = Json::array();
  for (const TensorSpec& spec : specs)
    documents.push_back(TensorDocument(spec.name, TensorTypeName(spec.type), spec.shape));
  return documents;
}

Json PackageOutputs(const ModelPackage& package) {
  Json outputs = Json::array({TensorDocument("probabilities", "FP32", {-1, 2}),
                              TensorDocument("prediction", "BYTES", Json::array({-1})),
                              TensorDocument("score", "FP32", Json::array({-1}))});
  if (package.detector)
    outputs.push_back(TensorDocument("anomaly_score", "FP32", Json::array({-1})));
  return outputs;
}

}  // namespace

Json OipMetadata(const ModelPackage& package) {
  return {{"name", package.name},
          {"versions", Json::array({package.version})},
          {"platform", "onnxruntime_onnx"},
          {"inputs", SpecDocuments(package.predictor->inputs())},
          {"outputs",
           package.bare ? SpecDocuments(package.predictor->outputs()) : PackageOutputs(package)}};
}

Json ModelDocument(const ServedModel& model) {
  const ModelPackage& package = *model.package;
  Json document = {{"name", package.name},
                   {"version", package.version},
                   {"kind", package.bare ? "onnx" : "package"},
                   {"capture", CaptureModeName(model.capture)}};
  if (package.digest) document["digest"] = package.digest->ToString();
  if (package.bare) return document;
  document["fields"] = package.schema.ToJson()["fields"];
  document["classes"] = package.schema.classes;
  document["threshold"] = package.reference.threshold;
  if (package.detector) document["anomaly_threshold"] = package.reference.anomaly_threshold;
  return document;
}

}  // namespace skerry
