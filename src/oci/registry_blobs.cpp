#include <charconv>

#include "base/log.h"
#include "oci/registry_limits.h"
#include "oci/registry_state.h"

namespace skerry {
namespace {

constexpr std::size_t kPieceBytes = 256U << 10U;

struct ByteRange {
  std::uint64_t first;
  std::uint64_t length;
};
enum class RangeVerdict { kWhole, kPart, kUnsatisfiable };

std::optional<std::uint64_t> ParseNumber(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// RFC 9110 14.1.2, one range. What is no byte range, or several, is answered with the whole; a
// range that runs backwards is refused, as the conformance suite of the distribution-spec wants.
RangeVerdict ParseRange(std::string_view header, std::uint64_t size, ByteRange& range) {
  constexpr std::string_view kUnit = "bytes=";
  const std::size_t dash = header.find('-');
  if (!header.starts_with(kUnit) || dash == std::string_view::npos ||
      header.find(',') != std::string_view::npos)
    return RangeVerdict::kWhole;
  const std::string_view from = header.substr(kUnit.size(), dash - kUnit.size());
  const std::string_view to = header.substr(dash + 1);
  const auto first = ParseNumber(from);
  const auto last = ParseNumber(to);
  if ((!from.empty() && !first) || (!to.empty() && !last) || (!first && !last))
    return RangeVerdict::kWhole;
  if (!first) {  // the last so many bytes
    if (*last == 0 || size == 0) return RangeVerdict::kUnsatisfiable;
    const std::uint64_t length = std::min(*last, size);
    range = {size - length, length};
    return RangeVerdict::kPart;
  }
  if (*first >= size || (last && *last < *first)) return RangeVerdict::kUnsatisfiable;
  const std::uint64_t end = last ? std::min(*last, size - 1) : size - 1;
  range = {*first, end - *first + 1};
  return RangeVerdict::kPart;
}

}  // namespace

void Registry::State::GetBlob(HttpRequest& request, Responder responder) {
  if (auto refused = Refusal(request, RegistryAction::kPull))
    return responder.Send(std::move(*refused));
  const std::string& repository = request.Param("name");
  const auto digest = Digest::Parse(request.Param("digest"));
  if (!digest) return responder.Send(RegistryError(digest.error(), "DIGEST_INVALID"));
  // Who asks may leave its push out: what is found stays for a while.
  const ContentLeases::Lease lease = leases.Take({*digest});
  const auto size = blobs.Size(*digest);
  const Status used =
      size ? repositories->UseBlob(repository, *digest) : Status(tl::make_unexpected(size.error()));
  if (!used && used.error().code() == ErrorCode::kNotFound)
    return responder.Send(RegistryError(
        404, "BLOB_UNKNOWN", fmt::format("{} has no blob {}", repository, digest->ToString())));
  if (!used) return responder.Send(RegistryError(used.error(), "BLOB_UNKNOWN"));
  ByteRange range{0, *size};
  HttpResponse response = HttpResponse::Empty(200);
  switch (ParseRange(request.Header("Range"), *size, range)) {
    case RangeVerdict::kWhole: break;
    case RangeVerdict::kPart:
      response.status = 206;
      response.SetHeader("Content-Range", fmt::format("bytes {}-{}/{}", range.first,
                                                      range.first + range.length - 1, *size));
      break;
    case RangeVerdict::kUnsatisfiable:
      response = RegistryError(416, "SIZE_INVALID",
                               fmt::format("the range does not fit a blob of {} bytes", *size));
      response.SetHeader("Content-Range", fmt::format("bytes */{}", *size));
      return responder.Send(std::move(response));
  }
  response.SetHeader("Content-Type", "application/octet-stream");
  response.SetHeader("Docker-Content-Digest", digest->ToString());
  response.SetHeader("Accept-Ranges", "bytes");
  if (auto file = blobs.FileOf(*digest)) {
    response.file = FileBody{std::move(*file), range.first, range.length};
    return responder.Send(std::move(response));
  }
  SendBlob(request, std::move(response), *digest, {{}, range.first, range.length},
           std::move(responder));
}

// Content that stands elsewhere. What is small is fetched and verified before it is sent, and the
// next who asks gets it from here; the rest is passed on as it comes.
void Registry::State::SendBlob(HttpRequest& request, HttpResponse head, const Digest& digest,
                               FileBody part, Responder responder) {
  const bool fetched = part.offset + part.length <= limits::kFetchedBlobBytes;
  if (request.method == "HEAD" || !fetched)
    head.SetHeader("Content-Length", std::to_string(part.length));
  if (request.method == "HEAD") return responder.Send(std::move(head));
  if (fetched) {
    auto local = blobs.Local(digest);
    if (!local) return responder.Send(RegistryError(local.error(), "BLOB_UNKNOWN"));
    // The server opens it at once, long before the cache drops what was just used.
    part.path = std::move(local->path);
    head.file = std::move(part);
    return responder.Send(std::move(head));
  }
  responder.Start(std::move(head));
  std::string piece;
  const auto pass = [&]() -> Status {
    std::string full;
    full.reserve(kPieceBytes);
    full.swap(piece);
    return full.empty() ? Status() : responder.Write(std::move(full));
  };
  Status passed = blobs.ReadRange(digest, part.offset, part.length, [&](std::string_view bytes) {
    piece += bytes;
    return piece.size() >= kPieceBytes ? pass() : Status();
  });
  if (passed) passed = pass();
  if (passed) return responder.Finish();
  // Without Finish the answer breaks off, and the peer knows that it is not whole.
  LogWarning("a blob was not sent whole digest={} reason={}", digest.ToString(),
             passed.error().message());
}

HttpResponse Registry::State::DeleteBlob(HttpRequest& request, const std::string& repository) {
  const auto digest = Digest::Parse(request.Param("digest"));
  if (!digest) return RegistryError(digest.error(), "DIGEST_INVALID");
  if (const Status removed = repositories->UnlinkBlob(repository, *digest); !removed)
    return RegistryError(removed.error(), "BLOB_UNKNOWN");
  usage.Forget(repository);
  return HttpResponse::Empty(202);
}

}  // namespace skerry
