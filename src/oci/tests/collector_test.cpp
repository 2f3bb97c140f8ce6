// What the registry's garbage collection removes, and above all what it does not.
#include "oci/collector.h"

#include <atomic>
#include <thread>

#include "oci/content_leases.h"
#include "oci/tests/registry_fixture.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

const CollectOptions kHourOfGrace{.grace = 1h, .upload_age = 1h};

class CollectorTest : public RegistryTest {
 protected:
  fs::path LinkOf(std::string_view repository, const Digest& digest) const {
    return data_.path() / "registry/repositories" / repository / "_blobs" / digest.algorithm() /
           digest.hex();
  }
  static void MakeOld(const fs::path& path) {
    fs::last_write_time(path, fs::file_time_type::clock::now() - 2h);
  }
  Digest PushOldBlob(std::string_view repository, const std::string& bytes) {
    const Digest digest = Digest::Sha256(bytes);
    const HttpReply reply =
        Send("POST", fmt::format("/v2/{}/blobs/uploads/?digest={}", repository, digest.ToString()),
             bytes);
    EXPECT_EQ(reply.status, 201);
    MakeOld(LinkOf(repository, digest));
    return digest;
  }
  CollectReport Collect(const CollectOptions& options = kHourOfGrace) {
    return registry_->Collect(options).value();
  }
  int StatusOfBlob(std::string_view repository, const Digest& digest) {
    return Send("GET", fmt::format("/v2/{}/blobs/{}", repository, digest.ToString())).status;
  }
};

TEST_F(CollectorTest, OldBlobsWithoutAManifestGoAndNothingElse) {
  const Artifact named = Document("named");
  const Digest manifest = registry_->PutArtifact("a", "1", named).value();
  const Digest untagged = registry_->PutArtifact("a", "", Document("untagged")).value();
  for (const BlobSource& blob : named.blobs) MakeOld(LinkOf("a", blob.descriptor.digest));
  const Digest dropped = PushOldBlob("a", "dropped");
  const Digest shared = PushOldBlob("a", "shared");
  ASSERT_EQ(
      Send("POST", fmt::format("/v2/b/blobs/uploads/?mount={}&from=a", shared.ToString())).status,
      201);
  MakeOld(LinkOf("a", shared));  // b's is young

  const CollectReport report = Collect();
  EXPECT_EQ(report.links, 2U);
  EXPECT_EQ(report.blobs, 1U);
  EXPECT_EQ(report.bytes, 7U);
  EXPECT_EQ(StatusOfBlob("a", dropped), 404);
  EXPECT_FALSE(registry_->blobs().Has(dropped));
  EXPECT_EQ(StatusOfBlob("a", shared), 404);
  EXPECT_EQ(StatusOfBlob("b", shared), 200);
  EXPECT_EQ(registry_->GetArtifact("a", "1").value().manifest.digest, manifest);
  EXPECT_TRUE(registry_->ManifestBytes("a", untagged.ToString()));
  for (const BlobSource& blob : named.blobs)
    EXPECT_EQ(StatusOfBlob("a", blob.descriptor.digest), 200);
  EXPECT_EQ(Collect().links, 0U);
}

TEST_F(CollectorTest, DeletedManifestTakesItsContentAlong) {
  const Artifact subject = Document("subject");
  const Digest digest = registry_->PutArtifact("a", "1", subject).value();
  const Artifact signature = Document("signature", subject.manifest);
  const Digest referrer = registry_->PutArtifact("a", "", signature).value();
  for (const Digest& gone : {digest, referrer})
    ASSERT_EQ(Send("DELETE", "/v2/a/manifests/" + gone.ToString()).status, 202);
  for (const Artifact* artifact : {&subject, &signature})
    for (const BlobSource& blob : artifact->blobs) MakeOld(LinkOf("a", blob.descriptor.digest));
  Collect();
  EXPECT_TRUE(fs::is_empty(data_.path() / "registry/repositories/a/_blobs/sha256"));
  std::size_t left = 0;
  ASSERT_TRUE(registry_->blobs().ForEach([&](const Digest&, std::uint64_t) -> Status {
    ++left;
    return {};
  }));
  EXPECT_EQ(left, 0U);
}

TEST_F(CollectorTest, LookingForABlobKeepsIt) {
  const Digest digest = PushOldBlob("a", "looked for");
  ASSERT_EQ(Send("HEAD", fmt::format("/v2/a/blobs/{}", digest.ToString())).status, 200);
  EXPECT_EQ(Collect().links, 0U);
  EXPECT_EQ(StatusOfBlob("a", digest), 200);
}

TEST_F(CollectorTest, DamagedManifestKeepsWhatItMayName) {
  const Digest manifest = registry_->PutArtifact("a", "1", Document("text")).value();
  const Digest blob = PushOldBlob("a", "perhaps named");
  ASSERT_TRUE(WriteFileDurably(*registry_->blobs().FileOf(manifest), "{"));
  const CollectReport report = Collect();
  EXPECT_EQ(report.unread, 1U);
  EXPECT_EQ(report.links + report.blobs, 0U);
  EXPECT_EQ(StatusOfBlob("a", blob), 200);
}

TEST_F(CollectorTest, WhatAKilledPushOrDeleteLeftGoes) {
  const Artifact subject = Document("subject");
  const Digest referrer = registry_->PutArtifact("a", "", Document("s", subject.manifest)).value();
  // A deletion that came as far as the manifest; a blob that came to its place and got no link.
  fs::remove(data_.path() / "registry/repositories/a/_manifests/sha256" / referrer.hex());
  const Digest unlinked = registry_->blobs().Put("no link").value();
  const CollectReport report = Collect();
  EXPECT_EQ(report.referrers, 1U);
  EXPECT_FALSE(registry_->blobs().Has(unlinked));
}

TEST_F(CollectorTest, AbandonedUploadsGoAndOthersGoOn) {
  const auto start = [&] {
    return std::string(Send("POST", "/v2/a/blobs/uploads/").Header("Location"));
  };
  const std::string old_one = start();
  const std::string young = start();
  MakeOld(data_.path() / "registry/uploads" / fs::path(old_one).filename() / "data");
  EXPECT_EQ(Collect().uploads, 1U);
  EXPECT_EQ(Send("PATCH", old_one, "x").status, 404);
  EXPECT_EQ(Send("PATCH", young, "x").status, 202);
}

TEST(ContentLeases, WhatWasLeasedSinceTheSweepBeganIsNotRemoved) {
  ContentLeases leases;
  const Digest before = Digest::Sha256("before");
  const Digest during = Digest::Sha256("during");
  const Digest free = Digest::Sha256("free");
  const auto remove = []() -> Status { return {}; };
  {
    std::optional<ContentLeases::Lease> held = leases.Take({before});
    ContentLeases::Sweep sweep(leases);
    EXPECT_FALSE(sweep.Remove(before, remove).value());
    held.reset();
    {
      const ContentLeases::Lease lease = leases.Take({during, during});
    }
    EXPECT_FALSE(sweep.Remove(before, remove).value());
    EXPECT_FALSE(sweep.Remove(during, remove).value());
    EXPECT_TRUE(sweep.Remove(free, remove).value());
  }
  ContentLeases::Sweep next(leases);
  EXPECT_TRUE(next.Remove(before, remove).value());
}

TEST(ContentLeases, LeaseWaitsForARemoval) {
  ContentLeases leases;
  const Digest digest = Digest::Sha256("content");
  std::atomic<bool> removed{false};
  std::thread pusher;
  bool seen_removed = false;
  {
    ContentLeases::Sweep sweep(leases);
    ASSERT_TRUE(sweep
                    .Remove(digest,
                            [&]() -> Status {
                              pusher = std::thread([&] {
                                const ContentLeases::Lease lease = leases.Take({digest});
                                seen_removed = removed;
                              });
                              for (int i = 0; i < 100; ++i) std::this_thread::yield();
                              removed = true;
                              return {};
                            })
                    .value());
    pusher.join();
  }
  EXPECT_TRUE(seen_removed);
}

// Each pusher does what every client does: it looks, pushes or mounts what is not there, puts the
// manifest, and reads all of it back. Then it deletes the manifest, which makes garbage of content
// that the others are about to push.
TEST_F(CollectorTest, PushesGoOnWhileItCollects) {
  constexpr int kPushers = 3;
  constexpr int kRounds = 20;
  std::atomic<int> working{kPushers};
  std::atomic<int> pushed{0};
  const auto push = [&](int pusher) {
    HttpClient http{HttpClientOptions{}};
    RegistryClient client(base_url_, http);
    const std::string repository = fmt::format("pusher{}", pusher);
    const std::string other = fmt::format("pusher{}", (pusher + 1) % kPushers);
    for (int round = 0; round < kRounds; ++round) {
      const Artifact artifact = Document(fmt::format("content {}", round % 3));
      for (const BlobSource& blob : artifact.blobs) {
        const std::string digest = blob.descriptor.digest.ToString();
        const auto mounted =
            http.Send({.method = "POST",
                       .url = fmt::format("{}/v2/{}/blobs/uploads/?mount={}&from={}", base_url_,
                                          repository, digest, other)});
        ASSERT_TRUE(mounted);
        if (mounted->status == 202) {
          ASSERT_TRUE(client.PushBlob(repository, blob));
        }
        ASSERT_TRUE(client.HasBlob(repository, blob.descriptor.digest).value());
      }
      const auto put = client.PutManifest(repository, "1", artifact.manifest_bytes,
                                          artifact.manifest.media_type);
      ASSERT_TRUE(put) << put.error().ToString();
      for (const BlobSource& blob : artifact.blobs)
        ASSERT_TRUE(client.PullBytes(repository, blob.descriptor, 1'000));
      const auto deleted =
          http.Send({.method = "DELETE",
                     .url = fmt::format("{}/v2/{}/manifests/{}", base_url_, repository,
                                        artifact.manifest.digest.ToString())});
      ASSERT_EQ(deleted->status, 202);
      for (const BlobSource& blob : artifact.blobs)
        MakeOld(LinkOf(repository, blob.descriptor.digest));
      ++pushed;
    }
  };
  std::vector<std::thread> pushers;
  for (int i = 0; i < kPushers; ++i)
    pushers.emplace_back([&, i] {
      push(i);
      --working;
    });
  CollectReport sum;
  while (working > 0) {
    const CollectReport report = Collect();
    sum.links += report.links;
    sum.blobs += report.blobs;
  }
  for (std::thread& pusher : pushers) pusher.join();
  EXPECT_EQ(pushed, kPushers * kRounds);
  EXPECT_GT(sum.links, 0U);  // it had work to do meanwhile
  EXPECT_GT(sum.blobs, 0U);
  Collect();
  EXPECT_TRUE(registry_->Tags("pusher0").value().empty());
}

}  // namespace
}  // namespace skerry
