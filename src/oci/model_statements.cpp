#include "oci/model_statements.h"

#include <fmt/format.h>

#include <utility>

#include "base/limits.h"
#include "oci/cosign.h"
#include "oci/media_types.h"
#include "oci/modelpack.h"

namespace skerry {
namespace {

constexpr std::size_t kDocumentBytes = std::size_t{16} << 20U;
// How the package was made; what the parameters mean is in docs/formats/provenance.md.
constexpr std::string_view kTrained = "urn:skerry:build:train:1";
constexpr std::string_view kImported = "urn:skerry:build:import:1";

// A document of the package; null where there is none of that name.
Result<Json> DocumentOf(const Artifact& model, const Manifest& manifest, std::string_view name) {
  for (const Descriptor& layer : manifest.layers) {
    if (layer.Annotation(annotations::kModelFilePath) != name) continue;
    const BlobSource* blob = model.FindBlob(layer.digest);
    if (blob == nullptr)
      return Fail(ErrorCode::kNotFound, "the layer {} ({}) is not at hand", name,
                  layer.digest.ToString());
    SKERRY_ASSIGN_OR_RETURN(const std::string text, blob->Read(kDocumentBytes), std::string(name));
    SKERRY_ASSIGN_OR_RETURN(Json json, ParseJson(text, kDocumentBytes), std::string(name));
    if (!json.is_object()) return Fail(ErrorCode::kInvalidArgument, "{} is no JSON object", name);
    return json;
  }
  return Json();
}

// {"sha256": hex} of "sha256:hex".
Result<Json> DigestSet(const std::string& text) {
  SKERRY_ASSIGN_OR_RETURN(const Digest digest, Digest::Parse(text));
  return Json{{std::string(digest.algorithm()), std::string(digest.hex())}};
}

struct Source {
  std::string name, digest;
};

// The bytes that the model was made of: tables, the graph of an imported one, the package before.
Result<std::vector<Source>> SourcesOf(const Json& provenance) {
  std::vector<Source> sources;
  const auto add = [&](const Json& one, std::string_view where) -> Status {
    const JsonObject object(one, std::string(where));
    SKERRY_ASSIGN_OR_RETURN(std::string name, object.StringOr("file", ""));
    if (name.empty()) {
      SKERRY_ASSIGN_OR_RETURN(name, object.StringOr("what", std::string(where)));
    }
    SKERRY_ASSIGN_OR_RETURN(std::string digest, object.String("digest"));
    sources.push_back({std::move(name), std::move(digest)});
    return {};
  };
  for (const char* list : {"data", "holdout_data", "base"}) {
    const auto found = provenance.find(list);
    if (found == provenance.end() || !found->is_array()) continue;
    for (const Json& one : *found) SKERRY_RETURN_IF_ERROR(add(one, list));
  }
  if (const auto imported = provenance.find("imported"); imported != provenance.end())
    SKERRY_RETURN_IF_ERROR(add(*imported, "imported"));
  return sources;
}

// What training measured, without how long it took.
Json MetricsOf(const Json& report) {
  Json metrics = Json::object();
  for (const char* member :
       {"cross_validation", "holdout", "rows", "training_rows", "holdout_rows"})
    if (report.is_object() && report.contains(member)) metrics[member] = report.at(member);
  return metrics;
}

Json Hashes(const Digest& digest) {
  return Json::array({{{"alg", digest.algorithm() == "sha512" ? "SHA-512" : "SHA-256"},
                       {"content", std::string(digest.hex())}}});
}

Json FileComponent(const Descriptor& layer) {
  return {{"type", "file"},
          {"bom-ref", layer.digest.ToString()},
          {"name", layer.Annotation(annotations::kModelFilePath)},
          {"hashes", Hashes(layer.digest)}};
}

// Of "software" in provenance.json; `trees` is a text such as "XGBoost 3.2.0".
Json SoftwareComponents(const Json& provenance) {
  Json components = Json::array();
  const auto software = provenance.is_object() ? provenance.find("software") : provenance.end();
  if (!provenance.is_object() || software == provenance.end() || !software->is_object())
    return components;
  for (const auto& [name, version] : software->items()) {
    if (!version.is_string()) continue;
    std::string label = name;
    std::string number = version.get<std::string>();
    if (const auto space = number.rfind(' '); name == "trees" && space != std::string::npos) {
      label = number.substr(0, space);
      number = number.substr(space + 1);
    }
    components.push_back({{"type", "application"},
                          {"bom-ref", "software:" + label},
                          {"name", label},
                          {"version", number},
                          {"scope", "excluded"}});  // it made the model and is not in it
  }
  return components;
}

Result<Json> DataComponents(const Json& provenance) {
  Json components = Json::array();
  if (!provenance.is_object()) return components;
  SKERRY_ASSIGN_OR_RETURN(const std::vector<Source> sources, SourcesOf(provenance));
  for (const Source& source : sources) {
    SKERRY_ASSIGN_OR_RETURN(const Digest digest, Digest::Parse(source.digest));
    components.push_back({{"type", "data"},
                          {"bom-ref", "data:" + source.digest},
                          {"name", source.name},
                          {"hashes", Hashes(digest)},
                          {"scope", "excluded"}});
  }
  return components;
}

}  // namespace

Result<Json> SlsaPredicateOf(const Artifact& model) {
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(model.manifest_bytes));
  SKERRY_ASSIGN_OR_RETURN(const Json provenance, DocumentOf(model, manifest, "provenance.json"));
  if (provenance.is_null()) return provenance;
  SKERRY_ASSIGN_OR_RETURN(const Json report, DocumentOf(model, manifest, "report.json"));
  Json parameters = Json::object();
  for (const char* member :
       {"name", "version", "task", "seed", "options", "parameters", "trees", "detector", "split"})
    if (provenance.contains(member)) parameters[member] = provenance.at(member);
  Json dependencies = Json::array();
  SKERRY_ASSIGN_OR_RETURN(const std::vector<Source> sources, SourcesOf(provenance));
  for (const Source& source : sources) {
    SKERRY_ASSIGN_OR_RETURN(Json digest, DigestSet(source.digest));
    dependencies.push_back({{"name", source.name}, {"digest", std::move(digest)}});
  }
  return Json{
      {"buildDefinition",
       {{"buildType", provenance.contains("imported") ? kImported : kTrained},
        {"externalParameters", std::move(parameters)},
        {"resolvedDependencies", std::move(dependencies)}}},
      {"runDetails",
       {{"builder",
         {{"id", "urn:skerry:builder"}, {"version", provenance.value("software", Json::object())}}},
        {"skerry_metrics", MetricsOf(report)}}}};
}

Result<Json> CycloneDxOf(const Artifact& model) {
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(model.manifest_bytes));
  SKERRY_ASSIGN_OR_RETURN(const Json provenance, DocumentOf(model, manifest, "provenance.json"));
  SKERRY_ASSIGN_OR_RETURN(const std::string config,
                          model.blobs.front().Read(limits::kManifestBytes));
  SKERRY_ASSIGN_OR_RETURN(const ModelPackFacts facts, ReadModelPackFacts(config));
  Json components = Json::array();
  for (const Descriptor& layer : manifest.layers) components.push_back(FileComponent(layer));
  SKERRY_ASSIGN_OR_RETURN(const Json data, DataComponents(provenance));
  for (const Json& one : data) components.push_back(one);
  for (const Json& one : SoftwareComponents(provenance)) components.push_back(one);
  const std::string root = model.manifest.digest.ToString();
  Json uses = Json::array();
  for (const Json& one : components) uses.push_back(one.at("bom-ref"));
  return Json{{"$schema", "http://cyclonedx.org/schema/bom-1.6.schema.json"},
              {"bomFormat", "CycloneDX"},
              {"specVersion", "1.6"},
              {"version", 1},
              {"metadata",
               {{"component",
                 {{"type", "machine-learning-model"},
                  {"bom-ref", root},
                  {"name", facts.name},
                  {"version", facts.version},
                  {"hashes", Hashes(model.manifest.digest)}}}}},
              {"components", std::move(components)},
              {"dependencies", Json::array({{{"ref", root}, {"dependsOn", std::move(uses)}}})}};
}

Result<std::vector<Artifact>> AttestModel(const Artifact& model, const PrivateKey& key) {
  std::vector<Artifact> attestations;
  SKERRY_ASSIGN_OR_RETURN(const Json provenance, SlsaPredicateOf(model));
  if (!provenance.is_null()) {
    SKERRY_ASSIGN_OR_RETURN(Artifact made,
                            MakeAttestation(model.manifest, kSlsaProvenance, provenance, key));
    attestations.push_back(std::move(made));
  }
  SKERRY_ASSIGN_OR_RETURN(const Json bom, CycloneDxOf(model));
  SKERRY_ASSIGN_OR_RETURN(Artifact made, MakeAttestation(model.manifest, kCycloneDxBom, bom, key));
  attestations.push_back(std::move(made));
  return attestations;
}

}  // namespace skerry
