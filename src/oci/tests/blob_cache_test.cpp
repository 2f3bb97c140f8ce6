#include "oci/blob_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "storage/file.h"

namespace skerry {
namespace {

class BlobCacheTest : public testing::Test {
 protected:
  void Open(std::uint64_t max_bytes) {
    cache_.reset();
    cache_ =
        BlobCache::Open(directory_.path() / "cache", max_bytes, std::chrono::seconds(0)).value();
  }
  std::filesystem::path FileOf(const std::string& bytes) {
    return directory_.path() / "cache" / fmt::format("sha256-{}", Digest::Sha256(bytes).hex());
  }
  LocalBlob Get(const std::string& bytes) {
    return cache_
        ->Get(Digest::Sha256(bytes),
              [&](const std::filesystem::path& file) {
                ++fetched_;
                return WriteFileDurably(file, bytes);
              })
        .value();
  }

  TemporaryDirectory directory_ = TemporaryDirectory::Create("skerry-cache").value();
  std::unique_ptr<BlobCache> cache_;
  std::atomic<int> fetched_{0};
};

TEST_F(BlobCacheTest, WhatWasUsedLongestAgoGoesFirstAndWhatIsHeldStays) {
  Open(10);
  const LocalBlob held = Get("held");  // 4 bytes
  Get("one1");
  Get("two2");  // 12: over the limit
  EXPECT_FALSE(cache_->Find(Digest::Sha256("one1")));
  EXPECT_TRUE(cache_->Find(Digest::Sha256("two2")));
  EXPECT_EQ(ReadFile(held.path, 10).value(), "held");
  EXPECT_FALSE(std::filesystem::exists(FileOf("one1")));
}

TEST_F(BlobCacheTest, WhatAnEarlierProcessLeftIsVerifiedBeforeItIsUsed) {
  Open(100);
  Get("good");
  Get("damaged");
  ASSERT_TRUE(WriteFileDurably(FileOf("damaged"), "damagee"));
  ASSERT_TRUE(WriteFileDurably(directory_.path() / "cache/.half", "x"));
  Open(100);
  EXPECT_FALSE(std::filesystem::exists(directory_.path() / "cache/.half"));
  EXPECT_EQ(ReadFile(Get("good").path, 10).value(), "good");
  EXPECT_EQ(fetched_, 2);
  EXPECT_EQ(ReadFile(Get("damaged").path, 10).value(), "damaged");
  EXPECT_EQ(fetched_, 3);
}

TEST_F(BlobCacheTest, WhatManyAskForIsFetchedOnceAndAFailureIsNobodysButItsOwn) {
  Open(100);
  const Digest digest = Digest::Sha256("wanted");
  EXPECT_EQ(cache_
                ->Get(digest,
                      [](const std::filesystem::path&) {
                        return Status(Fail(ErrorCode::kUnavailable, "away"));
                      })
                .error()
                .code(),
            ErrorCode::kUnavailable);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] { EXPECT_EQ(ReadFile(Get("wanted").path, 10).value(), "wanted"); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(fetched_, 1);
  cache_->Forget(digest);
  EXPECT_FALSE(cache_->Find(digest));
}

}  // namespace
}  // namespace skerry
