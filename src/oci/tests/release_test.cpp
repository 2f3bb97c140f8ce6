#include "oci/release.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "oci/media_types.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

ReleaseFacts Facts() {
  return {"skerry-linux-amd64",
          "0.2.0",
          "0.1.0",
          "linux",
          "amd64",
          {.writes = 2, .reads_from = 1, .reads_to = 2}};
}

class ReleaseTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = TemporaryDirectory::Create("skerry-release");
    ASSERT_TRUE(made);
    directory_.emplace(std::move(*made));
    Put("made/skerry", "program");
    Put("made/lib/libx.so.1", "library");
    Put("made/lib/system/libstdc++.so.6", "library of the system");
  }
  void Put(const std::string& name, std::string_view text) const {
    const fs::path path = directory_->path() / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  fs::path Made() const { return directory_->path() / "made"; }
  Artifact Packed() const {
    auto artifact = PackRelease(Made(), Facts());
    EXPECT_TRUE(artifact) << artifact.error().message();
    return *artifact;
  }
  static BlobGetter From(const Artifact& artifact, const fs::path& scratch) {
    return [&artifact, scratch](const Descriptor& blob) -> Result<fs::path> {
      const BlobSource* source = artifact.FindBlob(blob.digest);
      if (source == nullptr) return Fail(ErrorCode::kNotFound, "no such blob");
      const fs::path file = scratch / std::string(blob.digest.hex());
      const auto bytes = source->Read(1U << 20U);
      if (!bytes) return tl::make_unexpected(bytes.error());
      std::ofstream(file) << *bytes;
      return file;
    };
  }

  std::optional<TemporaryDirectory> directory_;
};

TEST_F(ReleaseTest, ConfigIsThatOfTheFormatsPage) {
  EXPECT_EQ(Facts().ToJson(),
            R"({"architecture":"amd64","build":"0.1.0","data":{"reads_from":1,"reads_to":2,)"
            R"("writes":2},"format":"skerry-release/1","name":"skerry-linux-amd64","os":"linux",)"
            R"("version":"0.2.0"})");
  EXPECT_EQ(*ReleaseFacts::FromJson(Facts().ToJson()), Facts());
}

TEST_F(ReleaseTest, WrongConfigsAreRefusedByTheMember) {
  const auto refused = [](std::string_view from, std::string_view to) {
    std::string text = Facts().ToJson();
    text.replace(text.find(from), from.size(), to);
    const auto facts = ReleaseFacts::FromJson(text);
    return facts ? std::string("accepted") : facts.error().message();
  };
  EXPECT_THAT(refused("skerry-release/1", "skerry-release/2"), HasSubstr("skerry-release/2"));
  EXPECT_THAT(refused("0.2.0", "no version"), HasSubstr("version"));
  EXPECT_THAT(refused("skerry-linux", "../skerry"), HasSubstr("name"));
  EXPECT_THAT(refused("\"writes\":2", "\"writes\":3"), HasSubstr("must read what it writes"));
  EXPECT_THAT(refused("\"os\"", "\"so\""), HasSubstr("os"));
}

TEST_F(ReleaseTest, IsUnpackedAsItWasAndExecutable) {
  const Artifact artifact = Packed();
  const auto manifest = Manifest::Parse(artifact.manifest_bytes);
  ASSERT_TRUE(manifest);
  const fs::path target = directory_->path() / "slot";
  const Status unpacked = UnpackRelease(*manifest, From(artifact, directory_->path()), target);
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  EXPECT_EQ(*ReadFile(target / "lib/system/libstdc++.so.6", 100), "library of the system");
  EXPECT_EQ(*ReadFile(target / kReleaseJson, 1000), Facts().ToJson());
  EXPECT_EQ(fs::status(target / "skerry").permissions(), fs::perms::owner_all);
  EXPECT_EQ(ReleaseFilesIn(target)->size(), 3U);
}

TEST_F(ReleaseTest, NamesThatLeaveAndOtherKindsAreRefused) {
  const Artifact artifact = Packed();
  const auto manifest = Manifest::Parse(artifact.manifest_bytes);
  ASSERT_TRUE(manifest);
  for (const char* name : {"../skerry", "lib/../../x", "/etc/passwd", "lib//x", "lib/", "lib/.x",
                           "bin/skerry", "release.json", "", "lib/a b"}) {
    Manifest changed = *manifest;
    changed.layers.back().annotations[std::string(annotations::kTitle)] = name;
    const Status checked = CheckReleaseManifest(changed);
    ASSERT_FALSE(checked) << name;
    EXPECT_EQ(checked.error().code(), ErrorCode::kPermissionDenied) << name;
  }
  Manifest changed = *manifest;
  changed.artifact_type = media_types::kModelArtifact;
  EXPECT_FALSE(CheckReleaseManifest(changed));
  changed = *manifest;
  changed.layers.front().size = limits::kReleaseBytes + 1;
  EXPECT_EQ(CheckReleaseManifest(changed).error().code(), ErrorCode::kTooLarge);
  changed = *manifest;
  std::erase_if(changed.layers, [](const Descriptor& layer) {
    return layer.Annotation(annotations::kTitle) == "skerry";
  });
  EXPECT_THAT(CheckReleaseManifest(changed).error().message(), HasSubstr("no program skerry"));
  changed = *manifest;
  changed.layers.push_back(changed.layers.front());
  EXPECT_FALSE(
      UnpackRelease(changed, From(artifact, directory_->path()), directory_->path() / "twice"));
}

TEST_F(ReleaseTest, AFlippedByteIsFound) {
  const Artifact artifact = Packed();
  const auto manifest = Manifest::Parse(artifact.manifest_bytes);
  ASSERT_TRUE(manifest);
  Put("made/lib/libx.so.1", "librery");
  const Status unpacked =
      UnpackRelease(*manifest, From(artifact, directory_->path()), directory_->path() / "slot");
  ASSERT_FALSE(unpacked);
  EXPECT_EQ(unpacked.error().code(), ErrorCode::kDataLoss);
  EXPECT_THAT(unpacked.error().message(), HasSubstr("lib/libx.so.1"));
}

}  // namespace
}  // namespace skerry
