#include <charconv>

#include "oci/registry_state.h"

namespace skerry {
namespace {

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

HttpResponse Registry::State::GetBlob(HttpRequest& request, const std::string& repository) {
  const auto digest = Digest::Parse(request.Param("digest"));
  if (!digest) return RegistryError(digest.error(), "DIGEST_INVALID");
  // Who asks may leave its push out: what is found stays for a while.
  const ContentLeases::Lease lease = leases.Take({*digest});
  const auto size = blobs.Size(*digest);
  if (!size || !repositories->UseBlob(repository, *digest))
    return RegistryError(404, "BLOB_UNKNOWN",
                         fmt::format("{} has no blob {}", repository, digest->ToString()));
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
      return response;
  }
  response.SetHeader("Content-Type", "application/octet-stream");
  response.SetHeader("Docker-Content-Digest", digest->ToString());
  response.SetHeader("Accept-Ranges", "bytes");
  response.file = FileBody{blobs.PathOf(*digest), range.first, range.length};
  return response;
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
