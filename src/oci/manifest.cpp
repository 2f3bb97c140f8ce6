#include "oci/manifest.h"

#include "base/limits.h"
#include "codec/text.h"
#include "oci/media_types.h"

namespace skerry {
namespace {

// Absent and null are the same: Go's encoder writes null for an empty list.
const Json* Find(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

Result<std::string> ReadString(const Json& object, const char* key, const std::string& path) {
  const Json* value = Find(object, key);
  if (value == nullptr) return std::string();
  if (!value->is_string())
    return Fail(ErrorCode::kInvalidArgument, "{}.{} is not a text", path, key);
  return value->get<std::string>();
}

Result<Annotations> ReadAnnotations(const Json& object, const std::string& path) {
  Annotations annotations;
  const Json* value = Find(object, "annotations");
  if (value == nullptr) return annotations;
  if (!value->is_object())
    return Fail(ErrorCode::kInvalidArgument, "{}.annotations is not an object", path);
  for (const auto& [key, text] : value->items()) {
    if (!text.is_string())
      return Fail(ErrorCode::kInvalidArgument, "{}.annotations[\"{}\"] is not a text", path, key);
    annotations.emplace(key, text.get<std::string>());
  }
  return annotations;
}

Result<std::vector<Descriptor>> ReadDescriptors(const Json& object, const char* key) {
  std::vector<Descriptor> descriptors;
  const Json* list = Find(object, key);
  if (list == nullptr) return descriptors;
  if (!list->is_array()) return Fail(ErrorCode::kInvalidArgument, "{} is not a list", key);
  if (list->size() > limits::kLayersPerManifest)
    return Fail(ErrorCode::kTooLarge, "{} has {} entries, the limit is {} (kLayersPerManifest)",
                key, list->size(), limits::kLayersPerManifest);
  for (std::size_t i = 0; i < list->size(); ++i) {
    SKERRY_ASSIGN_OR_RETURN(Descriptor descriptor,
                            Descriptor::FromJson((*list)[i], fmt::format("{}[{}]", key, i)));
    descriptors.push_back(std::move(descriptor));
  }
  return descriptors;
}

Result<std::optional<Descriptor>> ReadDescriptor(const Json& object, const char* key) {
  const Json* value = Find(object, key);
  if (value == nullptr) return std::nullopt;
  SKERRY_ASSIGN_OR_RETURN(Descriptor descriptor, Descriptor::FromJson(*value, key));
  return descriptor;
}

std::string_view WithoutParameters(std::string_view media_type) {
  media_type = media_type.substr(0, media_type.find(';'));
  while (media_type.ends_with(' ')) media_type.remove_suffix(1);
  return media_type;
}

bool IsIndexType(std::string_view media_type) {
  return media_type == media_types::kImageIndex || media_type == media_types::kDockerManifestList;
}
bool IsImageType(std::string_view media_type) {
  return media_type == media_types::kImageManifest || media_type == media_types::kDockerManifest;
}

// What the document says it is must be what it was sent as, and it must not be readable as the
// other kind too: a reader that goes by the members would then see something else than one that
// goes by the type (CVE-2021-41190).
Result<std::string> DecideMediaType(const Json& document, std::string_view content_type) {
  SKERRY_ASSIGN_OR_RETURN(std::string written, ReadString(document, "mediaType", "manifest"));
  const std::string_view sent = WithoutParameters(content_type);
  if (!sent.empty() && !written.empty() && sent != written)
    return Fail(ErrorCode::kInvalidArgument, "the manifest was sent as {} but says it is {}", sent,
                written);
  const bool has_index = Find(document, "manifests") != nullptr;
  const bool has_image = Find(document, "config") != nullptr || Find(document, "layers") != nullptr;
  std::string type = written.empty() ? std::string(sent) : written;
  if (type.empty()) type = has_index ? media_types::kImageIndex : media_types::kImageManifest;
  if (!IsIndexType(type) && !IsImageType(type))
    return Fail(ErrorCode::kInvalidArgument,
                "manifests of type {} are not supported: send an OCI image manifest or index",
                type);
  if (IsIndexType(type) ? has_image : has_index)
    return Fail(ErrorCode::kInvalidArgument,
                "the manifest is of type {} but has the members of the other kind", type);
  return type;
}

Json AnnotationsToJson(const Annotations& annotations) { return Json(annotations); }

Json DescriptorsToJson(const std::vector<Descriptor>& descriptors) {
  Json list = Json::array();
  for (const Descriptor& descriptor : descriptors) list.push_back(descriptor.ToJson());
  return list;
}

}  // namespace

std::string Descriptor::Annotation(std::string_view key) const {
  const auto found = annotations.find(std::string(key));
  return found == annotations.end() ? std::string() : found->second;
}

Json Descriptor::ToJson() const {
  Json json = {{"mediaType", media_type}, {"digest", digest.ToString()}, {"size", size}};
  if (!annotations.empty()) json["annotations"] = AnnotationsToJson(annotations);
  if (!artifact_type.empty()) json["artifactType"] = artifact_type;
  if (data) json["data"] = EncodeBase64(*data);
  return json;
}

Result<Descriptor> Descriptor::FromJson(const Json& value, const std::string& path) {
  if (!value.is_object()) return Fail(ErrorCode::kInvalidArgument, "{} is not an object", path);
  const JsonObject object(value, path);
  Descriptor descriptor;
  SKERRY_ASSIGN_OR_RETURN(descriptor.media_type, object.String("mediaType"));
  SKERRY_ASSIGN_OR_RETURN(const std::string digest, object.String("digest"));
  SKERRY_ASSIGN_OR_RETURN(descriptor.digest, Digest::Parse(digest), path + ".digest");
  SKERRY_ASSIGN_OR_RETURN(descriptor.size, object.Uint("size"));
  SKERRY_ASSIGN_OR_RETURN(descriptor.annotations, ReadAnnotations(value, path));
  SKERRY_ASSIGN_OR_RETURN(descriptor.artifact_type, ReadString(value, "artifactType", path));
  if (Find(value, "data") != nullptr) {
    SKERRY_ASSIGN_OR_RETURN(const std::string text, object.String("data"));
    SKERRY_ASSIGN_OR_RETURN(descriptor.data, DecodeBase64(text), path + ".data");
  }
  return descriptor;
}

bool Manifest::is_index() const { return IsIndexType(media_type); }

std::string Manifest::EffectiveArtifactType() const {
  return artifact_type.empty() && config ? config->media_type : artifact_type;
}

std::string Manifest::ToJson() const {
  Json json = {{"schemaVersion", 2}, {"mediaType", media_type}};
  if (!artifact_type.empty()) json["artifactType"] = artifact_type;
  if (config) json["config"] = config->ToJson();
  json[is_index() ? "manifests" : "layers"] = DescriptorsToJson(is_index() ? manifests : layers);
  if (subject) json["subject"] = subject->ToJson();
  if (!annotations.empty()) json["annotations"] = AnnotationsToJson(annotations);
  return DumpJson(json);
}

Result<Manifest> Manifest::Parse(std::string_view bytes, std::string_view media_type) {
  SKERRY_ASSIGN_OR_RETURN(const Json document, ParseJson(bytes, limits::kManifestBytes),
                          "manifest");
  if (!document.is_object())
    return Fail(ErrorCode::kInvalidArgument, "the manifest is not a JSON object");
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t schema,
                          JsonObject(document, "manifest").Uint("schemaVersion"));
  if (schema != 2)
    return Fail(ErrorCode::kInvalidArgument, "the manifest's schemaVersion is {}, not 2", schema);
  Manifest manifest;
  SKERRY_ASSIGN_OR_RETURN(manifest.media_type, DecideMediaType(document, media_type));
  SKERRY_ASSIGN_OR_RETURN(manifest.artifact_type, ReadString(document, "artifactType", "manifest"));
  SKERRY_ASSIGN_OR_RETURN(manifest.config, ReadDescriptor(document, "config"));
  SKERRY_ASSIGN_OR_RETURN(manifest.layers, ReadDescriptors(document, "layers"));
  SKERRY_ASSIGN_OR_RETURN(manifest.manifests, ReadDescriptors(document, "manifests"));
  SKERRY_ASSIGN_OR_RETURN(manifest.subject, ReadDescriptor(document, "subject"));
  SKERRY_ASSIGN_OR_RETURN(manifest.annotations, ReadAnnotations(document, "manifest"));
  if (!manifest.is_index() && !manifest.config)
    return Fail(ErrorCode::kInvalidArgument, "the image manifest has no config");
  return manifest;
}

}  // namespace skerry
