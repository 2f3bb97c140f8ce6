#include "oci/registry_client.h"

#include <chrono>
#include <fstream>
#include <thread>

#include "http/tcp_proxy.h"
#include "oci/media_types.h"
#include "oci/tests/registry_fixture.h"

namespace skerry {
namespace {

class RegistryClientTest : public RegistryTest {
 protected:
  BlobSource FileBlob(std::size_t size) {
    return BlobSource::OfFile("application/octet-stream", WriteData("blob", Pattern(size))).value();
  }
  std::string StoredBytes(const Digest& digest) {
    return registry_->blobs().Read(digest, limits::kBlobBytes).value();
  }
};

TEST_F(RegistryClientTest, PushesSmallAndLargeBlobsFromMemoryAndFile) {
  RegistryClient client = Client(1000);
  ASSERT_TRUE(client.Ping());
  for (const std::size_t size : {0U, 1U, 1000U, 1001U, 2500U}) {
    const BlobSource memory = BlobSource::OfBytes("text/plain", Pattern(size));
    const BlobSource file = FileBlob(size);
    const Status pushed = client.PushBlob("a", memory);
    ASSERT_TRUE(pushed) << size << pushed.error().ToString();
    ASSERT_TRUE(client.PushBlob("b", file)) << size;
    EXPECT_EQ(StoredBytes(memory.descriptor.digest), Pattern(size));
    EXPECT_TRUE(client.HasBlob("b", file.descriptor.digest).value());
  }
}

TEST_F(RegistryClientTest, SendsNothingTwice) {
  RegistryClient client = Client();
  const BlobSource blob = FileBlob(100'000);
  ASSERT_TRUE(client.PushBlob("a", blob));
  const std::uint64_t sent = http_.sent_body_bytes();
  ASSERT_TRUE(client.PushBlob("a", blob));
  EXPECT_EQ(http_.sent_body_bytes(), sent);
}

TEST_F(RegistryClientTest, PushGoesOnAtTheByteWhereTheLinkBroke) {
  const auto proxy = TcpProxy::Start(server_->port()).value();
  RegistryClient client(fmt::format("http://127.0.0.1:{}", proxy->port()), http_, 1U << 20U);
  const BlobSource blob = FileBlob(3'500'000);
  UploadState state;
  proxy->CutAfterBytes(2'000'000);  // in the second chunk
  const Status cut = client.PushBlob("a", blob, &state);
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code(), ErrorCode::kUnavailable) << cut.error().ToString();
  ASSERT_FALSE(state.location.empty());
  EXPECT_EQ(state.offset, 1U << 20U);  // what was acknowledged

  // The registry keeps what came of the chunk that was cut; it may still be taking it in.
  proxy->SetUp();
  const auto upload = data_.path() / "registry" / "uploads" /
                      state.location.substr(state.location.rfind('/') + 1) / "data";
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (std::filesystem::file_size(upload) <= (1U << 20U) &&
         std::chrono::steady_clock::now() < deadline)
    std::this_thread::yield();
  const HttpReply reply = Send("GET", state.location);
  const std::uint64_t kept = std::stoull(std::string(reply.Header("Range").substr(2))) + 1;
  EXPECT_GT(kept, std::uint64_t{1} << 20U);
  EXPECT_LE(kept, 2'000'000U);
  const UploadState persisted = state;
  const std::uint64_t before = http_.sent_body_bytes();
  UploadState resumed = persisted;
  std::uint64_t first_report = 0;
  const Status again =
      client.PushBlob("a", blob, &resumed, [&](std::uint64_t done, std::uint64_t) -> Status {
        if (first_report == 0) first_report = done;
        return {};
      });
  ASSERT_TRUE(again) << again.error().ToString();
  EXPECT_EQ(first_report, kept) << "it says first where it goes on";
  EXPECT_EQ(http_.sent_body_bytes() - before, 3'500'000U - kept);
  EXPECT_TRUE(resumed.location.empty());
  EXPECT_EQ(StoredBytes(blob.descriptor.digest), Pattern(3'500'000));
}

TEST_F(RegistryClientTest, PushGoesOnAfterTheRegistryRestarted) {
  const BlobSource blob = FileBlob(5000);
  UploadState state;
  // Pre-empted after the second chunk.
  const Status stopped =
      Client(1000).PushBlob("a", blob, &state, [](std::uint64_t done, std::uint64_t) -> Status {
        if (done == 2000) return Fail(ErrorCode::kUnavailable, "something more valuable first");
        return {};
      });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(state.offset, 2000U);
  StopRegistry();
  StartRegistry();
  const std::uint64_t before = http_.sent_body_bytes();
  ASSERT_TRUE(Client(1000).PushBlob("a", blob, &state));
  EXPECT_EQ(http_.sent_body_bytes() - before, 3000U);
}

TEST_F(RegistryClientTest, ForgottenUploadStartsAnew) {
  const BlobSource blob = FileBlob(5000);
  UploadState state{"/v2/a/blobs/uploads/00000000000000000000000000000000", 2000};
  ASSERT_TRUE(Client(1000).PushBlob("a", blob, &state));
  EXPECT_EQ(StoredBytes(blob.descriptor.digest), Pattern(5000));
}

TEST_F(RegistryClientTest, ChangedSourceIsFound) {
  BlobSource blob = FileBlob(5000);
  WriteData("blob", std::string(5000, 'x'));
  const Status changed = Client(1000).PushBlob("a", blob);
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.error().code(), ErrorCode::kDataLoss) << changed.error().ToString();
  WriteData("blob", "short");
  EXPECT_EQ(Client().PushBlob("a", blob).error().code(), ErrorCode::kDataLoss);
}

TEST_F(RegistryClientTest, LocationOnAnotherHostIsRefused) {
  const BlobSource blob = FileBlob(10);
  UploadState state{"http://127.0.0.2:1/v2/a/blobs/uploads/1", 2};
  EXPECT_EQ(Client().PushBlob("a", blob, &state).error().code(), ErrorCode::kPermissionDenied);
}

TEST_F(RegistryClientTest, PullGoesOnFromThePartialFile) {
  const BlobSource blob = FileBlob(300'000);
  ASSERT_TRUE(Client().PushBlob("a", blob));
  const auto target = data_.path() / "pulled/blob";
  // Stopped on the way.
  const Status stopped = Client(100'000).PullBlob(
      "a", blob.descriptor, target, [](std::uint64_t, std::uint64_t) -> Status {
        return Fail(ErrorCode::kUnavailable, "something more valuable first");
      });
  ASSERT_FALSE(stopped);
  const auto partial = std::filesystem::file_size(target.string() + ".partial");
  EXPECT_GE(partial, 100'000U);
  EXPECT_FALSE(std::filesystem::exists(target));
  ASSERT_TRUE(Client().PullBlob("a", blob.descriptor, target));
  EXPECT_EQ(ReadFile(target, 1U << 20U).value(), Pattern(300'000));
  EXPECT_FALSE(std::filesystem::exists(target.string() + ".partial"));
}

TEST_F(RegistryClientTest, WrongPartialFileCostsOnlyASecondRound) {
  const BlobSource blob = FileBlob(5000);
  ASSERT_TRUE(Client().PushBlob("a", blob));
  const auto target = data_.path() / "pulled";
  for (const std::size_t size : {100U, 5000U, 6000U}) {
    WriteData("pulled.partial", std::string(size, 'x'));
    ASSERT_TRUE(Client().PullBlob("a", blob.descriptor, target)) << size;
    EXPECT_EQ(ReadFile(target, 5000).value(), Pattern(5000));
    ASSERT_TRUE(RemoveFile(target));
  }
}

TEST_F(RegistryClientTest, DamagedBlobIsRefused) {
  const BlobSource blob = FileBlob(5000);
  ASSERT_TRUE(Client().PushBlob("a", blob));
  std::string damaged = Pattern(5000);
  damaged[1234] = static_cast<char>(damaged[1234] ^ 4);
  ASSERT_TRUE(WriteFileDurably(*registry_->blobs().FileOf(blob.descriptor.digest), damaged));
  const auto target = data_.path() / "pulled";
  EXPECT_EQ(Client().PullBlob("a", blob.descriptor, target).error().code(), ErrorCode::kDataLoss);
  EXPECT_FALSE(std::filesystem::exists(target));
  EXPECT_EQ(Client().PullBytes("a", blob.descriptor, 5000).error().code(), ErrorCode::kDataLoss);
  EXPECT_EQ(Client().PullBytes("a", blob.descriptor, 4999).error().code(), ErrorCode::kTooLarge);
}

TEST_F(RegistryClientTest, WholeArtifactsGoBothWays) {
  const Artifact artifact = Document("hello");
  ASSERT_TRUE(Client().PushArtifact("models/m", "1", artifact));
  const Artifact pulled = Client().PullArtifact("models/m", "1", data_.path() / "pulled").value();
  EXPECT_EQ(pulled.manifest_bytes, artifact.manifest_bytes);
  EXPECT_EQ(ReadDocument(pulled, "application/vnd.example.text", 100).value(), "hello");
  const auto missing = Client().GetManifest("models/m", "2");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), ErrorCode::kNotFound);
  EXPECT_NE(missing.error().message().find("MANIFEST_UNKNOWN"), std::string::npos);
}

TEST_F(RegistryClientTest, TagsFollowThePages) {
  const Artifact artifact = Document("hello");
  ASSERT_TRUE(registry_->PutArtifact("a", "t000000", artifact));
  // Written as the registry would, but without waiting for the disk a thousand times.
  const auto tags = data_.path() / "registry/repositories/a/_tags";
  std::vector<std::string> want;
  for (std::size_t i = 0; i < limits::kTagsPerPage + 5; ++i) {
    want.push_back(fmt::format("t{:06}", i));
    std::ofstream(tags / want.back()) << artifact.manifest.digest.ToString();
  }
  EXPECT_EQ(Client().Tags("a").value(), want);
}

}  // namespace
}  // namespace skerry
