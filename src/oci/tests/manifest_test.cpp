#include "oci/manifest.h"

#include <gtest/gtest.h>

#include "base/limits.h"
#include "oci/artifact.h"
#include "oci/media_types.h"
#include "storage/file.h"

namespace skerry {
namespace {

Json ValidManifest() {
  return {{"schemaVersion", 2},
          {"mediaType", media_types::kImageManifest},
          {"config", EmptyConfig().descriptor.ToJson()},
          {"layers", Json::array({EmptyConfig().descriptor.ToJson()})}};
}

TEST(Manifest, KeepsEverythingThroughTextAndBack) {
  Manifest manifest;
  manifest.media_type = media_types::kImageManifest;
  manifest.artifact_type = "application/vnd.example";
  manifest.config = EmptyConfig().descriptor;
  manifest.config->data = "{}";
  manifest.layers = {EmptyConfig().descriptor};
  manifest.layers[0].annotations = {{"k", "v"}};
  manifest.subject = EmptyConfig().descriptor;
  manifest.annotations = {{"a", "b"}};
  const std::string text = manifest.ToJson();
  const Manifest again = Manifest::Parse(text).value();
  EXPECT_EQ(again.ToJson(), text);
  EXPECT_EQ(again.config->data, "{}");
  EXPECT_EQ(again.layers[0].Annotation("k"), "v");
  EXPECT_EQ(again.EffectiveArtifactType(), "application/vnd.example");
}

TEST(Manifest, UnknownMembersAndNullListsAreFine) {
  Json json = ValidManifest();
  json["extra"] = {{"x", 1}};
  json["layers"] = nullptr;
  json["annotations"] = nullptr;
  const auto manifest = Manifest::Parse(DumpJson(json));
  ASSERT_TRUE(manifest) << manifest.error().ToString();
  EXPECT_TRUE(manifest->layers.empty());
  EXPECT_EQ(manifest->EffectiveArtifactType(), media_types::kEmptyConfig);
}

TEST(Manifest, TypeIsDecidedOnceAndForAll) {
  Json json = ValidManifest();
  const std::string text = DumpJson(json);
  EXPECT_TRUE(Manifest::Parse(text, std::string(media_types::kImageManifest) + "; charset=utf-8"));
  EXPECT_FALSE(Manifest::Parse(text, media_types::kImageIndex));
  EXPECT_FALSE(Manifest::Parse(text, "application/json"));
  json.erase("mediaType");
  EXPECT_EQ(Manifest::Parse(DumpJson(json)).value().media_type, media_types::kImageManifest);
  EXPECT_EQ(Manifest::Parse(DumpJson(json), media_types::kDockerManifest).value().media_type,
            media_types::kDockerManifest);
  json["manifests"] = Json::array();  // readable as either kind
  EXPECT_FALSE(Manifest::Parse(DumpJson(json)));
}

TEST(Manifest, RefusalsNameTheMember) {
  const auto refusal = [](const char* pointer, Json value) {
    Json json = ValidManifest();
    json[Json::json_pointer(pointer)] = std::move(value);
    const auto manifest = Manifest::Parse(DumpJson(json));
    return manifest ? std::string("taken") : manifest.error().message();
  };
  EXPECT_NE(refusal("/schemaVersion", 1).find("schemaVersion"), std::string::npos);
  EXPECT_NE(refusal("/layers/0/digest", "sha256:12").find("layers[0].digest"), std::string::npos);
  EXPECT_NE(refusal("/layers/0/size", -1).find("layers[0].size"), std::string::npos);
  EXPECT_NE(refusal("/config", "x").find("config"), std::string::npos);
  EXPECT_NE(refusal("/annotations", Json{{"a", 1}}).find("annotations"), std::string::npos);
  EXPECT_NE(refusal("/config", nullptr).find("no config"), std::string::npos);
  EXPECT_NE(refusal("/layers", Json::array({1})).find("layers[0]"), std::string::npos);
}

TEST(Manifest, LimitsHold) {
  Json json = ValidManifest();
  json["layers"] = std::vector<Json>(limits::kLayersPerManifest + 1, json["layers"][0]);
  const auto many = Manifest::Parse(DumpJson(json));
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().code(), ErrorCode::kTooLarge);
  EXPECT_EQ(Manifest::Parse(std::string(limits::kManifestBytes + 1, ' ')).error().code(),
            ErrorCode::kTooLarge);
  const std::vector<BlobSource> layers(limits::kLayersPerManifest + 1, EmptyConfig());
  EXPECT_EQ(MakeArtifact("application/vnd.example", EmptyConfig(), layers).error().code(),
            ErrorCode::kTooLarge);
}

TEST(Artifact, ListsEachBlobOnceAndIsReproducible) {
  const auto make = [] {
    return MakeArtifact(
               "application/vnd.example", EmptyConfig(),
               {BlobSource::OfBytes("text/plain", "x"), BlobSource::OfBytes("text/plain", "x")},
               {{"k", "v"}})
        .value();
  };
  const Artifact artifact = make();
  EXPECT_EQ(artifact.blobs.size(), 2U);
  EXPECT_EQ(Manifest::Parse(artifact.manifest_bytes).value().layers.size(), 2U);
  EXPECT_EQ(artifact.manifest.digest, make().manifest.digest);
  EXPECT_EQ(artifact.manifest.digest, Digest::Sha256(artifact.manifest_bytes));
}

TEST(Artifact, DocumentOfAnotherTypeOrDamagedIsRefused) {
  Artifact artifact = MakeDocumentArtifact("application/vnd.example", "text/plain", "doc").value();
  EXPECT_EQ(ReadDocument(artifact, "text/plain", 10).value(), "doc");
  EXPECT_FALSE(ReadDocument(artifact, "text/other", 10));
  EXPECT_EQ(ReadDocument(artifact, "text/plain", 2).error().code(), ErrorCode::kTooLarge);
  artifact.blobs[1].content = std::string("dog");
  EXPECT_EQ(ReadDocument(artifact, "text/plain", 10).error().code(), ErrorCode::kDataLoss);
}

}  // namespace
}  // namespace skerry
