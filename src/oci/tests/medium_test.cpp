#include "oci/medium.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <map>
#include <random>
#include <set>

#include "base/media_limits.h"
#include "codec/tests/noise.h"
#include "oci/layout.h"
#include "oci/media_types.h"
#include "oci/tests/tar_check.h"
#include "oci/tests/tar_text.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::SizeIs;

Artifact MakeOne(const std::vector<std::string>& layers) {
  std::vector<BlobSource> blobs;
  for (const std::string& layer : layers) blobs.push_back(BlobSource::OfBytes("text/plain", layer));
  return MakeArtifact("application/vnd.example", EmptyConfig(), std::move(blobs)).value();
}

class MediumTest : public testing::Test {
 protected:
  // Small bounds, so that a few kilobytes are packed, split and spread.
  static constexpr MediumBounds kSmall{
      .loose_blobs = 4, .loose_blob_bytes = 3'000, .piece_bytes = 2'000, .pack_bytes = 4'000};

  fs::path Path(const std::string& name) const { return directory_.path() / name; }
  // Plans and writes all artifacts; stops before the index when told to.
  void Write(const fs::path& path, MediumForm form, bool finish = true, std::size_t stop = 1'000) {
    LayoutWriter writer = LayoutWriter::Create(path, form, kSmall).value();
    std::vector<Descriptor> plan;
    for (std::size_t i = 0; i < artifacts_.size(); ++i)
      plan.push_back(LayoutWriter::EntryOf(
          artifacts_[i], {{std::string(annotations::kRefName), std::to_string(i)}}));
    ASSERT_TRUE(writer.Plan(plan));
    for (std::size_t i = 0; i < std::min(stop, artifacts_.size()); ++i)
      ASSERT_TRUE(writer.AddArtifact(artifacts_[i],
                                     {{std::string(annotations::kRefName), std::to_string(i)}}));
    kept_ = writer.kept_blobs();
    if (finish) {
      ASSERT_TRUE(writer.Finish());
    }
  }
  void ExpectWhole(const fs::path& path) {
    const auto reader = LayoutReader::Open(path);
    ASSERT_TRUE(reader) << reader.error().message();
    EXPECT_THAT(reader->damage(), SizeIs(0));
    ASSERT_EQ(reader->entries().size(), artifacts_.size());
    for (std::size_t i = 0; i < artifacts_.size(); ++i) {
      const auto artifact = reader->Read(reader->entries()[i]);
      ASSERT_TRUE(artifact) << artifact.error().message();
      for (const BlobSource& blob : artifacts_[i].blobs)
        EXPECT_EQ(artifact->FindBlob(blob.descriptor.digest)->Read(1U << 20U).value(),
                  blob.Read(1U << 20U).value());
    }
  }
  void ExpectRightOrRefused(const LayoutReader& reader, std::size_t i) {
    const auto artifact = reader.Read(reader.entries()[i]);
    if (!artifact) return;
    for (const BlobSource& blob : artifacts_[i].blobs)
      EXPECT_EQ(artifact->FindBlob(blob.descriptor.digest)->Read(1U << 20U).value(),
                blob.Read(1U << 20U).value());
  }
  static fs::path FormPath(const fs::path& path, MediumForm form) {
    return form == MediumForm::kArchive ? fs::path(path.string() + ".tar") : path;
  }

  TemporaryDirectory directory_ = TemporaryDirectory::Create("skerry-medium").value();
  std::vector<Artifact> artifacts_{
      MakeOne({Noise(100, 1), Noise(1'500, 2)}), MakeOne({Noise(5'000, 3)}),
      MakeOne({Noise(512, 4), Noise(1'024, 5), ""}), MakeOne({Noise(7'001, 6), Noise(10, 7)})};
  std::uint64_t kept_ = 0;
};

TEST_F(MediumTest, WhatIsPackedAndSplitIsReadAsItWas) {
  for (const MediumForm form : {MediumForm::kDirectory, MediumForm::kArchive}) {
    const fs::path path = FormPath(Path("a"), form);
    Write(path, form);
    ExpectWhole(path);
  }
  // Four loose files, and packs that stay small.
  std::size_t loose = 0;
  for (const auto& entry : fs::directory_iterator(Path("a") / "blobs" / "sha256"))
    loose += entry.is_regular_file() ? 1U : 0U;
  EXPECT_EQ(loose, 4U);
  EXPECT_TRUE(fs::exists(Path("a") / PackName(2)));
  for (const auto& pack : fs::directory_iterator(Path("a") / "packs"))
    EXPECT_LE(pack.file_size(), kSmall.pack_bytes + kSmall.piece_bytes + 3 * kTarBlock);
}

TEST_F(MediumTest, StockToolsUnpackTheArchivesIntoALayout) {
  Write(Path("a.tar"), MediumForm::kArchive);
  fs::create_directory(Path("out"));
  ASSERT_EQ(
      std::system(
          fmt::format("tar -xf {} -C {}", Path("a.tar").string(), Path("out").string()).c_str()),
      0);
  artifacts_.resize(1);  // its blobs are in one piece each
  const auto reader = LayoutReader::Open(Path("out")).value();
  EXPECT_TRUE(reader.Read(reader.entries()[0]));
  // And back: what GNU tar makes of a directory is read as well.
  ASSERT_EQ(std::system(
                fmt::format("tar -cf {} -C {} .", Path("again.tar").string(), Path("out").string())
                    .c_str()),
            0);
  const auto again = LayoutReader::Open(Path("again.tar"));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_TRUE(again->Read(again->entries()[0]));
}

TEST_F(MediumTest, InterruptedWriterIsGoneOnWithAtEveryPart) {
  for (const MediumForm form : {MediumForm::kDirectory, MediumForm::kArchive})
    for (std::size_t stop = 0; stop <= artifacts_.size(); ++stop) {
      const fs::path path = FormPath(Path(fmt::format("r{}", stop)), form);
      Write(path, form, false, stop);
      Write(path, form);
      std::set<Digest> written;
      for (std::size_t i = 0; i < stop; ++i) {
        written.insert(artifacts_[i].manifest.digest);
        for (const BlobSource& blob : artifacts_[i].blobs) written.insert(blob.descriptor.digest);
      }
      EXPECT_EQ(kept_, written.size()) << stop;
      ExpectWhole(path);
      EXPECT_EQ(LayoutWriter::Create(path, form).error().code(), ErrorCode::kAlreadyExists);
    }
}

TEST_F(MediumTest, ArchiveThatIsCutAnywhereIsGoneOnWith) {
  Write(Path("whole.tar"), MediumForm::kArchive);
  const std::string bytes = ReadFile(Path("whole.tar"), 1U << 20U).value();
  for (std::size_t cut = 0; cut < bytes.size() - 2'000; cut += 777) {
    ASSERT_TRUE(WriteFileDurably(Path("c.tar.partial"), bytes.substr(0, cut)));
    Write(Path("c.tar"), MediumForm::kArchive);
    ExpectWhole(Path("c.tar"));
    ASSERT_TRUE(RemoveFile(Path("c.tar")));
  }
}

// The plan at the archive's front tells of everything, so what was copied is used.
TEST_F(MediumTest, CutArchiveGivesItsWholeArtifactsAndNamesTheRest) {
  Write(Path("a.tar"), MediumForm::kArchive);
  const std::string bytes = ReadFile(Path("a.tar"), 1U << 20U).value();
  ASSERT_TRUE(WriteFileDurably(Path("cut.tar"), bytes.substr(0, bytes.size() / 2)));
  const auto reader = LayoutReader::Open(Path("cut.tar"));
  ASSERT_TRUE(reader) << reader.error().message();
  EXPECT_THAT(reader->damage(), testing::Contains(HasSubstr("index.json")));
  ASSERT_EQ(reader->entries().size(), artifacts_.size());
  EXPECT_TRUE(reader->Read(reader->entries()[0]));
  EXPECT_THAT(reader->Check(reader->entries()[0]), SizeIs(0));
  EXPECT_EQ(reader->Read(reader->entries()[3]).error().code(), ErrorCode::kDataLoss);
  EXPECT_THAT(reader->Check(reader->entries()[3]), testing::Not(SizeIs(0)));
}

// Of every byte: found, or outside what anything depends on; never a crash, and all artifacts but
// those that the byte belongs to stay whole.
TEST_F(MediumTest, EveryFlippedByteOfAnArchiveCostsAtMostItsOwnArtifact) {
  Write(Path("a.tar"), MediumForm::kArchive);
  std::string bytes = ReadFile(Path("a.tar"), 1U << 20U).value();
  for (std::size_t at = 0; at < bytes.size(); at += 31) {
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    std::ofstream(Path("f.tar"), std::ios::binary | std::ios::trunc) << bytes;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    const auto reader = LayoutReader::Open(Path("f.tar"));
    ASSERT_TRUE(reader) << at << ": " << reader.error().message();
    std::size_t whole = 0;
    for (const Descriptor& entry : reader->entries()) whole += reader->Read(entry) ? 1U : 0U;
    EXPECT_GE(whole + 1, artifacts_.size()) << "byte " << at;
  }
}

TEST_F(MediumTest, EveryFlippedByteOfAPackIsFoundOrHarmless) {
  Write(Path("a"), MediumForm::kDirectory);
  const fs::path pack = Path("a") / PackName(1);
  const std::string whole_pack = ReadFile(pack, 1U << 20U).value();
  for (std::size_t at = 0; at < whole_pack.size(); at += 17) {
    std::string bytes = whole_pack;
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    std::ofstream(pack, std::ios::binary | std::ios::trunc) << bytes;
    const auto reader = LayoutReader::Open(Path("a"));
    ASSERT_TRUE(reader) << at << ": " << reader.error().message();
    for (std::size_t i = 0; i < artifacts_.size(); ++i) ExpectRightOrRefused(*reader, i);
  }
}

TEST_F(MediumTest, SourceThatIsNotItsDigestLeavesNothing) {
  for (const MediumForm form : {MediumForm::kDirectory, MediumForm::kArchive}) {
    const fs::path path = FormPath(Path("d"), form);
    LayoutWriter writer = LayoutWriter::Create(path, form, kSmall).value();
    for (const std::size_t i : {0U, 1U, 3U}) {
      Artifact damaged = artifacts_[i];
      auto& text = std::get<std::string>(damaged.blobs[1].content);
      text.back() = static_cast<char>(text.back() ^ 1);
      EXPECT_EQ(writer.AddArtifact(damaged, {}).error().code(), ErrorCode::kDataLoss);
      EXPECT_TRUE(writer.AddArtifact(artifacts_[i], {}));
    }
    ASSERT_TRUE(writer.Finish());
    const auto reader = LayoutReader::Open(path).value();
    for (const Descriptor& entry : reader.entries()) EXPECT_TRUE(reader.Read(entry));
  }
}

// The same mutations in every run; make fuzz looks further.
TEST(TarFuzzTest, MutatedArchivesAreReadOrRefused) {
  std::vector<std::string> corpus;
  for (const auto& entry : fs::directory_iterator(SKERRY_TAR_CORPUS))
    corpus.push_back(ReadFile(entry.path(), 1U << 20U).value());
  ASSERT_GE(corpus.size(), 8U);
  std::mt19937 random(1);
  std::size_t read = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = corpus[random() % corpus.size()];
    for (std::size_t changes = random() % 4; changes > 0; --changes) {
      const std::size_t at = random() % (bytes.size() + 1);
      switch (random() % 4) {
        case 0: bytes.resize(at); break;
        case 1: bytes.insert(at / 512 * 512, corpus[random() % corpus.size()]); break;
        case 2: bytes.insert(at / 512 * 512, std::string(512 * (random() % 3), '\0')); break;
        default:
          if (at < bytes.size()) bytes[at] = static_cast<char>(random());
      }
    }
    const TarOutcome outcome = ReadOrRefuse(bytes);
    read += outcome.read ? 1U : 0U;
    ASSERT_EQ(outcome.fault, "") << "round " << round;
  }
  EXPECT_GT(read, 1'000U);
}

class HostileArchiveTest : public MediumTest {
 protected:
  // What opening says of an archive with this entry in front of a good layout.
  Result<LayoutReader> OpenWith(const std::string& entry) {
    Write(Path("good.tar"), MediumForm::kArchive);
    const std::string good = ReadFile(Path("good.tar"), 1U << 20U).value();
    std::ofstream(Path("h.tar"), std::ios::binary | std::ios::trunc) << entry << good;
    fs::remove(Path("good.tar"));
    return LayoutReader::Open(Path("h.tar"));
  }
  void ExpectRefused(const std::string& entry, const std::string& reason) {
    const auto reader = OpenWith(entry);
    ASSERT_FALSE(reader) << reason;
    EXPECT_THAT(reader.error().message(), HasSubstr(reason));
    // The same within a pack of a directory.
    fs::remove_all(Path("p"));
    Write(Path("p"), MediumForm::kDirectory);
    std::ofstream(Path("p") / PackName(1), std::ios::binary | std::ios::trunc) << entry;
    const auto packed = LayoutReader::Open(Path("p"));
    ASSERT_FALSE(packed) << reason;
    EXPECT_THAT(packed.error().message(), HasSubstr(reason));
  }
};

TEST_F(HostileArchiveTest, LinksDevicesAndNamesThatLeaveAreRefusedAsAWhole) {
  ExpectRefused(TarText("blobs/sha256/a", "", '2'), "symbolic link");
  ExpectRefused(TarText("blobs/sha256/a", "", '1'), "hard link");
  ExpectRefused(TarText("blobs/sha256/a", "", '3'), "device");
  ExpectRefused(TarText("blobs/sha256/a", "", '4'), "device");
  ExpectRefused(TarText("blobs/sha256/a", "", '6'), "pipe");
  ExpectRefused(TarText("blobs/sha256/a", "", 'S'), "sparse");
  ExpectRefused(TarText("blobs/sha256/a", "", 'L'), "type that is not read");
  ExpectRefused(TarText("../../etc/passwd", "x"), "leaves it");
  ExpectRefused(TarText("blobs/../../x", "x"), "leaves it");
  ExpectRefused(TarText("./..", "x"), "leaves it");
  ExpectRefused(TarText("/etc/passwd", "x"), "absolute name");
  ExpectRefused(TarText("pax", "20 path=../etc/x\n", 'x'), "extended headers");
  ExpectRefused(TarText("pax", "9 size=1\n", 'g'), "extended headers");
}

TEST_F(HostileArchiveTest, HeadersOfOtherToolsAndForeignFilesAreLeftAlone) {
  for (const std::string& entry :
       {TarText("./", "", '5'), TarText("pax", "30 mtime=1700000000.123456789\n", 'x'),
        TarText("System Volume Information/IndexerVolumeGuid", "x"), TarText("holiday.jpg", "x")})
    EXPECT_TRUE(OpenWith(entry));
}

// The archive says 8 GiB and has none of them: no memory, no time, a cut entry.
TEST_F(HostileArchiveTest, HugeDeclaredSizesAreCutEntries) {
  std::string entry = TarText("blobs/sha256/a", "x");
  entry = TarText("blobs/sha256/a", "", '0', (std::uint64_t{1} << 33U) - 1);
  std::ofstream(Path("b.tar"), std::ios::binary) << entry;
  const TarTable table = ReadTarFile(Path("b.tar")).value();
  ASSERT_THAT(table.entries, SizeIs(1));
  EXPECT_TRUE(table.entries[0].cut);
  EXPECT_EQ(table.end, 0U);
}

// A sparse terabyte is skipped by its holes.
TEST_F(HostileArchiveTest, SparseTerabyteIsReadAtOnce) {
  Write(Path("a.tar"), MediumForm::kArchive);
  fs::resize_file(Path("a.tar"), std::uint64_t{1} << 40U);
  ExpectWhole(Path("a.tar"));
}

TEST_F(HostileArchiveTest, MillionEntriesAreTooMany) {
  std::ofstream out(Path("m.tar"), std::ios::binary);
  for (std::size_t i = 0; i <= limits::kMediumEntries; ++i)
    out << TarText(fmt::format("blobs/sha256/{:064}", i), "");
  out.close();
  const auto reader = LayoutReader::Open(Path("m.tar"));
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().code(), ErrorCode::kTooLarge) << reader.error().message();
}

TEST_F(HostileArchiveTest, PipesLinksAndDevicesInPlaceOfTheBundleAreRefused) {
  ASSERT_EQ(mkfifo(Path("pipe.tar").c_str(), 0600), 0);
  Write(Path("a.tar"), MediumForm::kArchive);
  fs::create_symlink(Path("a.tar"), Path("link.tar"));
  for (const fs::path& path : {Path("pipe.tar"), Path("link.tar"), fs::path("/dev/zero")})
    EXPECT_EQ(LayoutReader::Open(path).error().code(), ErrorCode::kPermissionDenied) << path;
  // A pack that is a link.
  Write(Path("a"), MediumForm::kDirectory);
  fs::rename(Path("a") / PackName(1), Path("elsewhere"));
  fs::create_symlink(Path("elsewhere"), Path("a") / PackName(1));
  EXPECT_EQ(LayoutReader::Open(Path("a")).error().code(), ErrorCode::kPermissionDenied);
}

}  // namespace
}  // namespace skerry
