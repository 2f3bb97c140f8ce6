#include "oci/registry.h"

#include "http/status.h"
#include "oci/reference.h"
#include "oci/registry_state.h"

namespace skerry {

HttpResponse RegistryError(int status, std::string_view code, std::string_view message,
                           const Json& detail) {
  Json error = {{"code", code}, {"message", message}};
  if (!detail.is_null()) error["detail"] = detail;
  return HttpResponse::JsonText(status, DumpJson({{"errors", Json::array({std::move(error)})}}));
}

HttpResponse RegistryError(const Error& error, std::string_view code) {
  switch (error.code()) {
    case ErrorCode::kTooLarge: code = "SIZE_INVALID"; break;
    case ErrorCode::kResourceExhausted:
    case ErrorCode::kUnavailable: code = "TOOMANYREQUESTS"; break;
    case ErrorCode::kUnauthenticated: code = "UNAUTHORIZED"; break;
    case ErrorCode::kPermissionDenied: code = "DENIED"; break;
    case ErrorCode::kDataLoss:
    case ErrorCode::kInternal: code = "UNKNOWN"; break;
    default: break;
  }
  return RegistryError(HttpStatusOf(error.code()), code, error.message());
}

std::string BlobUrl(std::string_view repository, const Digest& digest) {
  return fmt::format("/v2/{}/blobs/{}", repository, digest.ToString());
}

Status Registry::State::Authorize(const HttpRequest& request, std::string_view repository,
                                  RegistryAction action) const {
  if (!hooks.authorize) return {};
  return hooks.authorize(request, repository, action);
}

std::optional<HttpResponse> Registry::State::Refusal(const HttpRequest& request,
                                                     RegistryAction action) const {
  const std::string& repository = request.Param("name");
  if (!repository.empty()) {
    if (const Status name = CheckRepository(repository); !name)
      return RegistryError(name.error(), "NAME_INVALID");
  }
  const Status allowed = Authorize(request, repository, action);
  if (allowed) return std::nullopt;
  const bool unknown = allowed.error().code() == ErrorCode::kUnauthenticated;
  HttpResponse response = RegistryError(unknown ? 401 : 403, unknown ? "UNAUTHORIZED" : "DENIED",
                                        allowed.error().message());
  if (unknown)
    response.SetHeader("WWW-Authenticate", hooks.challenge
                                               ? hooks.challenge(request, repository, action)
                                               : "Basic realm=\"skerry\"");
  return response;
}

Handler Registry::State::Guarded(RegistryAction action, Endpoint endpoint) {
  return [this, action, endpoint](HttpRequest& request, Responder responder) {
    if (auto refused = Refusal(request, action)) return responder.Send(std::move(*refused));
    responder.Send((this->*endpoint)(request, request.Param("name")));
  };
}

HttpResponse Registry::State::Ping(HttpRequest&, const std::string&) {
  HttpResponse response = HttpResponse::JsonText(200, "{}");
  response.SetHeader("Docker-Distribution-API-Version", "registry/2.0");
  return response;
}

Registry::Registry(std::unique_ptr<State> state) : state_(std::move(state)) {}
Registry::~Registry() = default;

Result<std::unique_ptr<Registry>> Registry::Open(const std::filesystem::path& directory,
                                                 RegistryHooks hooks, RegistryOptions options) {
  SKERRY_RETURN_IF_ERROR(CreateDirectories(directory));
  SKERRY_ASSIGN_OR_RETURN(DirectoryLock lock, DirectoryLock::Acquire(directory));
  SKERRY_ASSIGN_OR_RETURN(RegistryStorage storage,
                          RegistryStorage::Open(directory, options.place,
                                                {options.max_blob_bytes, options.max_uploads,
                                                 limits::kAbandonedUploadAge}));
  std::unique_ptr<State> state(
      new State{std::move(lock), std::move(storage), std::move(hooks), std::move(options)});
  return std::unique_ptr<Registry>(new Registry(std::move(state)));
}

std::vector<Route> Registry::Routes() {
  using enum RegistryAction;
  const auto pooled = [this](const char* method, const char* pattern, RegistryAction action,
                             State::Endpoint endpoint) {
    return Route{method, pattern, RouteKind::kPooled, state_->Guarded(action, endpoint)};
  };
  const auto streaming = [this](const char* method, const char* pattern, State::Endpoint endpoint) {
    return Route{method, pattern, RouteKind::kStreaming, state_->Guarded(kPush, endpoint)};
  };
  // Content that has to come from elsewhere first may take long: the stream workers wait for it.
  // HEAD is answered by the GET routes. Uploads stand before blobs, whose pattern they match too.
  return {
      pooled("GET", "/v2", kPull, &State::Ping),
      pooled("GET", "/v2/", kPull, &State::Ping),
      streaming("POST", "/v2/{name...}/blobs/uploads", &State::StartUpload),
      streaming("POST", "/v2/{name...}/blobs/uploads/", &State::StartUpload),
      streaming("PATCH", "/v2/{name...}/blobs/uploads/{id}", &State::PatchUpload),
      streaming("PUT", "/v2/{name...}/blobs/uploads/{id}", &State::FinishUpload),
      pooled("GET", "/v2/{name...}/blobs/uploads/{id}", kPush, &State::GetUpload),
      pooled("DELETE", "/v2/{name...}/blobs/uploads/{id}", kPush, &State::CancelUpload),
      {"GET", "/v2/{name...}/blobs/{digest}",
       state_->storage.bucket ? RouteKind::kStreaming : RouteKind::kPooled,
       [state = state_.get()](HttpRequest& request, Responder responder) {
         state->GetBlob(request, std::move(responder));
       }},
      pooled("DELETE", "/v2/{name...}/blobs/{digest}", kDelete, &State::DeleteBlob),
      pooled("GET", "/v2/{name...}/manifests/{reference}", kPull, &State::GetManifest),
      pooled("PUT", "/v2/{name...}/manifests/{reference}", kPush, &State::PutManifest),
      pooled("DELETE", "/v2/{name...}/manifests/{reference}", kDelete, &State::DeleteManifest),
      pooled("GET", "/v2/{name...}/tags/list", kPull, &State::ListTags),
      pooled("GET", "/v2/{name...}/referrers/{digest}", kPull, &State::ListReferrers),
  };
}

bool Registry::is_remote() const { return state_->storage.bucket != nullptr; }

BlobStore& Registry::blobs() { return state_->blobs; }

Result<std::string> Registry::ManifestBytes(std::string_view repository,
                                            std::string_view reference) {
  SKERRY_ASSIGN_OR_RETURN(const Digest digest, state_->Resolve(repository, reference));
  return state_->blobs.Read(digest, state_->options.max_manifest_bytes);
}

Result<Digest> Registry::PutArtifact(std::string_view repository, std::string_view tag,
                                     const Artifact& artifact) {
  SKERRY_RETURN_IF_ERROR(CheckRepository(repository));
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(artifact.manifest_bytes));
  const ContentLeases::Lease lease =
      state_->LeaseAll(manifest, Digest::Sha256(artifact.manifest_bytes));
  for (const BlobSource& blob : artifact.blobs) {
    const Digest& digest = blob.descriptor.digest;
    SKERRY_RETURN_IF_ERROR(state_->blobs.PutBlob(blob));
    SKERRY_RETURN_IF_ERROR(state_->repositories->LinkBlob(repository, digest));
  }
  SKERRY_ASSIGN_OR_RETURN(const auto missing, state_->FindMissing(repository, manifest));
  if (missing)
    return Fail(ErrorCode::kInvalidArgument, "the artifact lacks its blob {}", missing->ToString());
  SKERRY_ASSIGN_OR_RETURN(const Digest digest, state_->blobs.Put(artifact.manifest_bytes));
  std::vector<std::string> tags;
  if (!tag.empty()) tags.emplace_back(tag);
  SKERRY_RETURN_IF_ERROR(
      state_->Publish(repository, tags, manifest, digest, artifact.manifest_bytes.size()));
  state_->usage.Forget(repository);
  return digest;
}

Status Registry::DeleteManifest(std::string_view repository, const Digest& digest) {
  std::optional<Digest> subject;
  if (const auto bytes = state_->blobs.Read(digest, state_->options.max_manifest_bytes)) {
    const auto manifest = Manifest::Parse(*bytes);
    if (manifest && manifest->subject) subject = manifest->subject->digest;
  }
  Status removed = state_->repositories->DeleteManifest(repository, digest, subject);
  state_->usage.Forget(repository);
  return removed;
}

Result<Artifact> Registry::GetArtifact(std::string_view repository, std::string_view reference) {
  SKERRY_ASSIGN_OR_RETURN(const Digest digest, state_->Resolve(repository, reference));
  Artifact artifact;
  SKERRY_ASSIGN_OR_RETURN(artifact.manifest_bytes,
                          state_->blobs.Read(digest, state_->options.max_manifest_bytes));
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(artifact.manifest_bytes));
  artifact.manifest.media_type = manifest.media_type;
  artifact.manifest.digest = digest;
  artifact.manifest.size = artifact.manifest_bytes.size();
  artifact.manifest.artifact_type = manifest.EffectiveArtifactType();
  artifact.manifest.annotations = manifest.annotations;
  const auto add = [&](const Descriptor& blob) -> Status {
    if (artifact.FindBlob(blob.digest) != nullptr) return {};
    // What is not there is noticed by whoever reads it.
    if (auto file = state_->blobs.FileOf(blob.digest)) {
      artifact.blobs.push_back({blob, std::move(*file)});
      return {};
    }
    SKERRY_ASSIGN_OR_RETURN(LocalBlob local, state_->blobs.Local(blob.digest));
    artifact.blobs.push_back({blob, std::move(local.path), std::move(local.held)});
    return {};
  };
  if (manifest.config) SKERRY_RETURN_IF_ERROR(add(*manifest.config));
  for (const Descriptor& layer : manifest.layers) SKERRY_RETURN_IF_ERROR(add(layer));
  return artifact;
}

Result<Digest> Registry::Resolve(std::string_view repository, std::string_view tag) {
  return state_->repositories->FindTag(repository, tag);
}

Result<std::vector<Descriptor>> Registry::Referrers(std::string_view repository,
                                                    const Digest& subject,
                                                    std::string_view artifact_type) {
  SKERRY_ASSIGN_OR_RETURN(std::vector<Descriptor> referrers,
                          state_->repositories->Referrers(repository, subject));
  if (!artifact_type.empty())
    std::erase_if(referrers, [&](const Descriptor& referrer) {
      return referrer.artifact_type != artifact_type;
    });
  return referrers;
}

Result<std::vector<std::string>> Registry::Tags(std::string_view repository) {
  return state_->repositories->Tags(repository);
}

Result<std::vector<std::string>> Registry::Repositories() {
  return state_->repositories->Repositories();
}

Result<CollectReport> Registry::Collect(const CollectOptions& options) {
  const std::scoped_lock lock(state_->collecting);
  auto report = CollectGarbage({.blobs = &state_->blobs,
                                .uploads = state_->uploads,
                                .repositories = state_->repositories,
                                .leases = &state_->leases,
                                .max_manifest_bytes = state_->options.max_manifest_bytes,
                                .still_ours = [this] { return state_->storage.Check(); }},
                               options);
  state_->usage.ForgetAll();
  return report;
}

Result<std::uint64_t> Registry::BytesBelow(std::string_view prefix) {
  return state_->usage.BytesBelow(prefix);
}

}  // namespace skerry
