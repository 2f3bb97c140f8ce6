#include "oci/layout.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "oci/media_types.h"
#include "oci/registry.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

class LayoutTest : public testing::Test {
 protected:
  void SetUp() override {
    auto writer = LayoutWriter::Create(layout_).value();
    writer.SetAnnotation(std::string(annotations::kBundle), "b1");
    for (const Artifact& artifact : {one_, two_})
      ASSERT_TRUE(writer.AddArtifact(
          artifact, {{std::string(annotations::kRefName),
                      artifact.manifest.digest == one_.manifest.digest ? "one" : "two"},
                     {std::string(annotations::kKind), "model"}}));
    ASSERT_TRUE(writer.Finish());
  }
  static Artifact Make(const std::string& text) {
    return MakeArtifact("application/vnd.example", EmptyConfig(),
                        {BlobSource::OfBytes("text/plain", text),
                         BlobSource::OfBytes("text/plain", "shared")})
        .value();
  }
  fs::path PathOf(const Digest& digest) const {
    return layout_ / "blobs" / digest.algorithm() / digest.hex();
  }
  static void FlipBit(const fs::path& path, std::size_t at) {
    std::string bytes = ReadFile(path, 1U << 20U).value();
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    ASSERT_TRUE(WriteFileDurably(path, bytes));
  }
  // Entry "one" is refused with this code and a message that names `digest`; "two" is whole.
  void ExpectOnlyOneRefused(ErrorCode code, const Digest& digest) {
    const auto reader = LayoutReader::Open(layout_).value();
    const auto refused = reader.Read(reader.Find("one").value());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), code) << refused.error().ToString();
    EXPECT_NE(refused.error().message().find(digest.hex()), std::string::npos)
        << refused.error().message();
    EXPECT_TRUE(reader.Read(reader.Find("two").value()));
  }

  TemporaryDirectory directory_ = TemporaryDirectory::Create("skerry-layout").value();
  fs::path layout_ = directory_.path() / "layout";
  Artifact one_ = Make("first");
  Artifact two_ = Make("second");
  Digest first_ = Digest::Sha256("first");
};

TEST_F(LayoutTest, GivesBackWhatWasWritten) {
  const auto reader = LayoutReader::Open(layout_).value();
  EXPECT_EQ(reader.annotations().at("org.skerry.bundle"), "b1");
  ASSERT_EQ(reader.entries().size(), 2U);
  EXPECT_EQ(reader.entries()[0].Annotation(annotations::kKind), "model");
  const Artifact read = reader.Read(reader.Find("two").value()).value();
  EXPECT_EQ(read.manifest_bytes, two_.manifest_bytes);
  ASSERT_EQ(read.blobs.size(), 3U);
  EXPECT_EQ(read.FindBlob(Digest::Sha256("second"))->Read(100).value(), "second");
  const auto missing = reader.Find("three");
  EXPECT_NE(missing.error().message().find("one, two"), std::string::npos);
}

TEST_F(LayoutTest, FlippedBitConcernsOnlyItsArtifact) {
  FlipBit(PathOf(first_), 2);
  ExpectOnlyOneRefused(ErrorCode::kDataLoss, first_);
}

TEST_F(LayoutTest, FlippedBitInAManifestIsFound) {
  FlipBit(PathOf(one_.manifest.digest), 30);
  ExpectOnlyOneRefused(ErrorCode::kDataLoss, one_.manifest.digest);
}

TEST_F(LayoutTest, MissingAndCutBlobsAreNamed) {
  ASSERT_TRUE(WriteFileDurably(PathOf(first_), "fir"));
  ExpectOnlyOneRefused(ErrorCode::kDataLoss, first_);
  ASSERT_TRUE(RemoveFile(PathOf(first_)));
  ExpectOnlyOneRefused(ErrorCode::kDataLoss, first_);
  ASSERT_TRUE(RemoveFile(PathOf(one_.manifest.digest)));
  ExpectOnlyOneRefused(ErrorCode::kDataLoss, one_.manifest.digest);
}

TEST_F(LayoutTest, EveryDamagedBlobOfAnArtifactIsNamed) {
  ASSERT_TRUE(RemoveFile(PathOf(first_)));
  FlipBit(PathOf(Digest::Sha256("shared")), 0);
  const auto reader = LayoutReader::Open(layout_).value();
  const std::string message = reader.Read(reader.Find("one").value()).error().message();
  EXPECT_NE(message.find(first_.hex()), std::string::npos);
  EXPECT_NE(message.find(Digest::Sha256("shared").hex()), std::string::npos);
}

TEST_F(LayoutTest, LinksAndDevicesAreRefused) {
  const fs::path outside = directory_.path() / "outside";
  ASSERT_TRUE(WriteFileDurably(outside, "first"));
  ASSERT_TRUE(RemoveFile(PathOf(first_)));
  fs::create_symlink(outside, PathOf(first_));
  ExpectOnlyOneRefused(ErrorCode::kDataLoss, first_);  // one blob's refusal, named
  ASSERT_TRUE(RemoveFile(PathOf(first_)));
  ASSERT_EQ(mkfifo(PathOf(first_).c_str(), 0600), 0);
  ExpectOnlyOneRefused(ErrorCode::kDataLoss, first_);
  const auto reader = LayoutReader::Open(layout_).value();
  fs::rename(layout_ / "blobs", directory_.path() / "elsewhere");
  fs::create_symlink(directory_.path() / "elsewhere", layout_ / "blobs");
  EXPECT_EQ(reader.Read(reader.entries()[1]).error().code(), ErrorCode::kPermissionDenied);
}

TEST_F(LayoutTest, LinkedIndexOrDirectoryIsRefused) {
  fs::rename(layout_ / "index.json", directory_.path() / "index");
  fs::create_symlink(directory_.path() / "index", layout_ / "index.json");
  EXPECT_EQ(LayoutReader::Open(layout_).error().code(), ErrorCode::kPermissionDenied);
  fs::create_directory_symlink(layout_, directory_.path() / "link");
  EXPECT_EQ(LayoutReader::Open(directory_.path() / "link").error().code(),
            ErrorCode::kPermissionDenied);
}

TEST_F(LayoutTest, WithoutItsIndexItWasNotFinished) {
  ASSERT_TRUE(RemoveFile(layout_ / "index.json"));
  EXPECT_EQ(LayoutReader::Open(layout_).error().code(), ErrorCode::kFailedPrecondition);
}

TEST_F(LayoutTest, DamagedIndexIsSaidToBe) {
  const std::string index = ReadFile(layout_ / "index.json", 1U << 20U).value();
  for (const std::string& damaged :
       {index.substr(0, index.size() / 2), std::string(), std::string("[]"), std::string("{}"),
        std::string(R"({"manifests":[{"digest":"../../etc/passwd","size":1,"mediaType":"x"}]})")}) {
    ASSERT_TRUE(WriteFileDurably(layout_ / "index.json", damaged));
    EXPECT_EQ(LayoutReader::Open(layout_).error().code(), ErrorCode::kDataLoss) << damaged;
  }
  EXPECT_EQ(LayoutReader::Open(directory_.path()).error().code(), ErrorCode::kNotFound);
}

TEST_F(LayoutTest, TooManyEntriesAreRefused) {
  std::string index = R"({"schemaVersion":2,"manifests":[0)";
  for (std::size_t i = 0; i < limits::kBundleEntries; ++i) index += ",0";
  ASSERT_TRUE(WriteFileDurably(layout_ / "index.json", index + "]}"));
  EXPECT_EQ(LayoutReader::Open(layout_).error().code(), ErrorCode::kTooLarge);
}

TEST_F(LayoutTest, WriterRefusesDamagedAndMissingBlobsAndAUsedDirectory) {
  EXPECT_EQ(LayoutWriter::Create(layout_).error().code(), ErrorCode::kAlreadyExists);
  auto writer = LayoutWriter::Create(directory_.path() / "new").value();
  Artifact damaged = one_;
  damaged.blobs[1].content = std::string("fIrst");
  EXPECT_EQ(writer.AddArtifact(damaged, {}).error().code(), ErrorCode::kDataLoss);
  Artifact lacking = one_;
  lacking.blobs.pop_back();
  EXPECT_EQ(writer.AddArtifact(lacking, {}).error().code(), ErrorCode::kInvalidArgument);
  ASSERT_TRUE(writer.Finish());
  EXPECT_TRUE(LayoutReader::Open(directory_.path() / "new").value().entries().empty());
}

TEST_F(LayoutTest, ImportingThriceIsImportingOnce) {
  const auto registry = Registry::Open(directory_.path() / "registry").value();
  for (int round = 0; round < 3; ++round) {
    const auto reader = LayoutReader::Open(layout_).value();
    for (const Descriptor& entry : reader.entries())
      ASSERT_TRUE(registry->PutArtifact("a", entry.Annotation(annotations::kRefName),
                                        reader.Read(entry).value()));
  }
  EXPECT_EQ(registry->Tags("a").value(), (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(registry->ManifestBytes("a", "two").value(), two_.manifest_bytes);
}

}  // namespace
}  // namespace skerry
