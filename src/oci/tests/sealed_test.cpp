// Sealed media: archives that one receiver alone can read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "codec/tests/noise.h"
#include "oci/age_file.h"
#include "oci/layout.h"
#include "oci/media_types.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::SizeIs;

class SealedTest : public testing::Test {
 protected:
  fs::path Path(const std::string& name) const { return directory_.path() / name; }

  Result<std::string> ReadBack(const fs::path& path, std::uint64_t offset, std::uint64_t bytes) {
    SKERRY_ASSIGN_OR_RETURN(const auto file, AgeFile::Open(path, identity_));
    std::string text;
    SKERRY_RETURN_IF_ERROR(file->Read(offset, bytes, [&](std::string_view piece) -> Status {
      text += piece;
      return {};
    }));
    return text;
  }
  // Three artifacts of 50 to 400 kB over packs of 256 KiB.
  void WriteLayout(const fs::path& path) {
    auto writer = LayoutWriter::Seal(path, identity_.recipient(), kSmall).value();
    std::vector<Descriptor> plan;
    for (const Artifact& artifact : artifacts_) plan.push_back(LayoutWriter::EntryOf(artifact, {}));
    ASSERT_TRUE(writer.Plan(plan));
    for (const Artifact& artifact : artifacts_) ASSERT_TRUE(writer.AddArtifact(artifact, {}));
    ASSERT_TRUE(writer.Finish());
  }
  static Artifact Make(std::size_t bytes, unsigned seed) {
    return MakeArtifact("application/vnd.example", EmptyConfig(),
                        {BlobSource::OfBytes("text/plain", Noise(bytes, seed))})
        .value();
  }

  static constexpr MediumBounds kSmall{
      .loose_blobs = 4, .loose_blob_bytes = 3'000, .piece_bytes = 150'000, .pack_bytes = 256'000};
  TemporaryDirectory directory_ = TemporaryDirectory::Create("skerry-sealed").value();
  AgeIdentity identity_ = AgeIdentity::Generate();
  std::vector<Artifact> artifacts_{Make(50'000, 1), Make(400'000, 2), Make(70'000, 3)};
};

TEST_F(SealedTest, AnyPlaceIsRead) {
  const std::string text = Noise(3 * kAgeChunkBytes + 100, 7);
  auto file = AgeAppendFile::Create(Path("a"), identity_.recipient()).value();
  for (std::size_t at = 0; at < text.size(); at += 10'007)
    ASSERT_TRUE(file.Write(std::string_view(text).substr(at, 10'007)));
  EXPECT_EQ(file.size(), text.size());
  ASSERT_TRUE(file.Close());
  for (const std::size_t at : {std::size_t{0}, kAgeChunkBytes - 1, kAgeChunkBytes, text.size() - 1})
    EXPECT_EQ(ReadBack(Path("a"), at, 2 * kAgeChunkBytes).value(),
              text.substr(at, 2 * kAgeChunkBytes));
  EXPECT_EQ(ReadBack(Path("a"), text.size(), 10).value(), "");
}

TEST_F(SealedTest, FilesOfWholeChunksAndEmptyOnes) {
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{1}, kAgeChunkBytes, 2 * kAgeChunkBytes}) {
    const fs::path path = Path(std::to_string(bytes));
    auto file = AgeAppendFile::Create(path, identity_.recipient()).value();
    ASSERT_TRUE(file.Write(Noise(bytes, 3)));
    ASSERT_TRUE(file.Close());
    EXPECT_EQ(AgeFile::Open(path, identity_).value()->size(), bytes);
    EXPECT_EQ(ReadBack(path, 0, bytes).value(), Noise(bytes, 3));
  }
}

TEST_F(SealedTest, WhatIsTakenBackIsGone) {
  const std::string text = Noise(3 * kAgeChunkBytes, 8);
  for (const std::size_t keep : {std::size_t{0}, std::size_t{5}, kAgeChunkBytes,
                                 2 * kAgeChunkBytes + 9, 3 * kAgeChunkBytes}) {
    const fs::path path = Path(std::to_string(keep));
    auto file = AgeAppendFile::Create(path, identity_.recipient()).value();
    ASSERT_TRUE(file.Write(text));
    ASSERT_TRUE(file.CutTo(keep));
    EXPECT_EQ(file.size(), keep);
    ASSERT_TRUE(file.Write("and on"));
    ASSERT_TRUE(file.Close());
    EXPECT_EQ(ReadBack(path, 0, 1U << 20U).value(), text.substr(0, keep) + "and on") << keep;
  }
}

TEST_F(SealedTest, ADamagedChunkCostsItselfAlone) {
  const std::string text = Noise(4 * kAgeChunkBytes, 9);
  auto file = AgeAppendFile::Create(Path("a"), identity_.recipient()).value();
  ASSERT_TRUE(file.Write(text));
  ASSERT_TRUE(file.Close());
  std::fstream(Path("a"), std::ios::in | std::ios::out | std::ios::binary)
      .seekp(static_cast<std::streamoff>(2 * kAgeChunkBytes))
      .put('x')
      .put('y');
  EXPECT_EQ(ReadBack(Path("a"), kAgeChunkBytes, 10).error().code(), ErrorCode::kDataLoss);
  EXPECT_EQ(ReadBack(Path("a"), 0, 100).value(), text.substr(0, 100));
  EXPECT_EQ(ReadBack(Path("a"), 3 * kAgeChunkBytes, 100).value(),
            text.substr(3 * kAgeChunkBytes, 100));
}

TEST_F(SealedTest, ALayoutIsReadByItsReceiverAlone) {
  WriteLayout(Path("a"));
  EXPECT_TRUE(fs::exists(Path("a") / SealedPackName(2)));
  const auto without = LayoutReader::Open(Path("a"));
  ASSERT_FALSE(without);
  EXPECT_EQ(without.error().code(), ErrorCode::kPermissionDenied);
  EXPECT_THAT(std::string(without.error().message()), HasSubstr("encrypted"));
  const AgeIdentity other = AgeIdentity::Generate();
  EXPECT_EQ(LayoutReader::Open(Path("a"), &other).error().code(), ErrorCode::kPermissionDenied);
  const auto reader = LayoutReader::Open(Path("a"), &identity_).value();
  EXPECT_THAT(reader.damage(), SizeIs(0));
  ASSERT_EQ(reader.entries().size(), artifacts_.size());
  for (const Descriptor& entry : reader.entries()) EXPECT_TRUE(reader.Read(entry));
}

TEST_F(SealedTest, NothingOfTheContentIsOnTheMedium) {
  WriteLayout(Path("a"));
  const std::string digest(artifacts_[0].manifest.digest.hex());
  const std::string piece = Noise(50'000, 1).substr(1'000, 64);
  for (const auto& entry : fs::recursive_directory_iterator(Path("a"))) {
    EXPECT_EQ(entry.path().string().find(digest), std::string::npos);
    if (!entry.is_regular_file()) continue;
    const std::string bytes = ReadFile(entry.path(), 1U << 24U).value();
    EXPECT_EQ(bytes.find(digest), std::string::npos) << entry.path();
    EXPECT_EQ(bytes.find(piece), std::string::npos) << entry.path();
  }
}

TEST_F(SealedTest, EveryDamageOfAPackLeavesTheWholeArtifacts) {
  WriteLayout(Path("a"));
  const fs::path pack = Path("a") / SealedPackName(1);
  const std::string good = ReadFile(pack, 1U << 24U).value();
  std::size_t whole = 0;
  for (std::size_t at = 0; at < good.size(); at += 20'011) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    std::ofstream(pack, std::ios::binary) << bad;
    const auto reader = LayoutReader::Open(Path("a"), &identity_);
    ASSERT_TRUE(reader) << at << ": " << reader.error().message();
    for (const Descriptor& entry : reader->entries()) whole += reader->Read(entry) ? 1U : 0U;
    std::ofstream(pack, std::ios::binary | std::ios::trunc) << good.substr(0, at);
    const auto cut = LayoutReader::Open(Path("a"), &identity_);
    ASSERT_TRUE(cut) << at << ": " << cut.error().message();
  }
  EXPECT_GT(whole, good.size() / 20'011) << "more than one of three, each time";
}

TEST_F(SealedTest, AnInterruptedOneIsBegunAgainAndAFinishedOneKept) {
  {
    auto writer = LayoutWriter::Seal(Path("a"), identity_.recipient(), kSmall).value();
    ASSERT_TRUE(writer.Plan({}));
    ASSERT_TRUE(writer.AddArtifact(artifacts_[1], {}));
  }
  WriteLayout(Path("a"));
  const auto reader = LayoutReader::Open(Path("a"), &identity_).value();
  for (const Descriptor& entry : reader.entries()) EXPECT_TRUE(reader.Read(entry));
  const auto again = LayoutWriter::Seal(Path("a"), identity_.recipient(), kSmall);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), ErrorCode::kAlreadyExists);
}

}  // namespace
}  // namespace skerry
