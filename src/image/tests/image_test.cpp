#include "image/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codec/json.h"
#include "image/image_types.h"
#include "image/system_root.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::size_t kMachineAt = 18;  // e_machine in an ELF head
constexpr std::uint64_t kMost = 64U << 20U;

// A small program of this system stands for skerry and its libraries: what is in them is no matter
// here (tests/image_test.py runs the real ones).
class ImageTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(directory_.path() / "bin/lib");
    for (const fs::path& file : {options_.binary, Library("libonnxruntime.so.1")})
      fs::copy_file("/usr/bin/true", file);
    MakeModel("one");
    options_.model = directory_.path() / "one";
  }
  ImageOptions Options() const {
    ImageOptions options;
    options.name = "milling";
    options.version = "1";
    options.binary = directory_.path() / "bin/skerry";
    options.skerry_version = "9.9";
    return options;
  }
  fs::path Library(const char* name) const { return directory_.path() / "bin/lib" / name; }
  void MakeModel(const std::string& text) {
    const fs::path package = directory_.path() / text;
    fs::create_directories(package);
    ASSERT_TRUE(WriteFileDurably(package / "model.onnx", text));
    ASSERT_TRUE(WriteFileDurably(package / "schema.json", "{}"));
  }
  ImageFacts Build(const std::string& name) {
    auto built = BuildImage(options_, directory_.path() / name);
    EXPECT_TRUE(built) << built.error().ToString();
    return built.value_or(ImageFacts());
  }
  Error Refused() {
    auto built = BuildImage(options_, directory_.path() / "refused");
    EXPECT_FALSE(built);
    EXPECT_FALSE(fs::exists(directory_.path() / "refused"));
    return built ? Error(ErrorCode::kInternal, "it was built") : built.error();
  }

  TemporaryDirectory directory_ = TemporaryDirectory::Create("skerry-image-test").value();
  ImageOptions options_ = Options();
};

std::vector<std::string> NamesOf(const ImageFacts& facts) {
  std::vector<std::string> names;
  for (const ImageLayerFacts& layer : facts.layers) names.push_back(layer.name);
  return names;
}

TEST_F(ImageTest, TheSameInputIsTheSameImageAndANewModelIsOneNewLayer) {
  const ImageFacts first = Build("first");
  EXPECT_THAT(NamesOf(first), ElementsAre("base", "onnxruntime", "skerry", "model"));
  EXPECT_EQ(Build("again").index, first.index);
  EXPECT_EQ(Build("archive.tar").index, first.index);
  MakeModel("two");
  options_.model = directory_.path() / "two";
  options_.version = "2";
  const ImageFacts second = Build("second");
  EXPECT_NE(second.index, first.index);
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_EQ(second.layers[i].digest == first.layers[i].digest, i < 3) << second.layers[i].name;
}

TEST_F(ImageTest, TheTimeOfMakingIsInNoLayer) {
  const ImageFacts first = Build("first");
  options_.created_s = 1'700'000'000;
  const ImageFacts later = Build("later");
  EXPECT_NE(later.manifest, first.manifest);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(later.layers[i].digest, first.layers[i].digest);
  const auto layout = LayoutReader::Open(directory_.path() / "later").value();
  const Artifact index = layout.ReadManifest(layout.Find("1").value()).value();
  EXPECT_THAT(index.manifest_bytes, HasSubstr("2023-11-14T22:13:20Z"));
}

TEST_F(ImageTest, TheSbomRefersToTheImage) {
  const ImageFacts facts = Build("image");
  const auto layout = LayoutReader::Open(directory_.path() / "image").value();
  const auto& entries = layout.entries();
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[1].digest, facts.sbom);
  const Artifact sbom = layout.Read(entries[1]).value();
  const Manifest manifest = Manifest::Parse(sbom.manifest_bytes).value();
  EXPECT_EQ(manifest.subject->digest, facts.manifest);
  EXPECT_EQ(manifest.artifact_type, "application/vnd.cyclonedx+json");
  const Json document =
      ParseJson(ReadDocument(sbom, media_types::kCycloneDx, kMost).value()).value();
  EXPECT_EQ(document.at("metadata").at("component").at("name"), "milling");
  std::string hash;
  for (const Json& component : document.at("components"))
    if (component.at("name") == "model.onnx")
      hash = component.at("hashes").at(0).at("content").get<std::string>();
  EXPECT_EQ(hash, Digest::Sha256("one").hex());
}

TEST_F(ImageTest, RefusalsSayWhatIsMissing) {
  options_.purpose = ImagePurpose::kSite;
  EXPECT_EQ(Refused().code(), ErrorCode::kInvalidArgument);  // a site with a model
  options_.model.clear();
  const Error lacking = Refused();
  EXPECT_EQ(lacking.code(), ErrorCode::kNotFound);
  EXPECT_THAT(lacking.message(), HasSubstr("libduckdb.so"));
  options_.purpose = ImagePurpose::kServe;
  EXPECT_THAT(Refused().message(), HasSubstr("model package"));
  options_.model = directory_.path() / "bin";
  EXPECT_THAT(Refused().message(), HasSubstr("package"));
  EXPECT_FALSE(ParseImagePurpose("server"));
  fs::create_directories(directory_.path() / "there");
  options_.model = directory_.path() / "one";
  EXPECT_EQ(BuildImage(options_, directory_.path() / "there").error().code(),
            ErrorCode::kAlreadyExists);
}

// A root and programs for another processor, by the only thing that is looked at: the ELF head.
void CopyAsArm64(const fs::path& from, const fs::path& to) {
  std::string bytes = ReadFile(from, kMost).value();
  bytes[kMachineAt] = static_cast<char>(183);
  fs::create_directories(to.parent_path());
  ASSERT_TRUE(WriteFileDurably(to, bytes));
}

TEST_F(ImageTest, ASecondArchitectureJoinsTheIndex) {
  const ImageFacts here = Build("here");
  const auto closure = SystemRoot::Open("/").value().LibrariesOf({options_.binary}).value();
  const fs::path root = directory_.path() / "root";
  for (const SystemLibrary& library : closure.libraries)
    CopyAsArm64(library.file, root / "usr/lib/aarch64-linux-gnu" / library.name);
  const fs::path other = directory_.path() / "arm64";
  CopyAsArm64("/usr/bin/true", other / "skerry");
  CopyAsArm64("/usr/bin/true", other / "lib/libonnxruntime.so.1");
  options_.binary = other / "skerry";
  options_.root = root;
  options_.join = directory_.path() / "here";
  const ImageFacts both = Build("both");
  EXPECT_EQ(both.architecture, "arm64");
  EXPECT_THAT(both.platforms, ElementsAre("linux/amd64", "linux/arm64"));
  EXPECT_EQ(both.layers.back().digest, here.layers.back().digest);  // the model's

  const auto layout = LayoutReader::Open(directory_.path() / "both").value();
  EXPECT_EQ(layout.entries().size(), 3U);  // the index, and an SBOM each
  const Artifact index = layout.ReadManifest(layout.Find("1").value()).value();
  const Manifest parsed = Manifest::Parse(index.manifest_bytes).value();
  ASSERT_EQ(parsed.manifests.size(), 2U);
  EXPECT_EQ(parsed.manifests[0].digest, here.manifest);
  for (const Descriptor& image : parsed.manifests) EXPECT_TRUE(layout.Read(image));
  // Made again for the same processor, it takes the older one's place.
  options_.join = directory_.path() / "both";
  EXPECT_EQ(Build("anew").index, both.index);
}

}  // namespace
}  // namespace skerry
