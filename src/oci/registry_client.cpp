#include "oci/registry_client.h"

#include <algorithm>
#include <charconv>

#include "http/status.h"
#include "http/url.h"
#include "oci/digest_file.h"
#include "oci/media_types.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kErrorBodyBytes = 64U << 10U;

// "MANIFEST_UNKNOWN: models/m has no tag 3", or what there is of the body.
std::string WordsOf(const HttpReply& reply) {
  const auto json = ParseJson(reply.body, kErrorBodyBytes);
  if (json && json->is_object() && json->contains("errors")) {
    const Json& errors = (*json)["errors"];
    if (errors.is_array() && !errors.empty()) {
      const JsonObject first(errors[0], "errors[0]");
      const auto code = first.StringOr("code", "");
      const auto message = first.StringOr("message", "");
      if (code && message) return *code + ": " + *message;
    }
  }
  return reply.body.substr(0, 200);
}

std::optional<std::uint64_t> ParseNumber(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The bytes that a registry has, from "Range: 0-<last>". "0-0" is what they say of an empty upload
// too, so it counts as none.
std::optional<std::uint64_t> OffsetOf(const HttpReply& reply) {
  const std::string_view range = reply.Header("Range");
  const std::size_t dash = range.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto last = ParseNumber(range.substr(dash + 1));
  if (!last) return std::nullopt;
  return *last == 0 ? 0 : *last + 1;
}

// Sets the body to bytes [offset, offset + length) of the blob.
void SetBody(HttpCall& call, const BlobSource& blob, std::uint64_t offset, std::uint64_t length) {
  call.headers.emplace_back("Content-Type", "application/octet-stream");
  if (const auto* path = std::get_if<fs::path>(&blob.content))
    call.file = FileBody{*path, offset, length};
  else if (const auto* extents = std::get_if<Extents>(&blob.content))
    call.file = FileBody{extents->front().file, extents->front().offset + offset, length};
  else
    call.body = std::get<std::string>(blob.content).substr(offset, length);
}

// The target of `<...>; rel="next"`, or "".
std::string NextLink(const HttpReply& reply) {
  const std::string_view link = reply.Header("Link");
  const std::size_t open = link.find('<');
  const std::size_t close = link.find('>');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open ||
      link.find("next", close) == std::string_view::npos)
    return {};
  return std::string(link.substr(open + 1, close - open - 1));
}

std::string WithDigest(const std::string& location, const Digest& digest) {
  return fmt::format("{}{}digest={}", location, location.find('?') == std::string::npos ? '?' : '&',
                     PercentEncode(digest.ToString()));
}

Status Report(const TransferProgress& progress, std::uint64_t done, std::uint64_t all) {
  return progress ? progress(done, all) : Status{};
}

}  // namespace

RegistryClient::RegistryClient(std::string base_url, HttpClient& client, std::size_t chunk_bytes,
                               std::size_t single_request_bytes)
    : base_url_(std::move(base_url)),
      client_(&client),
      chunk_bytes_(chunk_bytes),
      single_request_bytes_(single_request_bytes) {
  while (base_url_.ends_with('/')) base_url_.pop_back();
}

std::string RegistryClient::Url(std::string_view repository, std::string_view rest) const {
  return fmt::format("{}/v2/{}/{}", base_url_, repository, rest);
}

Result<std::string> RegistryClient::Absolute(std::string_view location) const {
  SKERRY_ASSIGN_OR_RETURN(const class Url base, Url::Parse(base_url_));
  if (location.starts_with('/')) return base.Origin() + std::string(location);
  SKERRY_ASSIGN_OR_RETURN(const class Url target, Url::Parse(location), "the registry's Location");
  if (target.Origin() != base.Origin())
    return Fail(ErrorCode::kPermissionDenied, "{} sends us to another host, {}", base_url_,
                target.Origin());
  return std::string(location);
}

Result<HttpReply> RegistryClient::Call(const HttpCall& call, std::initializer_list<int> good,
                                       std::string_view doing, Answer answer) {
  SKERRY_ASSIGN_OR_RETURN(HttpReply reply, client_->Send(call), doing);
  const bool any_content = call.sink || (answer == Answer::kBlob && reply.status == 200);
  if (!any_content && LooksLikeAPage(reply))
    return Fail(ErrorCode::kUnavailable,
                "{}: {} answered {} with a web page or a redirect, so it is no registry: is there "
                "a login page (captive portal) or a proxy on the way?",
                doing, base_url_, reply.status);
  if (std::find(good.begin(), good.end(), reply.status) != good.end()) return reply;
  return Fail(ErrorCodeOf(reply.status), "{}: {} answers {} {}", doing, base_url_, reply.status,
              WordsOf(reply));
}

Status RegistryClient::Ping() {
  SKERRY_RETURN_IF_ERROR(Call({.url = base_url_ + "/v2/", .max_reply_bytes = kErrorBodyBytes},
                              {200}, "asking for /v2/"));
  return {};
}

Result<bool> RegistryClient::HasBlob(std::string_view repository, const Digest& digest) {
  SKERRY_ASSIGN_OR_RETURN(
      const HttpReply reply,
      Call({.method = "HEAD", .url = Url(repository, "blobs/" + digest.ToString())}, {200, 404},
           fmt::format("looking for blob {}", digest.ToString())));
  return reply.status == 200;
}

Status RegistryClient::StartUpload(std::string_view repository, UploadState& state) {
  SKERRY_ASSIGN_OR_RETURN(const HttpReply reply,
                          Call({.method = "POST", .url = Url(repository, "blobs/uploads/")}, {202},
                               "starting an upload"));
  state.location = reply.Header("Location");
  state.offset = 0;
  return {};
}

// Asks where the upload stands; false when there is none (any more).
Result<bool> RegistryClient::FindUpload(UploadState& state) {
  if (state.location.empty()) return false;
  SKERRY_ASSIGN_OR_RETURN(const std::string url, Absolute(state.location));
  SKERRY_ASSIGN_OR_RETURN(const HttpReply reply,
                          Call({.url = url}, {204, 404}, "asking for the state of an upload"));
  const auto offset = reply.status == 204 ? OffsetOf(reply) : std::nullopt;
  if (!offset || *offset == 0) return false;
  if (!reply.Header("Location").empty()) state.location = reply.Header("Location");
  state.offset = *offset;
  return true;
}

Status RegistryClient::SendChunks(const BlobSource& blob, UploadState& state,
                                  const TransferProgress& progress) {
  const std::uint64_t size = blob.descriptor.size;
  while (size - state.offset > chunk_bytes_) {  // what is left then goes with the last request
    HttpCall call;
    call.method = "PATCH";
    SKERRY_ASSIGN_OR_RETURN(call.url, Absolute(state.location));
    SetBody(call, blob, state.offset, chunk_bytes_);
    call.headers.emplace_back("Content-Range",
                              fmt::format("{}-{}", state.offset, state.offset + chunk_bytes_ - 1));
    SKERRY_ASSIGN_OR_RETURN(
        const HttpReply reply,
        Call(call, {202}, fmt::format("sending blob {}", blob.descriptor.digest.ToString())));
    const auto offset = OffsetOf(reply);
    if (!offset || *offset <= state.offset || *offset > size)
      return Fail(ErrorCode::kInternal, "{} took a chunk but says it has \"{}\"", base_url_,
                  reply.Header("Range"));
    if (!reply.Header("Location").empty()) state.location = reply.Header("Location");
    state.offset = *offset;
    SKERRY_RETURN_IF_ERROR(Report(progress, state.offset, size));
  }
  return {};
}

Status RegistryClient::FinishUpload(const BlobSource& blob, UploadState& state) {
  const Descriptor& descriptor = blob.descriptor;
  HttpCall call;
  call.method = "PUT";
  SKERRY_ASSIGN_OR_RETURN(const std::string url, Absolute(state.location));
  call.url = WithDigest(url, descriptor.digest);
  const std::uint64_t left = descriptor.size - state.offset;
  if (left > 0) {
    SetBody(call, blob, state.offset, left);
    call.headers.emplace_back("Content-Range",
                              fmt::format("{}-{}", state.offset, descriptor.size - 1));
  }
  auto reply = Call(call, {201}, fmt::format("sending blob {}", descriptor.digest.ToString()));
  if (reply) {
    state = {};
    return {};
  }
  if (reply.error().code() == ErrorCode::kInvalidArgument) {
    // Refused for good: what the registry has of it is not our blob.
    state = {};
    SKERRY_RETURN_IF_ERROR(blob.Verify());
  }
  return Propagate(std::move(reply));
}

Result<bool> RegistryClient::PushWhole(std::string_view repository, const BlobSource& blob,
                                       UploadState& state) {
  const Descriptor& descriptor = blob.descriptor;
  HttpCall call{.method = "POST",
                .url = WithDigest(Url(repository, "blobs/uploads/"), descriptor.digest)};
  SetBody(call, blob, 0, descriptor.size);
  auto reply = Call(call, {201, 202}, fmt::format("sending blob {}", descriptor.digest.ToString()));
  if (!reply) {
    if (reply.error().code() == ErrorCode::kInvalidArgument) SKERRY_RETURN_IF_ERROR(blob.Verify());
    return Propagate(std::move(reply));
  }
  if (reply->status == 201) return true;
  state.location = reply->Header("Location");
  state.offset = 0;
  return false;
}

Status RegistryClient::PushBlob(std::string_view repository, const BlobSource& blob,
                                UploadState* state, const TransferProgress& progress) {
  UploadState own;
  UploadState& upload = state != nullptr ? *state : own;
  const std::uint64_t size = blob.descriptor.size;
  if (const auto* path = std::get_if<fs::path>(&blob.content)) {
    std::error_code error;
    const std::uintmax_t have = fs::file_size(*path, error);
    if (error || have != size)
      return Fail(ErrorCode::kDataLoss, "{} is not the blob {} of {} bytes", path->string(),
                  blob.descriptor.digest.ToString(), size);
  }
  if (const auto* extents = std::get_if<Extents>(&blob.content); extents && extents->size() != 1)
    return Fail(ErrorCode::kUnimplemented, "blob {} stands in {} files: import its bundle instead",
                blob.descriptor.digest.ToString(), extents->size());
  bool found = false;
  if (size <= single_request_bytes_ && upload.location.empty()) {
    SKERRY_RETURN_IF_ERROR(Report(progress, 0, size));
    SKERRY_ASSIGN_OR_RETURN(const bool done, PushWhole(repository, blob, upload));
    if (done) return Report(progress, size, size);
    found = true;
  } else {
    SKERRY_ASSIGN_OR_RETURN(const bool has, HasBlob(repository, blob.descriptor.digest));
    if (has) {
      upload = {};
      return Report(progress, size, size);
    }
    SKERRY_ASSIGN_OR_RETURN(found, FindUpload(upload));
  }
  if (!found || upload.offset > size) {
    SKERRY_RETURN_IF_ERROR(StartUpload(repository, upload));
  }
  SKERRY_RETURN_IF_ERROR(Report(progress, upload.offset, size));
  SKERRY_RETURN_IF_ERROR(SendChunks(blob, upload, progress));
  SKERRY_RETURN_IF_ERROR(FinishUpload(blob, upload));
  return Report(progress, size, size);
}

// One GET from where the partial file ends; the status. 416 means that the partial file is wrong.
Result<int> RegistryClient::Fetch(std::string_view repository, const Descriptor& blob,
                                  AppendFile& partial, const TransferProgress& progress) {
  HttpCall call{.url = Url(repository, "blobs/" + blob.digest.ToString())};
  if (partial.size() > 0)
    call.headers.emplace_back("Range", fmt::format("bytes={}-", partial.size()));
  call.max_reply_bytes = std::max(blob.size, kErrorBodyBytes);
  std::uint64_t reported = partial.size();
  call.sink = [&](std::string_view piece) -> Status {
    if (partial.size() + piece.size() > blob.size)
      return Fail(ErrorCode::kDataLoss, "blob {} comes with more than the {} bytes that are due",
                  blob.digest.ToString(), blob.size);
    SKERRY_RETURN_IF_ERROR(partial.Write(piece));
    if (partial.size() - reported < chunk_bytes_ && partial.size() < blob.size) return {};
    reported = partial.size();
    return Report(progress, reported, blob.size);
  };
  SKERRY_ASSIGN_OR_RETURN(
      const HttpReply reply,
      Call(call, {200, 206, 416}, fmt::format("fetching blob {}", blob.digest.ToString())));
  return reply.status;
}

Status RegistryClient::PullBlob(std::string_view repository, const Descriptor& blob,
                                const fs::path& target, const TransferProgress& progress) {
  if (VerifyFile(target, blob.digest, blob.size)) return {};
  fs::path partial_path = target;
  partial_path += ".partial";
  SKERRY_RETURN_IF_ERROR(
      CreateDirectories(target.has_parent_path() ? target.parent_path() : fs::path(".")));
  // The second round is for a registry that does not know ranges, or for a partial file that is
  // none of this blob.
  for (int round = 0; round < 2; ++round) {
    SKERRY_ASSIGN_OR_RETURN(AppendFile partial,
                            AppendFile::Open(partial_path, AppendFile::Mode::kCreateOrExisting));
    const bool resumes = partial.size() > 0;
    Status status;
    if (partial.size() < blob.size || blob.size == 0) {
      const auto fetched = Fetch(repository, blob, partial, progress);
      if (!fetched && fetched.error().code() != ErrorCode::kDataLoss)
        return tl::make_unexpected(fetched.error());
      if (!fetched) status = tl::make_unexpected(fetched.error());
    }
    if (status) status = VerifyFile(partial_path, blob.digest, blob.size);
    if (status) return PublishFileDurably(partial_path, target);
    SKERRY_RETURN_IF_ERROR(RemoveFile(partial_path));
    if (!resumes) return status;
  }
  return Fail(ErrorCode::kDataLoss, "blob {} does not arrive whole", blob.digest.ToString());
}

Result<std::string> RegistryClient::PullBytes(std::string_view repository, const Descriptor& blob,
                                              std::size_t max_bytes) {
  const std::string doing = fmt::format("fetching blob {}", blob.digest.ToString());
  if (blob.size > max_bytes)
    return Fail(ErrorCode::kTooLarge, "{}: it has {} bytes, at most {} are taken", doing, blob.size,
                max_bytes);
  SKERRY_ASSIGN_OR_RETURN(HttpReply reply,
                          Call({.url = Url(repository, "blobs/" + blob.digest.ToString()),
                                .max_reply_bytes = std::max(blob.size, kErrorBodyBytes)},
                               {200}, doing, Answer::kBlob));
  SKERRY_RETURN_IF_ERROR(VerifyBytes(reply.body, blob.digest, blob.size), doing);
  return std::move(reply.body);
}

Result<PutReply> RegistryClient::PutManifest(std::string_view repository,
                                             std::string_view reference, std::string_view bytes,
                                             std::string_view media_type) {
  HttpCall call{.method = "PUT", .url = Url(repository, fmt::format("manifests/{}", reference))};
  call.headers.emplace_back("Content-Type", media_type);
  call.body = bytes;
  SKERRY_ASSIGN_OR_RETURN(
      HttpReply reply,
      Call(call, {201}, fmt::format("sending manifest {}:{}", repository, reference)));
  return PutReply{Digest::Sha256(bytes), std::move(reply.body)};
}

Result<FetchedManifest> RegistryClient::GetManifest(std::string_view repository,
                                                    std::string_view reference) {
  const std::string doing = fmt::format("fetching manifest {}:{}", repository, reference);
  HttpCall call{.url = Url(repository, fmt::format("manifests/{}", reference))};
  call.headers.emplace_back(
      "Accept", fmt::format("{}, {}, {}, {}", media_types::kImageManifest, media_types::kImageIndex,
                            media_types::kDockerManifest, media_types::kDockerManifestList));
  call.max_reply_bytes = limits::kManifestBytes;
  SKERRY_ASSIGN_OR_RETURN(HttpReply reply, Call(call, {200}, doing));
  FetchedManifest manifest;
  manifest.descriptor.media_type = reply.Header("Content-Type");
  manifest.descriptor.size = reply.body.size();
  manifest.descriptor.digest = Digest::Sha256(reply.body);
  if (reference.find(':') != std::string_view::npos) {
    SKERRY_ASSIGN_OR_RETURN(manifest.descriptor.digest, Digest::Parse(reference), doing);
    SKERRY_RETURN_IF_ERROR(VerifyBytes(reply.body, manifest.descriptor.digest, reply.body.size()),
                           doing);
  }
  manifest.bytes = std::move(reply.body);
  return manifest;
}

Result<std::vector<std::string>> RegistryClient::Tags(std::string_view repository) {
  const std::string doing = fmt::format("listing the tags of {}", repository);
  std::vector<std::string> tags;
  std::string url = Url(repository, "tags/list");
  while (!url.empty()) {
    SKERRY_ASSIGN_OR_RETURN(const HttpReply reply, Call({.url = url}, {200}, doing));
    SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(reply.body), doing);
    SKERRY_ASSIGN_OR_RETURN(std::vector<std::string> page,
                            JsonObject(json, "tags/list").Strings("tags"));
    tags.insert(tags.end(), page.begin(), page.end());
    if (tags.size() > limits::kTagsListed)
      return Fail(ErrorCode::kTooLarge, "{}: more than {} (kTagsListed)", doing,
                  limits::kTagsListed);
    const std::string next = NextLink(reply);
    if (next.empty() || page.empty()) break;
    SKERRY_ASSIGN_OR_RETURN(url, Absolute(next));
  }
  return tags;
}

Result<std::vector<Descriptor>> RegistryClient::Referrers(std::string_view repository,
                                                          const Digest& subject,
                                                          std::string_view artifact_type) {
  const std::string doing = fmt::format("listing what refers to {}", subject.ToString());
  std::string rest = "referrers/" + subject.ToString();
  if (!artifact_type.empty()) rest += "?artifactType=" + PercentEncode(artifact_type);
  SKERRY_ASSIGN_OR_RETURN(const HttpReply reply,
                          Call({.url = Url(repository, rest)}, {200}, doing));
  SKERRY_ASSIGN_OR_RETURN(const Manifest index,
                          Manifest::Parse(reply.body, media_types::kImageIndex), doing);
  std::vector<Descriptor> referrers;
  for (const Descriptor& referrer : index.manifests)
    if (artifact_type.empty() || referrer.artifact_type == artifact_type)
      referrers.push_back(referrer);
  return referrers;
}

Result<PutReply> RegistryClient::PushArtifact(std::string_view repository, std::string_view tag,
                                              const Artifact& artifact) {
  for (const BlobSource& blob : artifact.blobs) SKERRY_RETURN_IF_ERROR(PushBlob(repository, blob));
  return PutManifest(repository, tag.empty() ? artifact.manifest.digest.ToString() : tag,
                     artifact.manifest_bytes, artifact.manifest.media_type);
}

Result<Artifact> RegistryClient::PullArtifact(std::string_view repository,
                                              std::string_view reference,
                                              const fs::path& directory) {
  SKERRY_ASSIGN_OR_RETURN(FetchedManifest fetched, GetManifest(repository, reference));
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest,
                          Manifest::Parse(fetched.bytes, fetched.descriptor.media_type));
  if (manifest.is_index())
    return Fail(ErrorCode::kUnimplemented, "{}:{} is an image index; name one of its manifests",
                repository, reference);
  Artifact artifact;
  artifact.manifest_bytes = std::move(fetched.bytes);
  artifact.manifest = std::move(fetched.descriptor);
  artifact.manifest.artifact_type = manifest.EffectiveArtifactType();
  artifact.manifest.annotations = manifest.annotations;
  std::vector<Descriptor> needed = {*manifest.config};
  needed.insert(needed.end(), manifest.layers.begin(), manifest.layers.end());
  for (const Descriptor& blob : needed) {
    if (artifact.FindBlob(blob.digest) != nullptr) continue;
    const fs::path path =
        directory / fmt::format("{}-{}", blob.digest.algorithm(), blob.digest.hex());
    SKERRY_RETURN_IF_ERROR(PullBlob(repository, blob, path));
    artifact.blobs.push_back({blob, path});
  }
  return artifact;
}

}  // namespace skerry
