// BlobStore, UploadStore and RepositoryStore below their public HTTP face.
#include <gtest/gtest.h>

#include "base/limits.h"
#include "oci/file_blob_store.h"
#include "oci/file_records.h"
#include "oci/file_uploads.h"
#include "oci/repository_store.h"
#include "oci/upload_store.h"
#include "storage/file.h"

namespace skerry {
namespace {

class StoreTest : public testing::Test {
 protected:
  TemporaryDirectory directory_ = TemporaryDirectory::Create("skerry-store").value();
  std::unique_ptr<UploadStore> OpenUploads() {
    return UploadStore::Open(directory_.path(), {1000, 10, std::chrono::hours(1)},
                             std::make_unique<FileUploads>(blobs_))
        .value();
  }
  RepositoryStore OpenRepositories() const {
    return RepositoryStore(FileRecords::Open(directory_.path()).value());
  }

  FileBlobStore blobs_ = FileBlobStore::Open(directory_.path()).value();
};

TEST_F(StoreTest, DamageIsFoundAndHealedByANewPut) {
  const Digest digest = blobs_.Put("hello").value();
  ASSERT_TRUE(WriteFileDurably(blobs_.PathOf(digest), "hellp"));
  EXPECT_EQ(blobs_.Read(digest, 10).error().code(), ErrorCode::kDataLoss);
  EXPECT_EQ(blobs_.Verify(digest).error().code(), ErrorCode::kDataLoss);
  ASSERT_TRUE(blobs_.Put("hello"));
  EXPECT_EQ(blobs_.Read(digest, 10).value(), "hello");
  EXPECT_EQ(blobs_.Read(digest, 4).error().code(), ErrorCode::kTooLarge);
}

TEST_F(StoreTest, ContentUnderAnotherDigestIsRefusedAndLeavesNothing) {
  const Digest digest = Digest::Sha256("other");
  EXPECT_EQ(blobs_.Put("hello", digest).error().code(), ErrorCode::kDataLoss);
  ASSERT_TRUE(WriteFileDurably(directory_.path() / "source", "hello"));
  BlobSource source;
  source.descriptor.digest = digest;
  source.content = directory_.path() / "source";
  EXPECT_EQ(blobs_.PutBlob(source).error().code(), ErrorCode::kDataLoss);
  EXPECT_FALSE(blobs_.Has(digest));
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path() / "incoming"));
}

TEST_F(StoreTest, LeftoversOfAKilledWriterGoAway) {
  ASSERT_TRUE(WriteFileDurably(directory_.path() / "incoming/1234", "half"));
  ASSERT_TRUE(FileBlobStore::Open(directory_.path()));
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path() / "incoming"));
}

TEST_F(StoreTest, RemovedBlobIsAbsent) {
  const Digest digest = blobs_.Put("hello").value();
  ASSERT_TRUE(blobs_.Remove(digest));
  ASSERT_TRUE(blobs_.Remove(digest));
  EXPECT_EQ(blobs_.Read(digest, 10).error().code(), ErrorCode::kNotFound);
}

TEST_F(StoreTest, NewerWriterTakesAnUploadOver) {
  const auto uploads = OpenUploads();
  const std::string id = uploads->Start("a").value();
  auto older = uploads->Resume(id, "a", 0).value();
  ASSERT_TRUE(older.Write("hel"));
  auto newer = uploads->Resume(id, "a", 3).value();
  EXPECT_EQ(older.Write("XXX").error().code(), ErrorCode::kConflict);
  ASSERT_TRUE(newer.Write("lo"));
  EXPECT_EQ(uploads->Finish(std::move(older), id, Digest::Sha256("hello")).error().code(),
            ErrorCode::kConflict);
  ASSERT_TRUE(uploads->Finish(std::move(newer), id, Digest::Sha256("hello")));
  EXPECT_EQ(blobs_.Read(Digest::Sha256("hello"), 10).value(), "hello");
}

TEST_F(StoreTest, AnsweredOffsetStays) {
  const auto uploads = OpenUploads();
  const std::string id = uploads->Start("a").value();
  auto late = uploads->Resume(id, "a", 0).value();
  ASSERT_TRUE(late.Write("hel"));
  EXPECT_EQ(uploads->Offset(id, "a").value(), 3U);
  EXPECT_EQ(late.Write("XXX").error().code(), ErrorCode::kConflict);
  EXPECT_TRUE(uploads->Resume(id, "a", 3));
}

TEST_F(StoreTest, FinishedUploadTakesNoMoreBytes) {
  const auto uploads = OpenUploads();
  const std::string id = uploads->Start("a").value();
  auto writer = uploads->Resume(id, "a", 0).value();
  auto cancelled = uploads->Resume(id, "a", std::nullopt).value();
  ASSERT_TRUE(uploads->Cancel(id, "a"));
  EXPECT_EQ(writer.Write("x").error().code(), ErrorCode::kConflict);
  EXPECT_EQ(cancelled.Write("x").error().code(), ErrorCode::kConflict);
  EXPECT_EQ(uploads->Offset(id, "a").error().code(), ErrorCode::kNotFound);
}

TEST_F(StoreTest, RepositoryNamesAreCheckedBeforeTheyBecomePaths) {
  RepositoryStore repositories = OpenRepositories();
  for (const char* name : {"../x", "a/../../x", "_blobs", "", "/etc"}) {
    EXPECT_FALSE(repositories.LinkBlob(name, Digest::Sha256("x"))) << name;
    EXPECT_FALSE(repositories.FindTag(name, "1")) << name;
  }
  EXPECT_FALSE(repositories.FindTag("a", "../_blobs/x"));
  EXPECT_TRUE(repositories.Repositories().value().empty());
}

TEST_F(StoreTest, RepositoriesAreListedWhereverTheyNest) {
  RepositoryStore repositories = OpenRepositories();
  for (const char* name : {"b/c", "a", "b", "b/c/d"})
    ASSERT_TRUE(repositories.LinkBlob(name, Digest::Sha256("x")));
  EXPECT_EQ(repositories.Repositories().value(),
            (std::vector<std::string>{"a", "b", "b/c", "b/c/d"}));
}

TEST_F(StoreTest, TagOfAnAbsentManifestIsRefused) {
  RepositoryStore repositories = OpenRepositories();
  EXPECT_EQ(repositories.PutTag("a", "1", Digest::Sha256("x")).error().code(),
            ErrorCode::kNotFound);
}

}  // namespace
}  // namespace skerry
