// The registry over HTTP, endpoint by endpoint (OCI distribution-spec 1.1).
#include "oci/registry.h"

#include "oci/digest_file.h"
#include "oci/media_types.h"
#include "oci/tests/registry_fixture.h"

namespace skerry {
namespace {

using RegistryBlobs = RegistryTest;
using RegistryUploads = RegistryTest;
using RegistryManifests = RegistryTest;
using RegistryLists = RegistryTest;

std::string Location(const HttpReply& reply) { return std::string(reply.Header("Location")); }

TEST_F(RegistryTest, AnswersThatItIsOne) {
  EXPECT_EQ(Send("GET", "/v2/").status, 200);
  EXPECT_EQ(Send("GET", "/v2").status, 200);
}

TEST_F(RegistryTest, RefusesNamesOverTheGrammar) {
  for (const char* name : {"Upper", "a//b", "a/_b", ".a", "a/..", "-a", "a..b", "a%2F..%2Fb"}) {
    const HttpReply reply = Send("GET", fmt::format("/v2/{}/tags/list", name));
    EXPECT_TRUE(reply.status == 400 || reply.status == 404) << name << " " << reply.status;
    if (reply.status == 400) {
      EXPECT_EQ(ErrorCodeIn(reply), "NAME_INVALID") << name;
    }
  }
  EXPECT_EQ(Send("POST", "/v2/Upper/blobs/uploads/").status, 400);
  EXPECT_FALSE(std::filesystem::exists(data_.path() / "registry/repositories/Upper"));
}

TEST_F(RegistryTest, SecondProcessIsRefusedTheDirectory) {
  const auto second = Registry::Open(data_.path() / "registry");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), ErrorCode::kFailedPrecondition);
}

TEST_F(RegistryBlobs, MonolithicPostStoresAndGives) {
  const std::string bytes = "hello";
  const std::string digest = Digest::Sha256(bytes).ToString();
  const HttpReply put = Send("POST", "/v2/a/b/blobs/uploads/?digest=" + digest, bytes);
  EXPECT_EQ(put.status, 201);
  EXPECT_EQ(Location(put), "/v2/a/b/blobs/" + digest);
  const HttpReply got = Send("GET", Location(put));
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.body, bytes);
  EXPECT_EQ(got.Header("Docker-Content-Digest"), digest);
  const HttpReply head = Send("HEAD", Location(put));
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.Header("Content-Length"), "5");
  EXPECT_TRUE(head.body.empty());
}

TEST_F(RegistryBlobs, EmptyAndSha512BlobsAreBlobs) {
  for (const char* algorithm : {"sha256", "sha512"})
    for (const std::string& bytes : {std::string(), std::string("hello")}) {
      const std::string digest = DigestOf(bytes, algorithm).ToString();
      EXPECT_EQ(Send("POST", "/v2/a/blobs/uploads/?digest=" + digest, bytes).status, 201);
      const HttpReply got = Send("GET", "/v2/a/blobs/" + digest);
      EXPECT_EQ(got.status, 200) << digest;
      EXPECT_EQ(got.body, bytes);
    }
}

TEST_F(RegistryBlobs, UnknownAndMalformedOnesHaveTheirCodes) {
  const HttpReply unknown = Send("GET", "/v2/a/blobs/" + Digest::Sha256("x").ToString());
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(ErrorCodeIn(unknown), "BLOB_UNKNOWN");
  const HttpReply malformed = Send("GET", "/v2/a/blobs/sha256:xyz");
  EXPECT_EQ(malformed.status, 400);
  EXPECT_EQ(ErrorCodeIn(malformed), "DIGEST_INVALID");
}

TEST_F(RegistryBlobs, RangesAreExact) {
  const std::string bytes = Pattern(2048);
  const std::string url = "/v2/a/blobs/" + Digest::Sha256(bytes).ToString();
  Send("POST", "/v2/a/blobs/uploads/?digest=" + Digest::Sha256(bytes).ToString(), bytes);
  struct Case {
    const char* range;
    int status;
    std::size_t first, length;
  };
  for (const Case& c : {Case{"bytes=500-1499", 206, 500, 1000}, Case{"bytes=500-", 206, 500, 1548},
                        Case{"bytes=-500", 206, 1548, 500}, Case{"bytes=2000-5000", 206, 2000, 48},
                        Case{"bytes=-5000", 206, 0, 2048}, Case{"bytes=500-0", 416, 0, 0},
                        Case{"bytes=5000-10000", 416, 0, 0}, Case{"bytes=-0", 416, 0, 0},
                        Case{"bytes=0-1,4-5", 200, 0, 2048}, Case{"pages=1-2", 200, 0, 2048}}) {
    const HttpReply reply = Send("GET", url, "", {{"Range", c.range}});
    EXPECT_EQ(reply.status, c.status) << c.range;
    if (c.status == 416) {
      EXPECT_EQ(reply.Header("Content-Range"), "bytes */2048") << c.range;
      continue;
    }
    EXPECT_EQ(reply.body, bytes.substr(c.first, c.length)) << c.range;
    if (c.status == 206) {
      EXPECT_EQ(reply.Header("Content-Range"),
                fmt::format("bytes {}-{}/2048", c.first, c.first + c.length - 1));
    }
  }
}

TEST_F(RegistryBlobs, DeletedOnesAreGoneFromThisRepositoryOnly) {
  const std::string digest = Digest::Sha256("x").ToString();
  Send("POST", "/v2/a/blobs/uploads/?digest=" + digest, "x");
  Send("POST", "/v2/b/blobs/uploads/?digest=" + digest, "x");
  EXPECT_EQ(Send("DELETE", "/v2/a/blobs/" + digest).status, 202);
  EXPECT_EQ(Send("GET", "/v2/a/blobs/" + digest).status, 404);
  EXPECT_EQ(Send("DELETE", "/v2/a/blobs/" + digest).status, 404);
  EXPECT_EQ(Send("GET", "/v2/b/blobs/" + digest).status, 200);
}

TEST_F(RegistryBlobs, WrongDigestIsRefusedAndLeavesNothing) {
  const std::string digest = Digest::Sha256("right").ToString();
  const HttpReply reply = Send("POST", "/v2/a/blobs/uploads/?digest=" + digest, "wrong");
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(ErrorCodeIn(reply), "DIGEST_INVALID");
  EXPECT_EQ(Send("GET", "/v2/a/blobs/" + digest).status, 404);
  EXPECT_TRUE(std::filesystem::is_empty(data_.path() / "registry/uploads"));
}

TEST_F(RegistryUploads, MountTakesFromAnotherRepository) {
  const std::string digest = Digest::Sha256("x").ToString();
  Send("POST", "/v2/a/blobs/uploads/?digest=" + digest, "x");
  const HttpReply mounted = Send("POST", "/v2/b/blobs/uploads/?mount=" + digest + "&from=a");
  EXPECT_EQ(mounted.status, 201);
  EXPECT_EQ(Send("GET", Location(mounted)).body, "x");
  EXPECT_EQ(Send("POST", "/v2/c/blobs/uploads/?mount=" + digest).status, 201);
}

TEST_F(RegistryUploads, MountOfWhatIsNotThereFallsBackToAnUpload) {
  const std::string digest = Digest::Sha256("x").ToString();
  const HttpReply started = Send("POST", "/v2/b/blobs/uploads/?mount=" + digest + "&from=a");
  EXPECT_EQ(started.status, 202);
  EXPECT_EQ(Send("PUT", Location(started) + "?digest=" + digest, "x").status, 201);
}

TEST_F(RegistryUploads, ChunksComeInOrderOrAreToldWhereItStands) {
  const std::string bytes = Pattern(3000);
  std::string url = Location(Send("POST", "/v2/a/blobs/uploads/"));
  HttpReply reply = Send("PATCH", url, bytes.substr(0, 1000), {{"Content-Range", "0-999"}});
  EXPECT_EQ(reply.status, 202);
  EXPECT_EQ(reply.Header("Range"), "0-999");
  reply = Send("PATCH", url, bytes.substr(2000, 1000), {{"Content-Range", "2000-2999"}});
  EXPECT_EQ(reply.status, 416);
  EXPECT_EQ(reply.Header("Range"), "0-999");
  reply = Send("PATCH", url, bytes.substr(0, 1000), {{"Content-Range", "0-999"}});
  EXPECT_EQ(reply.status, 416);
  reply = Send("GET", url);
  EXPECT_EQ(reply.status, 204);
  EXPECT_EQ(reply.Header("Range"), "0-999");
  const std::string digest = Digest::Sha256(bytes).ToString();
  reply =
      Send("PUT", url + "?digest=" + digest, bytes.substr(2000), {{"Content-Range", "2000-2999"}});
  EXPECT_EQ(reply.status, 416);
  EXPECT_EQ(Send("PATCH", url, bytes.substr(1000, 1000)).status, 202);  // a stream: no range
  reply =
      Send("PUT", url + "?digest=" + digest, bytes.substr(2000), {{"Content-Range", "2000-2999"}});
  EXPECT_EQ(reply.status, 201);
  EXPECT_EQ(Send("GET", Location(reply)).body, bytes);
  EXPECT_EQ(Send("GET", url).status, 404);
}

TEST_F(RegistryUploads, ContentRangeMustFitTheBody) {
  const std::string url = Location(Send("POST", "/v2/a/blobs/uploads/"));
  for (const char* range : {"0-5", "5-0", "x", "0", "0-"})
    EXPECT_EQ(Send("PATCH", url, "abc", {{"Content-Range", range}}).status, 400) << range;
  EXPECT_EQ(Send("PATCH", url, "abc", {{"Content-Range", "0-2"}}).status, 202);
}

TEST_F(RegistryUploads, CancelledAndForeignOnesAreUnknown) {
  const std::string url = Location(Send("POST", "/v2/a/blobs/uploads/"));
  const std::string id = url.substr(url.rfind('/') + 1);
  EXPECT_EQ(Send("GET", "/v2/b/blobs/uploads/" + id).status, 404);
  EXPECT_EQ(Send("PATCH", "/v2/b/blobs/uploads/" + id, "x").status, 404);
  EXPECT_EQ(Send("DELETE", url).status, 204);
  const HttpReply reply = Send("PATCH", url, "x");
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(ErrorCodeIn(reply), "BLOB_UPLOAD_UNKNOWN");
  EXPECT_EQ(Send("GET", "/v2/a/blobs/uploads/..%2F..%2Fblobs").status, 404);
}

TEST_F(RegistryUploads, SurviveARestartAndGoOnAtTheByte) {
  const std::string bytes = Pattern(2000);
  const std::string url = Location(Send("POST", "/v2/a/blobs/uploads/"));
  Send("PATCH", url, bytes.substr(0, 1200));
  StopRegistry();
  StartRegistry();
  const HttpReply reply = Send("GET", url);
  EXPECT_EQ(reply.status, 204);
  EXPECT_EQ(reply.Header("Range"), "0-1199");
  const std::string digest = Digest::Sha256(bytes).ToString();
  EXPECT_EQ(Send("PUT", url + "?digest=" + digest, bytes.substr(1200)).status, 201);
}

TEST_F(RegistryUploads, LimitsHold) {
  StopRegistry();
  StartRegistry({}, {.max_blob_bytes = 10, .max_uploads = 1});
  const std::string url = Location(Send("POST", "/v2/a/blobs/uploads/"));
  HttpReply reply = Send("POST", "/v2/a/blobs/uploads/");
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(ErrorCodeIn(reply), "TOOMANYREQUESTS");
  EXPECT_EQ(Send("PATCH", url, "0123456").status, 202);
  reply = Send("PATCH", url, "0123456");
  EXPECT_EQ(reply.status, 413);
  EXPECT_EQ(ErrorCodeIn(reply), "SIZE_INVALID");
}

TEST_F(RegistryUploads, AbandonedOnesGoWhenItOpens) {
  const std::string old_url = Location(Send("POST", "/v2/a/blobs/uploads/"));
  const std::string new_url = Location(Send("POST", "/v2/a/blobs/uploads/"));
  const std::string id = old_url.substr(old_url.rfind('/') + 1);
  std::filesystem::last_write_time(
      data_.path() / "registry/uploads" / id / "data",
      std::filesystem::file_time_type::clock::now() - 2 * limits::kAbandonedUploadAge);
  StopRegistry();
  StartRegistry();
  EXPECT_EQ(Send("GET", old_url).status, 404);
  EXPECT_EQ(Send("GET", new_url).status, 204);
}

TEST_F(RegistryManifests, AreKeptByteByByteWithTheirType) {
  const Artifact artifact = Document("hello");
  ASSERT_TRUE(Client().PushArtifact("a", "1", artifact));
  for (const std::string& reference : {std::string("1"), artifact.manifest.digest.ToString()}) {
    const HttpReply got = Send("GET", "/v2/a/manifests/" + reference);
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(got.body, artifact.manifest_bytes);
    EXPECT_EQ(got.Header("Content-Type"), media_types::kImageManifest);
    EXPECT_EQ(got.Header("Docker-Content-Digest"), artifact.manifest.digest.ToString());
    const HttpReply head = Send("HEAD", "/v2/a/manifests/" + reference);
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.Header("Content-Length"), std::to_string(artifact.manifest_bytes.size()));
  }
}

TEST_F(RegistryManifests, RefusalsHaveTheirCodes) {
  const Artifact artifact = Document("hello");
  const std::string type(media_types::kImageManifest);
  const auto put = [&](const std::string& reference, const std::string& body,
                       const std::string& media_type) {
    return Send("PUT", "/v2/a/manifests/" + reference, body, {{"Content-Type", media_type}});
  };
  HttpReply reply = put("1", artifact.manifest_bytes, type);
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(ErrorCodeIn(reply), "MANIFEST_BLOB_UNKNOWN");
  ASSERT_TRUE(Client().PushArtifact("a", "1", artifact));
  const std::string other = Digest::Sha256("other").ToString();
  reply = put(other, artifact.manifest_bytes, type);
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(ErrorCodeIn(reply), "DIGEST_INVALID");
  EXPECT_EQ(put("sha256:baddigest", artifact.manifest_bytes, type).status, 400);
  EXPECT_EQ(put("-tag", artifact.manifest_bytes, type).status, 400);
  reply = put("2", "{", type);
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(ErrorCodeIn(reply), "MANIFEST_INVALID");
  EXPECT_EQ(put("2", artifact.manifest_bytes, std::string(media_types::kImageIndex)).status, 400);
  EXPECT_EQ(put("2", "{\"schemaVersion\":2}", "text/plain").status, 400);
  reply = Send("GET", "/v2/a/manifests/2");
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(ErrorCodeIn(reply), "MANIFEST_UNKNOWN");
  EXPECT_EQ(Send("GET", "/v2/a/manifests/" + other).status, 404);
}

TEST_F(RegistryManifests, LimitsHold) {
  StopRegistry();
  StartRegistry({}, {.max_manifest_bytes = 100});
  const HttpReply reply = Send("PUT", "/v2/a/manifests/1", std::string(101, ' '));
  EXPECT_EQ(reply.status, 413);
  EXPECT_EQ(ErrorCodeIn(reply), "SIZE_INVALID");
}

TEST_F(RegistryManifests, EmbeddedAndNondistributableContentNeedsNoPush) {
  Descriptor config = EmptyConfig().descriptor;
  config.data = "{}";
  Descriptor layer;
  layer.media_type = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
  layer.digest = Digest::Sha256("elsewhere");
  layer.size = 9;
  Manifest manifest;
  manifest.media_type = media_types::kImageManifest;
  manifest.config = config;
  manifest.layers = {layer};
  const HttpReply reply =
      Send("PUT", "/v2/a/manifests/1", manifest.ToJson(), {{"Content-Type", manifest.media_type}});
  EXPECT_EQ(reply.status, 201) << reply.body;
  EXPECT_EQ(Send("GET", "/v2/a/blobs/" + config.digest.ToString()).body, "{}");
}

TEST_F(RegistryManifests, IndexNeedsItsManifests) {
  const Artifact child = Document("hello");
  Manifest index;
  index.media_type = media_types::kImageIndex;
  index.manifests = {child.manifest};
  const HeaderList headers = {{"Content-Type", index.media_type}};
  EXPECT_EQ(Send("PUT", "/v2/a/manifests/all", index.ToJson(), headers).status, 404);
  ASSERT_TRUE(Client().PushArtifact("a", "", child));
  EXPECT_EQ(Send("PUT", "/v2/a/manifests/all", index.ToJson(), headers).status, 201);
  EXPECT_EQ(Send("GET", "/v2/a/manifests/all").Header("Content-Type"), media_types::kImageIndex);
}

TEST_F(RegistryManifests, TagsMoveAndDeletesTakeTheTagsAlong) {
  const Artifact one = Document("one");
  const Artifact two = Document("two");
  ASSERT_TRUE(Client().PushArtifact("a", "latest", one));
  ASSERT_TRUE(Client().PushArtifact("a", "first", one));
  ASSERT_TRUE(Client().PushArtifact("a", "latest", two));
  EXPECT_EQ(Send("GET", "/v2/a/manifests/latest").body, two.manifest_bytes);
  EXPECT_EQ(Send("DELETE", "/v2/a/manifests/" + one.manifest.digest.ToString()).status, 202);
  EXPECT_EQ(Send("GET", "/v2/a/manifests/first").status, 404);
  EXPECT_EQ(Client().Tags("a").value(), std::vector<std::string>{"latest"});
  EXPECT_EQ(Send("DELETE", "/v2/a/manifests/latest").status, 202);
  EXPECT_EQ(Send("DELETE", "/v2/a/manifests/latest").status, 404);
  EXPECT_EQ(Send("GET", "/v2/a/manifests/" + two.manifest.digest.ToString()).status, 200);
}

TEST_F(RegistryManifests, HookAnswersOrRefusesBeforeAnythingShows) {
  StopRegistry();
  RegistryHooks hooks;
  hooks.on_manifest = [](std::string_view repository, const Manifest&,
                         std::string_view) -> Result<std::optional<std::string>> {
    if (repository == "sites/north/outbox") return "{\"receipt\":1}";
    if (repository == "other") return std::nullopt;
    return Fail(ErrorCode::kPermissionDenied, "not in here");
  };
  StartRegistry(std::move(hooks));
  const Artifact artifact = Document("hello");
  EXPECT_EQ(Client().PushArtifact("sites/north/outbox", "1", artifact).value().body,
            "{\"receipt\":1}");
  EXPECT_EQ(Client().PushArtifact("other", "1", artifact).value().body, "");
  const auto refused = Client().PushArtifact("models/m", "1", artifact);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kPermissionDenied);
  EXPECT_NE(refused.error().message().find("not in here"), std::string::npos);
  EXPECT_EQ(Send("GET", "/v2/models/m/manifests/1").status, 404);
  EXPECT_EQ(Send("GET", "/v2/models/m/manifests/" + artifact.manifest.digest.ToString()).status,
            404);
}

TEST_F(RegistryTest, RefusesWhoMayNotWithBasicChallenge) {
  StopRegistry();
  RegistryHooks hooks;
  hooks.authorize = [](const HttpRequest& request, std::string_view,
                       RegistryAction action) -> Status {
    if (request.Header("Authorization").empty())
      return Fail(ErrorCode::kUnauthenticated, "who are you?");
    if (action != RegistryAction::kPull) return Fail(ErrorCode::kPermissionDenied, "read only");
    return {};
  };
  StartRegistry(std::move(hooks));
  HttpReply reply = Send("GET", "/v2/");
  EXPECT_EQ(reply.status, 401);
  EXPECT_EQ(reply.Header("WWW-Authenticate"), "Basic realm=\"skerry\"");
  EXPECT_EQ(ErrorCodeIn(reply), "UNAUTHORIZED");
  const HeaderList headers = {{"Authorization", "Basic eDp5"}};
  EXPECT_EQ(Send("GET", "/v2/", "", headers).status, 200);
  reply = Send("POST", "/v2/a/blobs/uploads/", "", headers);
  EXPECT_EQ(reply.status, 403);
  EXPECT_EQ(ErrorCodeIn(reply), "DENIED");
}

TEST_F(RegistryLists, TagsComeInPages) {
  const Artifact artifact = Document("hello");
  for (const char* tag : {"b", "a", "d", "c", "e"})
    ASSERT_TRUE(Client().PushArtifact("a", tag, artifact));
  HttpReply reply = Send("GET", "/v2/a/tags/list?n=2");
  EXPECT_EQ(reply.body, R"({"name":"a","tags":["a","b"]})");
  EXPECT_EQ(reply.Header("Link"), "</v2/a/tags/list?n=2&last=b>; rel=\"next\"");
  reply = Send("GET", "/v2/a/tags/list?n=2&last=d");
  EXPECT_EQ(reply.body, R"({"name":"a","tags":["e"]})");
  EXPECT_EQ(reply.Header("Link"), "");
  EXPECT_EQ(Send("GET", "/v2/a/tags/list?n=0").body, R"({"name":"a","tags":[]})");
  EXPECT_EQ(Send("GET", "/v2/a/tags/list?n=x").status, 400);
  reply = Send("GET", "/v2/nobody/tags/list");
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(ErrorCodeIn(reply), "NAME_UNKNOWN");
  EXPECT_EQ(registry_->Repositories().value(), std::vector<std::string>{"a"});
}

TEST_F(RegistryLists, ReferrersShowTypeAndAnnotationsAndFilter) {
  const Artifact subject = Document("subject");
  const auto signature = MakeDocumentArtifact("application/vnd.example.sig", "text/plain", "s",
                                              {{"by", "me"}}, subject.manifest)
                             .value();
  const Artifact note = Document("note", subject.manifest, "application/vnd.example.note");
  const std::string url = "/v2/a/referrers/" + subject.manifest.digest.ToString();
  HttpReply reply = Send("GET", url);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.Header("Content-Type"), media_types::kImageIndex);
  EXPECT_TRUE(Client().Referrers("a", subject.manifest.digest, "").value().empty());

  // The subject need not be there.
  for (const BlobSource& blob : signature.blobs) ASSERT_TRUE(Client().PushBlob("a", blob));
  reply = Send("PUT", "/v2/a/manifests/" + signature.manifest.digest.ToString(),
               signature.manifest_bytes, {{"Content-Type", signature.manifest.media_type}});
  EXPECT_EQ(reply.status, 201);
  EXPECT_EQ(reply.Header("OCI-Subject"), subject.manifest.digest.ToString());
  ASSERT_TRUE(Client().PushArtifact("a", "", note));
  EXPECT_EQ(Client().Referrers("a", subject.manifest.digest, "").value().size(), 2U);

  reply = Send("GET", url + "?artifactType=application%2Fvnd.example.sig");
  EXPECT_EQ(reply.Header("OCI-Filters-Applied"), "artifactType");
  const auto found =
      Client().Referrers("a", subject.manifest.digest, "application/vnd.example.sig").value();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].digest, signature.manifest.digest);
  EXPECT_EQ(found[0].annotations, (Annotations{{"by", "me"}}));

  Send("DELETE", "/v2/a/manifests/" + signature.manifest.digest.ToString());
  EXPECT_EQ(Client().Referrers("a", subject.manifest.digest, "").value().size(), 1U);
}

TEST_F(RegistryTest, HalfPublishedManifestDoesNotShow) {
  const Artifact subject = Document("subject");
  const Artifact note = Document("note", subject.manifest);
  ASSERT_TRUE(Client().PushArtifact("a", "1", note));
  // As a kill between the referrer's entry and the manifest would leave it.
  const auto digest = note.manifest.digest;
  ASSERT_TRUE(
      RemoveFile(data_.path() / "registry/repositories/a/_manifests/sha256" / digest.hex()));
  EXPECT_TRUE(Client().Referrers("a", subject.manifest.digest, "").value().empty());
  EXPECT_EQ(Send("GET", "/v2/a/manifests/1").status, 404);
  EXPECT_EQ(Send("GET", "/v2/a/manifests/" + digest.ToString()).status, 404);
  ASSERT_TRUE(Client().PushArtifact("a", "1", note));
  EXPECT_EQ(Client().Referrers("a", subject.manifest.digest, "").value().size(), 1U);
}

TEST_F(RegistryTest, EverythingIsThereAfterARestart) {
  const Artifact artifact = Document("hello");
  ASSERT_TRUE(registry_->PutArtifact("models/m", "1", artifact));
  StopRegistry();
  StartRegistry();
  EXPECT_EQ(registry_->Resolve("models/m", "1").value(), artifact.manifest.digest);
  EXPECT_EQ(registry_->ManifestBytes("models/m", "1").value(), artifact.manifest_bytes);
  const Artifact again = registry_->GetArtifact("models/m", "1").value();
  ASSERT_EQ(again.blobs.size(), 2U);
  for (const BlobSource& blob : again.blobs) EXPECT_TRUE(blob.Verify());
}

TEST_F(RegistryTest, DamagedManifestIsNotHandedOut) {
  const Artifact artifact = Document("hello");
  ASSERT_TRUE(registry_->PutArtifact("a", "1", artifact));
  std::string damaged = artifact.manifest_bytes;
  damaged[10] = static_cast<char>(damaged[10] ^ 1);
  ASSERT_TRUE(WriteFileDurably(*registry_->blobs().FileOf(artifact.manifest.digest), damaged));
  EXPECT_EQ(Send("GET", "/v2/a/manifests/1").status, 500);
  ASSERT_TRUE(registry_->PutArtifact("a", "1", artifact));  // a new push heals it
  EXPECT_EQ(Send("GET", "/v2/a/manifests/1").status, 200);
}

}  // namespace
}  // namespace skerry
