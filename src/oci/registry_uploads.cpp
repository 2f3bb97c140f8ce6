#include <charconv>
#include <vector>

#include "oci/registry_state.h"

namespace skerry {
namespace {

constexpr std::size_t kPieceBytes = 256U << 10U;

HttpResponse UploadAnswer(int status, std::string_view repository, std::string_view id,
                          std::uint64_t offset) {
  HttpResponse response = HttpResponse::Empty(status);
  response.SetHeader("Location", fmt::format("/v2/{}/blobs/uploads/{}", repository, id));
  // An empty upload has no last byte; like Docker's registry, say 0-0.
  response.SetHeader("Range", fmt::format("0-{}", offset == 0 ? 0 : offset - 1));
  response.SetHeader("Docker-Upload-UUID", std::string(id));
  return response;
}

HttpResponse BlobAnswer(std::string_view repository, const Digest& digest) {
  HttpResponse response = HttpResponse::Empty(201);
  response.SetHeader("Location", BlobUrl(repository, digest));
  response.SetHeader("Docker-Content-Digest", digest.ToString());
  return response;
}

// "<first>-<last>" as the distribution-spec writes it; RFC 9110's "bytes <first>-<last>/<all>" is
// taken too. nullopt: no such header. kInvalidArgument: not understood, or not what comes.
Result<std::optional<std::uint64_t>> OffsetOf(const HttpRequest& request) {
  const std::string_view header = request.Header("Content-Range");
  if (header.empty()) return std::nullopt;
  std::string_view text = header.substr(0, header.find('/'));
  if (text.starts_with("bytes ")) text.remove_prefix(6);
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  const char* const end = text.data() + text.size();
  const auto [dash, bad_first] = std::from_chars(text.data(), end, first);
  if (bad_first != std::errc() || dash == end || *dash != '-')
    return Fail(ErrorCode::kInvalidArgument, "the Content-Range \"{}\" is not understood", header);
  const auto [rest, bad_last] = std::from_chars(dash + 1, end, last);
  if (bad_last != std::errc() || rest != end || last < first)
    return Fail(ErrorCode::kInvalidArgument, "the Content-Range \"{}\" is not understood", header);
  if (request.content_length != kUnknownLength && request.content_length != last - first + 1)
    return Fail(ErrorCode::kInvalidArgument,
                "the Content-Range \"{}\" does not fit a Content-Length of {}", header,
                request.content_length);
  return first;
}

HttpResponse UploadError(const Error& error) {
  return RegistryError(
      error, error.code() == ErrorCode::kNotFound ? "BLOB_UPLOAD_UNKNOWN" : "BLOB_UPLOAD_INVALID");
}

}  // namespace

// Appends the body as it arrives, so that a cut keeps what came.
Status Registry::State::Receive(HttpRequest& request, UploadStore::Writer& writer,
                                const std::string& repository, const Digest* digest) {
  SKERRY_ASSIGN_OR_RETURN(const Allowance allowance, AllowanceOf(repository, digest));
  const auto left = [&] { return allowance.bytes - std::min(allowance.bytes, writer.offset()); };
  if (request.content_length != kUnknownLength && request.content_length > left())
    return tl::make_unexpected(allowance.refusal);
  std::vector<char> buffer(kPieceBytes);
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const std::size_t got,
                            request.stream->Read(buffer.data(), buffer.size()));
    if (got == 0) return {};
    if (got > left()) return tl::make_unexpected(allowance.refusal);
    SKERRY_RETURN_IF_ERROR(writer.Write(std::string_view(buffer.data(), got)));
  }
}

bool Registry::State::MayTakeFrom(const HttpRequest& request, std::string_view repository,
                                  const Digest& digest) const {
  return repositories->HasBlob(repository, digest) &&
         Authorize(request, repository, RegistryAction::kPull).has_value();
}

// Without `from`, any repository that the peer may read will do.
bool Registry::State::CanMount(const HttpRequest& request, const Digest& digest) const {
  if (!blobs.Has(digest)) return false;
  if (request.HasQuery("from")) return MayTakeFrom(request, request.Query("from"), digest);
  const auto names = repositories->Repositories();
  if (!names) return false;
  for (const std::string& name : *names)
    if (MayTakeFrom(request, name, digest)) return true;
  return false;
}

HttpResponse Registry::State::StartUpload(HttpRequest& request, const std::string& repository) {
  if (request.HasQuery("mount")) {
    const auto digest = Digest::Parse(request.Query("mount"));
    if (!digest) return RegistryError(digest.error(), "DIGEST_INVALID");
    const ContentLeases::Lease lease = leases.Take({*digest});
    if (CanMount(request, *digest)) {
      if (const Status linked = LinkWithinQuotas(repository, *digest); !linked)
        return RegistryError(linked.error(), "UNKNOWN");
      return BlobAnswer(repository, *digest);
    }
  }
  std::optional<Digest> whole;
  if (request.HasQuery("digest")) {
    auto digest = Digest::Parse(request.Query("digest"));
    if (!digest) return RegistryError(digest.error(), "DIGEST_INVALID");
    whole = std::move(*digest);
  }
  const auto id = uploads->Start(repository);
  if (!id) return UploadError(id.error());
  if (!whole) return UploadAnswer(202, repository, *id, 0);

  auto writer = uploads->Resume(*id, repository, 0);
  if (!writer) return UploadError(writer.error());
  if (const Status received = Receive(request, *writer, repository, &*whole); !received) {
    // Nobody knows this upload's address, so nobody could go on with it.
    const Status cancelled = uploads->Cancel(*id, repository);
    return UploadError(cancelled ? received.error() : cancelled.error());
  }
  return Complete(std::move(*writer), *id, repository, *whole);
}

// Between its coming to its place and its link, a blob is nobody's: the lease keeps it.
HttpResponse Registry::State::Complete(UploadStore::Writer writer, const std::string& id,
                                       const std::string& repository, const Digest& digest) {
  const ContentLeases::Lease lease = leases.Take({digest});
  const Status finished = uploads->Finish(std::move(writer), id, digest);
  if (!finished && finished.error().code() == ErrorCode::kNotFound)
    return RegistryError(finished.error(), "BLOB_UPLOAD_UNKNOWN");
  if (!finished) return RegistryError(finished.error(), "DIGEST_INVALID");
  if (const Status linked = LinkWithinQuotas(repository, digest); !linked)
    return RegistryError(linked.error(), "UNKNOWN");
  return BlobAnswer(repository, digest);
}

Result<UploadStore::Writer> Registry::State::ReceiveChunk(HttpRequest& request,
                                                          const std::string& repository,
                                                          const Digest* digest) {
  SKERRY_ASSIGN_OR_RETURN(const std::optional<std::uint64_t> offset, OffsetOf(request));
  SKERRY_ASSIGN_OR_RETURN(UploadStore::Writer writer,
                          uploads->Resume(request.Param("id"), repository, offset));
  const Status received = Receive(request, writer, repository, digest);
  if (received) return writer;
  // What its medium has no more, nobody can go on with: it is not to be offered again.
  if (received.error().code() == ErrorCode::kNotFound)
    SKERRY_RETURN_IF_ERROR(uploads->Cancel(request.Param("id"), repository));
  return tl::make_unexpected(received.error());
}

// 416 says where the upload really stands.
HttpResponse Registry::State::ChunkError(const Error& error, const HttpRequest& request,
                                         const std::string& repository) {
  HttpResponse response = UploadError(error);
  if (error.code() != ErrorCode::kOutOfRange) return response;
  const std::string& id = request.Param("id");
  const auto offset = uploads->Offset(id, repository);
  if (!offset) return UploadError(offset.error());
  for (auto& [name, value] : UploadAnswer(416, repository, id, *offset).headers)
    response.SetHeader(name, value);
  return response;
}

HttpResponse Registry::State::PatchUpload(HttpRequest& request, const std::string& repository) {
  auto writer = ReceiveChunk(request, repository, nullptr);
  if (!writer) return ChunkError(writer.error(), request, repository);
  if (const Status synced = writer->Sync(); !synced) return UploadError(synced.error());
  return UploadAnswer(202, repository, request.Param("id"), writer->offset());
}

HttpResponse Registry::State::FinishUpload(HttpRequest& request, const std::string& repository) {
  const auto digest = Digest::Parse(request.Query("digest"));
  if (!digest) return RegistryError(digest.error(), "DIGEST_INVALID");
  auto writer = ReceiveChunk(request, repository, &*digest);
  if (!writer) return ChunkError(writer.error(), request, repository);
  return Complete(std::move(*writer), request.Param("id"), repository, *digest);
}

HttpResponse Registry::State::GetUpload(HttpRequest& request, const std::string& repository) {
  const auto offset = uploads->Offset(request.Param("id"), repository);
  if (!offset) return UploadError(offset.error());
  return UploadAnswer(204, repository, request.Param("id"), *offset);
}

HttpResponse Registry::State::CancelUpload(HttpRequest& request, const std::string& repository) {
  if (const Status cancelled = uploads->Cancel(request.Param("id"), repository); !cancelled)
    return UploadError(cancelled.error());
  return HttpResponse::Empty(204);
}

}  // namespace skerry
