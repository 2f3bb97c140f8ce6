#include "http/content_coding.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>
#include <utility>

#include "http/status.h"

namespace skerry::http_detail {
namespace {

constexpr int kGzipWindow = 15 + 16;  // zlib's way to say gzip
constexpr int kZlibWindow = 15;
constexpr int kFastest = 1;
constexpr std::size_t kScratchBytes = 16U << 10U;
constexpr std::size_t kLeastEncodedBytes = 1U << 10U;  // fewer fit into one packet as they are
// So much is decoded before the rest is measured.
constexpr std::size_t kTrustedBytes = 1U << 20U;

int WindowOf(ContentCoding coding) {
  return coding == ContentCoding::kGzip ? kGzipWindow : kZlibWindow;
}

Bytef* Writable(std::string_view bytes) {
  // The library takes a mutable pointer for what it only reads.
  return reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
}

std::string_view Trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// Decodes a body from its beginning, piece by piece.
class Inflater {
 public:
  Inflater(std::string_view body, ContentCoding coding) : coding_(coding) {
    stream_.next_in = Writable(body);
    stream_.avail_in = static_cast<uInt>(body.size());
    ready_ = inflateInit2(&stream_, WindowOf(coding)) == Z_OK;
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // How many bytes were written; fewer than `size` at the end alone.
  Result<std::size_t> Read(char* out, std::size_t size) {
    stream_.next_out = reinterpret_cast<Bytef*>(out);
    stream_.avail_out = static_cast<uInt>(size);
    while (ready_ && !ended_ && stream_.avail_out > 0) {
      const int code = inflate(&stream_, Z_NO_FLUSH);
      if (code == Z_OK) continue;
      if (code != Z_STREAM_END) return Damaged();
      // RFC 1952 2.2: a gzip file may have several members, one after the other.
      const bool more = stream_.avail_in > 0;
      if (more && (coding_ != ContentCoding::kGzip || inflateReset(&stream_) != Z_OK))
        return Damaged();
      ended_ = !more;
    }
    if (!ready_) return Fail(ErrorCode::kInternal, "no memory to decode a body");
    return size - stream_.avail_out;
  }

 private:
  tl::unexpected<Error> Damaged() const {
    return Fail(ErrorCode::kInvalidArgument, "the body is no whole {} data",
                ContentCodingName(coding_));
  }

  const ContentCoding coding_;
  z_stream stream_{};
  bool ready_ = false;
  bool ended_ = false;
};

// The decoded size, or an error when it is over `most_bytes`.
Result<std::size_t> Measure(std::string_view body, ContentCoding coding, std::size_t most_bytes) {
  Inflater inflater(body, coding);
  std::array<char, kScratchBytes> scratch{};
  std::size_t bytes = 0;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const std::size_t got, inflater.Read(scratch.data(), scratch.size()));
    bytes += got;
    if (bytes > most_bytes)
      return Fail(ErrorCode::kTooLarge, "the decoded body is over the limit of {} bytes",
                  most_bytes);
    if (got < scratch.size()) return bytes;
  }
}

// The weight of an element such as "gzip;q=0.5".
double WeightOf(std::string_view parameters) {
  const std::string text(Trim(parameters));
  if (!EqualIgnoringCase(text.substr(0, 2), "q=")) return 1;
  return std::strtod(text.c_str() + 2, nullptr);
}

}  // namespace

std::string_view ContentCodingName(ContentCoding coding) {
  switch (coding) {
    case ContentCoding::kGzip: return "gzip";
    case ContentCoding::kDeflate: return "deflate";
    case ContentCoding::kIdentity: break;
  }
  return "identity";
}

Result<ContentCoding> ParseContentEncoding(std::string_view value) {
  value = Trim(value);
  if (value.empty() || EqualIgnoringCase(value, "identity")) return ContentCoding::kIdentity;
  if (EqualIgnoringCase(value, "gzip") || EqualIgnoringCase(value, "x-gzip"))
    return ContentCoding::kGzip;
  if (EqualIgnoringCase(value, "deflate")) return ContentCoding::kDeflate;
  return Fail(ErrorCode::kUnimplemented,
              "Content-Encoding \"{}\" is not read here; expected gzip, deflate or none",
              value.substr(0, 64));
}

ContentCoding ChooseCoding(std::string_view accept_encoding) {
  double gzip = -1;
  double deflate = -1;
  double any = 0;
  while (!accept_encoding.empty()) {
    const std::string_view element = accept_encoding.substr(0, accept_encoding.find(','));
    const std::string_view name = Trim(element.substr(0, element.find(';')));
    const double weight =
        name.size() < element.size() && element.find(';') != std::string_view::npos
            ? WeightOf(element.substr(element.find(';') + 1))
            : 1;
    if (EqualIgnoringCase(name, "gzip") || EqualIgnoringCase(name, "x-gzip")) gzip = weight;
    if (EqualIgnoringCase(name, "deflate")) deflate = weight;
    if (name == "*") any = weight;
    accept_encoding.remove_prefix(std::min(accept_encoding.size(), element.size() + 1));
  }
  if (gzip < 0) gzip = any;
  if (deflate < 0) deflate = any;
  if (gzip <= 0 && deflate <= 0) return ContentCoding::kIdentity;
  return gzip >= deflate ? ContentCoding::kGzip : ContentCoding::kDeflate;
}

Result<std::string> DecodeBody(std::string_view body, ContentCoding coding,
                               std::size_t most_bytes) {
  Inflater inflater(body, coding);
  std::string decoded(std::min(most_bytes + 1, std::min(kTrustedBytes, 4 * body.size() + 256)),
                      '\0');
  std::size_t used = 0;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const std::size_t got,
                            inflater.Read(decoded.data() + used, decoded.size() - used));
    used += got;
    if (used < decoded.size()) break;
    std::size_t next = std::min(2 * decoded.size(), kTrustedBytes);
    if (next <= decoded.size()) {
      SKERRY_ASSIGN_OR_RETURN(next, Measure(body, coding, most_bytes));
      ++next;  // room for a byte that must not come
    }
    decoded.resize(next);
  }
  if (used > most_bytes)
    return Fail(ErrorCode::kTooLarge, "the decoded body is over the limit of {} bytes", most_bytes);
  decoded.resize(used);
  return decoded;
}

std::string EncodeBody(std::string_view body, ContentCoding coding) {
  z_stream stream{};
  // Without memory for it the answer is sent as it is.
  if (deflateInit2(&stream, kFastest, Z_DEFLATED, WindowOf(coding), 8, Z_DEFAULT_STRATEGY) != Z_OK)
    return {};
  std::string encoded(deflateBound(&stream, body.size()), '\0');
  stream.next_in = Writable(body);
  stream.avail_in = static_cast<uInt>(body.size());
  stream.next_out = reinterpret_cast<Bytef*>(encoded.data());
  stream.avail_out = static_cast<uInt>(encoded.size());
  const int code = deflate(&stream, Z_FINISH);
  encoded.resize(code == Z_STREAM_END ? encoded.size() - stream.avail_out : 0);
  deflateEnd(&stream);
  return encoded;
}

std::optional<HttpResponse> DecodeRequest(HttpRequest& request, std::size_t most_bytes) {
  const Result<ContentCoding> coding = ParseContentEncoding(request.Header("Content-Encoding"));
  if (!coding) {
    HttpResponse response = ErrorResponse(coding.error());
    response.status = 415;
    response.SetHeader("Accept-Encoding", "gzip, deflate");
    return response;
  }
  if (*coding == ContentCoding::kIdentity) return std::nullopt;
  Result<std::string> decoded = DecodeBody(request.body, *coding, most_bytes);
  if (!decoded) return ErrorResponse(decoded.error());
  request.body = std::move(*decoded);
  request.content_length = request.body.size();
  return std::nullopt;
}

void EncodeResponse(HttpResponse& response, ContentCoding coding) {
  if (coding == ContentCoding::kIdentity || response.file ||
      response.body.size() < kLeastEncodedBytes)
    return;
  std::string encoded = EncodeBody(response.body, coding);
  if (encoded.empty() || encoded.size() >= response.body.size()) return;
  response.body = std::move(encoded);
  response.SetHeader("Content-Encoding", std::string(ContentCodingName(coding)));
  response.SetHeader("Vary", "Accept-Encoding");
}

}  // namespace skerry::http_detail
