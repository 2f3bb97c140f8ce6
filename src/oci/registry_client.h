// A client of any OCI registry (distribution-spec 1.1). Holds a reference to one HttpClient, which
// carries TLS, credentials and timeouts; so, like that, one thread at a time. No retries in here:
// a cut is kUnavailable, and calling again with the same state goes on at the byte.
// Refusals have the code of their HTTP status (http/status.h) and the registry's own words.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/limits.h"
#include "http/client.h"
#include "oci/append_file.h"
#include "oci/artifact.h"
#include "oci/manifest.h"

namespace skerry {

// Where a push stands. The caller persists it (both members are plain values) and hands it to the
// next PushBlob of the same blob; empty `location` means "none under way". What the registry says
// wins over `offset`.
struct UploadState {
  std::string location;
  std::uint64_t offset = 0;
};

// Called with an upload's start (state.location is then new) or with where it goes on (state.offset
// is then what the registry holds), and after each chunk: bytes done and in all. An error stops the
// transfer and is returned as it is; the state is then good for going on later (a more valuable
// transfer may go first).
using TransferProgress = std::function<Status(std::uint64_t done_bytes, std::uint64_t all_bytes)>;

// The answer to a manifest PUT. The body is empty with other registries; a hub puts a receipt in.
struct PutReply {
  Digest digest;
  std::string body;
};

struct FetchedManifest {
  std::string bytes;
  Descriptor descriptor;  // media type, digest (verified), size
};

class RegistryClient {
 public:
  // `base_url`: "https://hub.example:8443", without "/v2". `client` must outlive this object.
  // Blobs of up to `single_request_bytes` are sent in one request without asking whether the
  // registry has them.
  RegistryClient(std::string base_url, HttpClient& client,
                 std::size_t chunk_bytes = limits::kUploadChunkBytes,
                 std::size_t single_request_bytes = 0);

  // GET /v2/: reachable, a registry, and we are let in.
  Status Ping();

  Result<bool> HasBlob(std::string_view repository, const Digest& digest);
  // Nothing is sent when the registry has the blob. A small one (see the constructor) goes as one
  // POST, up to one chunk as POST and one PUT; larger ones as PATCHes of one chunk each, resumed
  // from `state` (may be null). kDataLoss when the source is not what its descriptor says.
  Status PushBlob(std::string_view repository, const BlobSource& blob, UploadState* state = nullptr,
                  const TransferProgress& progress = {});
  // Into the file `target`, verified and durable. What came before a cut stays in
  // "<target>.partial" and the next call goes on from there by Range. kDataLoss when the content
  // is not what the descriptor says (the partial file is then removed).
  Status PullBlob(std::string_view repository, const Descriptor& blob,
                  const std::filesystem::path& target, const TransferProgress& progress = {});
  // Into memory, verified.
  Result<std::string> PullBytes(std::string_view repository, const Descriptor& blob,
                                std::size_t max_bytes);

  // `reference` is a tag or a digest.
  Result<PutReply> PutManifest(std::string_view repository, std::string_view reference,
                               std::string_view bytes, std::string_view media_type);
  Result<FetchedManifest> GetManifest(std::string_view repository, std::string_view reference);
  // Follows Link headers; at most limits::kTagsListed tags.
  Result<std::vector<std::string>> Tags(std::string_view repository);
  // An empty `artifact_type` takes all; filtered here where the registry did not.
  Result<std::vector<Descriptor>> Referrers(std::string_view repository, const Digest& subject,
                                            std::string_view artifact_type);

  // Blobs, then the manifest by `tag` (by digest when empty): the PUT of it is the commit.
  Result<PutReply> PushArtifact(std::string_view repository, std::string_view tag,
                                const Artifact& artifact);
  // Manifest and blobs, these as files below `directory`, all verified.
  Result<Artifact> PullArtifact(std::string_view repository, std::string_view reference,
                                const std::filesystem::path& directory);

 private:
  std::string Url(std::string_view repository, std::string_view rest) const;
  // `location` against the base URL; kPermissionDenied when it leads to another host, which would
  // get our credentials.
  Result<std::string> Absolute(std::string_view location) const;
  // kBlob: may hold anything, also a page, and is judged by its digest.
  enum class Answer { kDocument, kBlob };
  // The reply when its status is one of `good`, else the registry's error.
  Result<HttpReply> Call(const HttpCall& call, std::initializer_list<int> good,
                         std::string_view doing, Answer answer = Answer::kDocument);
  // False when the registry wants it as POST and PUT; `state` then says where.
  Result<bool> PushWhole(std::string_view repository, const BlobSource& blob, UploadState& state);
  Status StartUpload(std::string_view repository, UploadState& state);
  Result<bool> FindUpload(UploadState& state);
  Status SendChunks(const BlobSource& blob, UploadState& state, const TransferProgress& progress);
  Status FinishUpload(const BlobSource& blob, UploadState& state);
  Result<int> Fetch(std::string_view repository, const Descriptor& blob, AppendFile& partial,
                    const TransferProgress& progress);

  std::string base_url_;
  HttpClient* client_;  // borrowed
  std::size_t chunk_bytes_;
  std::size_t single_request_bytes_;
};

}  // namespace skerry
