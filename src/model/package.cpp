#include "model/package.h"

#include <cmath>
#include <utility>

#include "base/ids.h"
#include "base/limits.h"
#include "model/row_batch.h"
#include "model/scorer.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr float kProbabilitySlack = 1e-3F;  // rounding of sums over trees

// The file's bytes, which the manifest's digest for that name covers where there is one. Read once,
// so that what was checked is what is parsed.
Result<std::string> ReadPackageFile(const std::filesystem::path& directory, const std::string& name,
                                    std::size_t max_bytes, const PackageIdentity& identity) {
  SKERRY_ASSIGN_OR_RETURN(std::string bytes, ReadFile(directory / name, max_bytes));
  const auto expected = identity.files.find(name);
  if (expected == identity.files.end()) return bytes;
  DigestHasher hasher(expected->second.algorithm());
  hasher.Update(bytes);
  const Digest found = hasher.Finish();
  if (found != expected->second)
    return Fail(
        ErrorCode::kDataLoss,
        "{} does not match the package's manifest: expected {}, found {}; fetch the package "
        "again",
        name, expected->second.ToString(), found.ToString());
  return bytes;
}

Result<Json> ReadDocument(const std::filesystem::path& directory, const std::string& name,
                          std::size_t max_bytes, const PackageIdentity& identity) {
  SKERRY_ASSIGN_OR_RETURN(const std::string bytes,
                          ReadPackageFile(directory, name, max_bytes, identity));
  Result<Json> json = ParseJson(bytes, max_bytes);
  if (!json) return Propagate(std::move(json), name);
  return json;
}

Status CheckReference(const ModelSchema& schema, const ModelReference& reference) {
  for (const Field* field : schema.features()) {
    const FeatureReference* found = reference.Find(field->name);
    if (found == nullptr)
      return Fail(ErrorCode::kInvalidArgument, "reference.json has no feature \"{}\" of the schema",
                  field->name);
    const std::size_t bins =
        field->type == FieldType::kCategory ? field->categories.size() : found->edges.size() + 1;
    if (found->counts.size() != bins)
      return Fail(ErrorCode::kInvalidArgument,
                  "reference.json: feature \"{}\" has {} counts, its schema wants {}", field->name,
                  found->counts.size(), bins);
  }
  if (reference.features.size() != schema.feature_count())
    return Fail(ErrorCode::kInvalidArgument, "reference.json has {} features, the schema has {}",
                reference.features.size(), schema.feature_count());
  return {};
}

// In the schema's order, so that a feature's index finds its reference.
void OrderReference(const ModelSchema& schema, ModelReference& reference) {
  std::vector<FeatureReference> ordered;
  for (const Field* field : schema.features()) ordered.push_back(*reference.Find(field->name));
  reference.features = std::move(ordered);
}

Status LoadPredictor(const std::filesystem::path& directory, const PackageIdentity& identity,
                     ModelPackage& package) {
  const std::size_t features = package.schema.feature_count() + package.derived.size();
  SKERRY_ASSIGN_OR_RETURN(const std::string model,
                          ReadPackageFile(directory, "model.onnx", limits::kModelBytes, identity));
  SKERRY_ASSIGN_OR_RETURN(package.predictor, OnnxSession::LoadBytes(model, "model.onnx"));
  SKERRY_ASSIGN_OR_RETURN(
      package.predictor_output,
      package.predictor->RequireMatrix(features, PredictorOutputName(package.schema),
                                       PredictorColumns(package.schema)),
      "model.onnx");
  package.trees = ReadTreeEnsemble(model, features);
  const bool several = package.schema.task == ModelTask::kMulticlass;
  if (package.trees && package.trees->outputs != (several ? package.schema.classes.size() : 1))
    package.trees = Fail(ErrorCode::kUnimplemented, "its trees are of {} outputs, not one a class",
                         package.trees->outputs);
  return {};
}

Status LoadGraphs(const std::filesystem::path& directory, const PackageIdentity& identity,
                  ModelPackage& package) {
  const std::size_t features = package.schema.feature_count();
  const bool detects = package.schema.task == ModelTask::kAnomaly;
  package.trees = Fail(ErrorCode::kUnimplemented, "it has a detector alone");
  if (!detects) SKERRY_RETURN_IF_ERROR(LoadPredictor(directory, identity, package));
  const bool named = detects || identity.files.contains("detector.onnx");
  if (!named && !std::filesystem::exists(directory / "detector.onnx")) return {};
  SKERRY_ASSIGN_OR_RETURN(
      const std::string detector,
      ReadPackageFile(directory, "detector.onnx", limits::kModelBytes, identity));
  SKERRY_ASSIGN_OR_RETURN(package.detector, OnnxSession::LoadBytes(detector, "detector.onnx"));
  SKERRY_ASSIGN_OR_RETURN(package.anomaly_output,
                          package.detector->RequireMatrix(features, "anomaly_score", 1),
                          "detector.onnx");
  return {};
}

// One row at the lower and one at the upper end of what training saw.
Status ScoreSmokeRows(const std::shared_ptr<const ModelPackage>& package) {
  RowBatch batch;
  batch.package = package;
  batch.rows = 2;
  for (const FeatureReference& feature : package->reference.features)
    batch.features.push_back(static_cast<float>(feature.min));
  for (const FeatureReference& feature : package->reference.features)
    batch.features.push_back(static_cast<float>(feature.max));
  SKERRY_RETURN_IF_ERROR(ScoreRows(batch), "smoke rows");
  const bool classifies = !package->schema.classes.empty();
  for (const float score : batch.score) {
    if (classifies && !(score >= -kProbabilitySlack && score <= 1 + kProbabilitySlack))
      return Fail(ErrorCode::kInvalidArgument,
                  "model.onnx: \"probabilities\" of a row seen in training is {}, expected 0 to 1",
                  score);
    if (!std::isfinite(score))
      return Fail(ErrorCode::kInvalidArgument,
                  "model.onnx: \"value\" of a row seen in training is {}, expected a number",
                  score);
  }
  return {};
}

Status CheckIdentity(const ModelPackage& package) {
  SKERRY_RETURN_IF_ERROR(CheckName("model name", package.name));
  return CheckVersion("model version", package.version);
}

}  // namespace

std::size_t PredictorColumns(const ModelSchema& schema) {
  return schema.classes.empty() ? 1 : schema.classes.size();
}
std::string_view PredictorOutputName(const ModelSchema& schema) {
  return schema.classes.empty() ? "value" : "probabilities";
}

Result<std::shared_ptr<const ModelPackage>> LoadPackage(const std::filesystem::path& directory,
                                                        const PackageIdentity& identity) {
  const std::string where = fmt::format("model package {}", directory.string());
  auto package = std::make_shared<ModelPackage>();
  SKERRY_ASSIGN_OR_RETURN(const Json schema,
                          ReadDocument(directory, "schema.json", limits::kSchemaBytes, identity),
                          where);
  SKERRY_ASSIGN_OR_RETURN(package->schema, ModelSchema::FromJson(schema), where);
  package->derived = DerivedColumns(package->schema);
  SKERRY_ASSIGN_OR_RETURN(
      const Json reference,
      ReadDocument(directory, "reference.json", limits::kReferenceBytes, identity), where);
  SKERRY_ASSIGN_OR_RETURN(package->reference, ModelReference::FromJson(reference), where);
  SKERRY_RETURN_IF_ERROR(CheckReference(package->schema, package->reference), where);
  OrderReference(package->schema, package->reference);
  package->name = identity.name.empty() ? package->schema.model : identity.name;
  package->version = identity.version;
  package->digest = identity.digest;
  SKERRY_RETURN_IF_ERROR(CheckIdentity(*package), where);
  SKERRY_RETURN_IF_ERROR(LoadGraphs(directory, identity, *package), where);
  SKERRY_RETURN_IF_ERROR(ScoreSmokeRows(package), where);
  return package;
}

Result<std::shared_ptr<const ModelPackage>> LoadBareOnnx(const std::filesystem::path& file,
                                                         const std::string& name,
                                                         const std::string& version) {
  auto package = std::make_shared<ModelPackage>();
  package->name = name;
  package->version = version;
  SKERRY_RETURN_IF_ERROR(CheckIdentity(*package));
  package->bare = true;
  SKERRY_ASSIGN_OR_RETURN(package->predictor, OnnxSession::Load(file));
  return package;
}

}  // namespace skerry
