#include "oci/modelpack.h"

#include <gtest/gtest.h>

#include "oci/layout.h"
#include "oci/media_types.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

class ModelPackTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name :
         {"model.onnx", "detector.onnx", "schema.json", "reference.json", "card.md", "report.json"})
      Write(name, fmt::format("content of {}\n", name));
  }
  void Write(const std::string& name, std::string_view bytes) {
    ASSERT_TRUE(CreateDirectories(package_));
    ASSERT_TRUE(WriteFileDurably(package_ / name, bytes));
  }
  BlobGetter GetterOf(const Artifact& artifact) {
    return [&artifact](const Descriptor& blob) -> Result<fs::path> {
      return std::get<fs::path>(artifact.FindBlob(blob.digest)->content);
    };
  }

  TemporaryDirectory directory_ = TemporaryDirectory::Create("skerry-pack").value();
  fs::path package_ = directory_.path() / "package";
};

// docs/formats/artifacts.md shows these documents; other tools rely on them.
TEST_F(ModelPackTest, IsTheGoldenManifestAndConfig) {
  const Artifact artifact = PackModel(package_, "milling", "1").value();
  const fs::path golden(SKERRY_OCI_GOLDEN);
  EXPECT_EQ(artifact.manifest_bytes + "\n",
            ReadFile(golden / "model-manifest.json", 1U << 20U).value());
  EXPECT_EQ(artifact.blobs[0].Read(1U << 20U).value() + "\n",
            ReadFile(golden / "model-config.json", 1U << 20U).value());
}

TEST_F(ModelPackTest, SameFilesGiveTheSameDigest) {
  const Digest digest = PackModel(package_, "milling", "1").value().manifest.digest;
  const fs::path copy = directory_.path() / "copy";
  fs::copy(package_, copy);
  EXPECT_EQ(PackModel(copy, "milling", "1").value().manifest.digest, digest);
  EXPECT_NE(PackModel(copy, "milling", "2").value().manifest.digest, digest);
}

TEST_F(ModelPackTest, UnpacksToTheSameFiles) {
  const Artifact artifact = PackModel(package_, "milling", "1").value();
  const Manifest manifest = Manifest::Parse(artifact.manifest_bytes).value();
  const fs::path target = directory_.path() / "slots/a";
  ASSERT_TRUE(UnpackModel(manifest, GetterOf(artifact), target));
  EXPECT_EQ(PackModel(target, "milling", "1").value().manifest.digest, artifact.manifest.digest);
  EXPECT_EQ(UnpackModel(manifest, GetterOf(artifact), target).error().code(),
            ErrorCode::kAlreadyExists);
  const auto facts = ReadModelPackFacts(artifact.blobs[0].Read(1000).value()).value();
  EXPECT_EQ(facts.name, "milling");
  EXPECT_EQ(facts.version, "1");
}

TEST_F(ModelPackTest, DamagedBlobLeavesNothing) {
  const Artifact artifact = PackModel(package_, "milling", "1").value();
  const Manifest manifest = Manifest::Parse(artifact.manifest_bytes).value();
  Write("model.onnx", "content of model.onnX\n");
  const fs::path target = directory_.path() / "slots/a";
  const auto unpacked = UnpackModel(manifest, GetterOf(artifact), target);
  ASSERT_FALSE(unpacked);
  EXPECT_EQ(unpacked.error().code(), ErrorCode::kDataLoss);
  EXPECT_NE(unpacked.error().message().find("model.onnx"), std::string::npos);
  EXPECT_TRUE(fs::is_empty(directory_.path() / "slots"));
}

TEST_F(ModelPackTest, FileNamesCannotLeaveTheDirectory) {
  const Artifact artifact = PackModel(package_, "milling", "1").value();
  for (const char* name : {"../evil", "/etc/evil", "a/b", "..", ".", "", ".hidden"}) {
    Manifest manifest = Manifest::Parse(artifact.manifest_bytes).value();
    manifest.layers[0].annotations["org.cncf.model.filepath"] = name;
    const auto unpacked = UnpackModel(manifest, GetterOf(artifact), directory_.path() / "slot");
    ASSERT_FALSE(unpacked) << name;
    EXPECT_EQ(unpacked.error().code(), ErrorCode::kPermissionDenied) << name;
  }
}

TEST_F(ModelPackTest, OtherArtifactsAndLayerFormsAreRefused) {
  const Artifact artifact = PackModel(package_, "milling", "1").value();
  Manifest manifest = Manifest::Parse(artifact.manifest_bytes).value();
  manifest.layers[0].media_type = "application/vnd.cncf.model.weight.v1.tar";
  EXPECT_EQ(UnpackModel(manifest, GetterOf(artifact), directory_.path() / "s").error().code(),
            ErrorCode::kUnimplemented);
  manifest.artifact_type = media_types::kShipmentArtifact;
  EXPECT_EQ(UnpackModel(manifest, GetterOf(artifact), directory_.path() / "s").error().code(),
            ErrorCode::kInvalidArgument);
}

TEST_F(ModelPackTest, RefusesWhatIsNoPackage) {
  EXPECT_EQ(PackModel(directory_.path() / "nowhere", "m", "1").error().code(),
            ErrorCode::kNotFound);
  EXPECT_FALSE(PackModel(package_, "Milling", "1"));
  EXPECT_FALSE(PackModel(package_, "milling", "v 1"));
  fs::create_symlink("/etc/hostname", package_ / "link");
  EXPECT_NE(PackModel(package_, "m", "1").error().message().find("link"), std::string::npos);
  ASSERT_TRUE(RemoveFile(package_ / "link"));
  ASSERT_TRUE(RemoveFile(package_ / "model.onnx"));
  EXPECT_NE(PackModel(package_, "m", "1").error().message().find("model.onnx"), std::string::npos);
}

TEST_F(ModelPackTest, DetectorNeedsNoPredictor) {
  ASSERT_TRUE(RemoveFile(package_ / "model.onnx"));
  ASSERT_TRUE(WriteFileDurably(package_ / "schema.json", R"({"task": "anomaly"})"));
  EXPECT_TRUE(PackModel(package_, "m", "1"));
  ASSERT_TRUE(RemoveFile(package_ / "detector.onnx"));
  EXPECT_NE(PackModel(package_, "m", "1").error().message().find("detector.onnx"),
            std::string::npos);
}

}  // namespace
}  // namespace skerry
