// The embedded OCI registry: distribution-spec 1.1, end-1 to end-13, as routes for HttpServer,
// over BlobStore, UploadStore and RepositoryStore in one directory, or in a bucket of S3 and one
// directory (registry_storage.h).
//
// Owned by the hub, which must keep it alive until the HttpServer is drained. Thread-safe: routes
// run on the server's pool, the other functions on any thread. One process a directory: Open
// takes its lock. Everything is durable before it is acknowledged. Errors over HTTP have the
// specification's form {"errors":[{code,message,detail}]}.
//   SKERRY_ASSIGN_OR_RETURN(auto registry, Registry::Open(data / "registry", hooks));
//   for (Route& route : registry->Routes()) routes.push_back(std::move(route));
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/limits.h"
#include "crypto/digest.h"
#include "http/message.h"
#include "http/server.h"
#include "oci/artifact.h"
#include "oci/blob_store.h"
#include "oci/collector.h"
#include "oci/manifest.h"
#include "oci/repository_store.h"
#include "oci/upload_store.h"

namespace skerry {

enum class RegistryAction { kPull, kPush, kDelete };

// What the operator says of a repository.
struct RepositoryRules {
  struct Quota {
    std::string prefix;       // of the repositories that share it
    std::uint64_t bytes = 0;  // at most, of all of them together (repository_usage.h)
  };
  // A tag stays where it is: it is not moved, nor deleted, nor its manifest.
  bool immutable_tags = false;
  std::vector<Quota> quotas{};  // each holds
};

// Called on pool threads, several at a time; may block.
struct RegistryHooks {
  // Whether the peer may do this; `repository` is empty for GET /v2/. kUnauthenticated makes a 401
  // with what `challenge` says, any other error a 403 DENIED. Absent: anyone may do anything.
  std::function<Status(const HttpRequest&, std::string_view repository, RegistryAction)> authorize;
  // The header WWW-Authenticate of a 401. Absent: `Basic realm="skerry"`.
  std::function<std::string(const HttpRequest&, std::string_view repository, RegistryAction)>
      challenge;

  // Called when a manifest has come over HTTP and everything it names is durable, before it
  // becomes visible and before the 201. A returned string becomes the body of the answer (a
  // receipt); an error refuses the push with the error's HTTP status. It may be called again for
  // the same manifest, since an answer can be lost. Absent: every manifest is taken.
  std::function<Result<std::optional<std::string>>(std::string_view repository, const Manifest&,
                                                   std::string_view manifest_bytes)>
      on_manifest;

  // What holds for what comes over HTTP. Absent: nothing.
  std::function<RepositoryRules(std::string_view repository)> rules;
};

struct RegistryOptions {
  std::uint64_t max_blob_bytes = limits::kBlobBytes;
  std::size_t max_manifest_bytes = limits::kManifestBytes;
  std::size_t max_uploads = limits::kOpenUploads;
  // "s3://BUCKET/PREFIX"; empty: as the directory remembers, files at first.
  std::string place{};
};

class Registry {
 public:
  static Result<std::unique_ptr<Registry>> Open(const std::filesystem::path& directory,
                                                RegistryHooks hooks = {},
                                                RegistryOptions options = {});
  ~Registry();

  // The routes below /v2/; they refer to this object.
  std::vector<Route> Routes();

  // Whether handlers wait for another machine, so that more of them are under way at once.
  bool is_remote() const;

  // All content, whatever repository it is in.
  BlobStore& blobs();

  // For the process that owns the registry: no authorization, no hook.
  // The manifest's bytes, verified; `reference` is a tag or a digest. kNotFound.
  Result<std::string> ManifestBytes(std::string_view repository, std::string_view reference);
  // Stores blobs, manifest and tag (none when `tag` is empty), in this order, each durable.
  Result<Digest> PutArtifact(std::string_view repository, std::string_view tag,
                             const Artifact& artifact);
  // The manifest with its tags; what it named goes with the next collection. kNotFound.
  Status DeleteManifest(std::string_view repository, const Digest& digest);
  // The artifact with its blobs as files (not to be written): those of the store, not verified
  // here, or fetched and verified, and kept while the artifact or a copy of their BlobSource lives.
  Result<Artifact> GetArtifact(std::string_view repository, std::string_view reference);
  Result<Digest> Resolve(std::string_view repository, std::string_view tag);
  // An empty `artifact_type` takes all.
  Result<std::vector<Descriptor>> Referrers(std::string_view repository, const Digest& subject,
                                            std::string_view artifact_type);
  Result<std::vector<std::string>> Tags(std::string_view repository);
  Result<std::vector<std::string>> Repositories();
  // Bytes of the repositories at or below `prefix` (repository_usage.h).
  Result<std::uint64_t> BytesBelow(std::string_view prefix);
  // Removes what nothing names any more (collector.h), while everything else goes on. One at a
  // time: the second caller waits.
  Result<CollectReport> Collect(const CollectOptions& options);

 private:
  struct State;
  explicit Registry(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace skerry
