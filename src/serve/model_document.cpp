#include "serve/model_document.h"

#include "serve/package_outputs.h"

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

// A package takes the features alone, whatever its graph is given besides.
Json InputDocuments(const ModelPackage& package) {
  if (package.bare) return SpecDocuments(package.predictor->inputs());
  return Json::array({TensorDocument("input", TensorTypeName(TensorType::kFloat32),
                                     {-1, package.schema.feature_count()})});
}

Json PackageOutputDocuments(const ModelPackage& package) {
  Json documents = Json::array();
  for (const PackageOutput& output : OutputsOf(package)) {
    Json shape = Json::array({-1});
    if (output.kind == PackageOutputKind::kProbabilities)
      shape.push_back(PredictorColumns(package.schema));
    documents.push_back(TensorDocument(output.name, TensorTypeName(output.type), std::move(shape)));
  }
  return documents;
}

// "TYPE_FP32"; BYTES is TYPE_STRING there.
std::string ConfigType(const std::string& datatype) {
  return datatype == "BYTES" ? "TYPE_STRING" : "TYPE_" + datatype;
}

Json ConfigTensors(const Json& tensors) {
  Json documents = Json::array();
  for (const Json& tensor : tensors)
    documents.push_back({{"name", tensor["name"]},
                         {"data_type", ConfigType(tensor["datatype"].get<std::string>())},
                         {"dims", tensor["shape"]}});
  return documents;
}

Json DurationDocument(const StatisticDuration& duration) {
  return {{"count", duration.count}, {"ns", duration.ns}};
}

}  // namespace

Json OipMetadata(const ModelPackage& package, const std::vector<std::string>& versions) {
  return {{"name", package.name},
          {"versions", versions.empty() ? Json::array({package.version}) : Json(versions)},
          {"platform", "onnxruntime_onnx"},
          {"inputs", InputDocuments(package)},
          {"outputs", package.bare ? SpecDocuments(package.predictor->outputs())
                                   : PackageOutputDocuments(package)}};
}

Json ModelConfig(const ServedModel& model) {
  const ModelPackage& package = *model.package;
  const Json metadata = OipMetadata(package);
  return {{"name", package.name},
          {"platform", "onnxruntime_onnx"},
          {"backend", "onnxruntime"},
          {"version_policy", {{"all", Json::object()}}},
          {"max_batch_size", 0},
          {"input", ConfigTensors(metadata["inputs"])},
          {"output", ConfigTensors(metadata["outputs"])},
          {"default_model_filename", "model.onnx"}};
}

Json StatisticsDocument(const std::vector<StatisticsReading>& readings) {
  Json models = Json::array();
  for (const StatisticsReading& reading : readings) {
    Json batches = Json::array();
    for (const BatchStatistics& batch : reading.batches)
      batches.push_back({{"batch_size", batch.batch_size},
                         {"compute_input", DurationDocument(batch.compute_input)},
                         {"compute_infer", DurationDocument(batch.compute_infer)},
                         {"compute_output", DurationDocument(batch.compute_output)}});
    models.push_back({{"name", reading.name},
                      {"version", reading.version},
                      {"last_inference", reading.last_inference_ms},
                      {"inference_count", reading.inference_count},
                      {"execution_count", reading.execution_count},
                      {"inference_stats",
                       {{"success", DurationDocument(reading.success)},
                        {"fail", DurationDocument(reading.fail)},
                        {"queue", DurationDocument(reading.queue)},
                        {"compute_input", DurationDocument(reading.compute_input)},
                        {"compute_infer", DurationDocument(reading.compute_infer)},
                        {"compute_output", DurationDocument(reading.compute_output)},
                        {"cache_hit", DurationDocument({})},
                        {"cache_miss", DurationDocument({})}}},
                      {"batch_stats", std::move(batches)}});
  }
  return {{"model_stats", std::move(models)}};
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
  if (!package.schema.derived.empty()) document["derived"] = package.schema.ToJson()["derived"];
  if (!package.schema.windows.empty()) document["windows"] = package.schema.windows.ToJson();
  document["task"] = ModelTaskName(package.schema.task);
  if (!package.schema.classes.empty()) document["classes"] = package.schema.classes;
  if (package.schema.task == ModelTask::kBinary)
    document["threshold"] = package.reference.threshold;
  if (package.detector) document["anomaly_threshold"] = package.reference.anomaly_threshold;
  return document;
}

}  // namespace skerry
