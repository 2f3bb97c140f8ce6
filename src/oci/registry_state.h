// Inside of Registry: its parts and its HTTP handlers. One handler an endpoint of the
// distribution-spec; each gets a request whose repository name is valid and whose peer is allowed
// the action. Handlers block and run on the server's pool, several at a time.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "oci/content_leases.h"
#include "oci/registry.h"
#include "oci/registry_storage.h"
#include "oci/repository_usage.h"
#include "storage/file.h"

namespace skerry {

struct Registry::State {
  DirectoryLock lock;
  RegistryStorage storage;
  RegistryHooks hooks;
  RegistryOptions options;
  BlobStore& blobs = *storage.blobs;
  UploadStore* uploads = storage.uploads.get();
  RepositoryStore* repositories = storage.repositories.get();
  RepositoryUsage usage{blobs, *repositories};
  ContentLeases leases{};
  std::mutex collecting{};
  std::mutex admitting{};  // one change at a time where a quota is asked for

  using Endpoint = HttpResponse (State::*)(HttpRequest&, const std::string& repository);
  // Checks name and rights, then runs the endpoint.
  Handler Guarded(RegistryAction action, Endpoint endpoint);
  // What is said to a peer that may not, or of a repository that cannot be; nullopt: go on.
  std::optional<HttpResponse> Refusal(const HttpRequest& request, RegistryAction action) const;
  Status Authorize(const HttpRequest& request, std::string_view repository,
                   RegistryAction action) const;

  HttpResponse Ping(HttpRequest& request, const std::string& repository);  // end-1

  // registry_blobs.cpp
  void GetBlob(HttpRequest& request, Responder responder);  // end-2, ranges
  void SendBlob(HttpRequest& request, HttpResponse head, const Digest& digest, FileBody part,
                Responder responder);
  HttpResponse DeleteBlob(HttpRequest& request, const std::string& repository);  // end-10

  // registry_uploads.cpp
  HttpResponse StartUpload(HttpRequest& request, const std::string& repository);   // end-4a 4b 11
  HttpResponse PatchUpload(HttpRequest& request, const std::string& repository);   // end-5
  HttpResponse FinishUpload(HttpRequest& request, const std::string& repository);  // end-6
  HttpResponse GetUpload(HttpRequest& request, const std::string& repository);     // end-13
  HttpResponse CancelUpload(HttpRequest& request, const std::string& repository);  // end-14
  // `digest` as of AllowanceOf; null: not known yet.
  Status Receive(HttpRequest& request, UploadStore::Writer& writer, const std::string& repository,
                 const Digest* digest);
  Result<UploadStore::Writer> ReceiveChunk(HttpRequest& request, const std::string& repository,
                                           const Digest* digest);
  HttpResponse ChunkError(const Error& error, const HttpRequest& request,
                          const std::string& repository);
  HttpResponse Complete(UploadStore::Writer writer, const std::string& id,
                        const std::string& repository, const Digest& digest);
  bool CanMount(const HttpRequest& request, const Digest& digest) const;
  bool MayTakeFrom(const HttpRequest& request, std::string_view repository,
                   const Digest& digest) const;

  // registry_manifests.cpp
  HttpResponse GetManifest(HttpRequest& request, const std::string& repository);     // end-3
  HttpResponse PutManifest(HttpRequest& request, const std::string& repository);     // end-7
  HttpResponse ListTags(HttpRequest& request, const std::string& repository);        // end-8
  HttpResponse DeleteManifest(HttpRequest& request, const std::string& repository);  // end-9
  HttpResponse ListReferrers(HttpRequest& request, const std::string& repository);   // end-12

  // registry_rules.cpp
  RepositoryRules RulesOf(std::string_view repository) const;
  // Runs `change`, which adds so many bytes to the repository, if its quotas leave room for them;
  // kPermissionDenied says which one does not.
  Status WithinQuotas(const std::string& repository, std::uint64_t bytes,
                      const std::function<Status()>& change);
  // How many bytes of one blob are taken, and what is said of more.
  struct Allowance {
    std::uint64_t bytes = 0;
    Error refusal;
  };
  // `digest`, where it is known: a blob that is there already takes no room.
  Result<Allowance> AllowanceOf(const std::string& repository, const Digest* digest);
  // kConflict when one of the tags is immutable and another manifest's.
  Status CheckTagsFree(const std::string& repository, std::span<const std::string> tags,
                       const Digest& digest) const;
  // kConflict when the tag, or a tag of the digest, is there and immutable.
  Status CheckDeletable(const std::string& repository, std::string_view reference) const;
  Status LinkWithinQuotas(const std::string& repository, const Digest& digest);

  // Used by the handlers and by the process's own calls.
  // On a manifest and the blobs that it names: to be held until it is published.
  ContentLeases::Lease LeaseAll(const Manifest& manifest, const Digest& digest);
  Result<Digest> Resolve(std::string_view repository, std::string_view reference) const;
  // The first blob or manifest that `manifest` names and `repository` lacks. Content embedded in a
  // descriptor is stored on the way.
  Result<std::optional<Digest>> FindMissing(std::string_view repository, const Manifest& manifest);
  // Makes a stored manifest visible: referrers entry, manifest, tags.
  Status Publish(std::string_view repository, std::span<const std::string> tags,
                 const Manifest& manifest, const Digest& digest, std::uint64_t size,
                 TagChange tag_change = TagChange::kAny);
};

// An error in the specification's form. `code` is one of its codes ("BLOB_UNKNOWN").
HttpResponse RegistryError(int status, std::string_view code, std::string_view message,
                           const Json& detail = nullptr);
// The same for one of ours: status by its code, but 413 SIZE_INVALID, 503 TOOMANYREQUESTS and 500
// UNKNOWN whatever `code` is.
HttpResponse RegistryError(const Error& error, std::string_view code);

std::string BlobUrl(std::string_view repository, const Digest& digest);

}  // namespace skerry
