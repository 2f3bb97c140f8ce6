#include "s3/client.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <thread>
#include <utility>

#include "base/limits.h"
#include "http/status.h"
#include "http/url.h"
#include "s3/xml.h"

namespace skerry {
namespace {

constexpr std::string_view kKeysWanted =
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN, where keys are lent "
    "for a time)";

// A key in a URL: its directories stay.
std::string EncodedKey(std::string_view key) {
  std::string out;
  while (true) {
    const std::size_t slash = key.find('/');
    out += PercentEncode(key.substr(0, slash));
    if (slash == std::string_view::npos) return out;
    out += '/';
    key.remove_prefix(slash + 1);
  }
}

// As the client sends it: without the port that the scheme has anyway.
std::string HostOf(const Url& url) {
  const bool six = url.host.find(':') != std::string::npos;
  const std::string host = six ? "[" + url.host + "]" : url.host;
  return url.port == (url.tls() ? 443 : 80) ? host : fmt::format("{}:{}", host, url.port);
}

bool MayDoBetter(const Result<HttpReply>& reply) {
  if (!reply)
    return reply.error().code() == ErrorCode::kUnavailable ||
           reply.error().code() == ErrorCode::kDeadlineExceeded;
  constexpr int kBusy[] = {429, 500, 502, 503, 504};
  return std::ranges::find(kBusy, reply->status) != std::end(kBusy);
}

Result<std::uint64_t> BytesOf(std::string_view text, const S3Name& name) {
  std::uint64_t bytes = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, bytes);
  if (parsed.ec != std::errc() || parsed.ptr != end)
    return Fail(ErrorCode::kInternal, "{}: the server tells no length: '{}'", name.ToString(),
                text.substr(0, 40));
  return bytes;
}

// A new file that bytes are appended to.
class Target {
 public:
  explicit Target(const std::filesystem::path& path)
      : path_(path), fd_(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) {}
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  ~Target() {
    if (fd_ >= 0) close(fd_);
  }
  bool is_open() const { return fd_ >= 0; }

  Status Append(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t got = write(fd_, bytes.data(), bytes.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Failed("writing");
      bytes.remove_prefix(static_cast<std::size_t>(got));
    }
    return {};
  }
  Status Failed(std::string_view doing) const {
    const int error = errno;
    const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    return Fail(full ? ErrorCode::kResourceExhausted : ErrorCode::kInternal, "{} {}: {}{}", doing,
                path_.string(), std::strerror(error),
                full ? "; make room, or name another directory by TMPDIR" : "");
  }

 private:
  std::filesystem::path path_;
  int fd_;
};

}  // namespace

S3Client::S3Client(S3Options options) : options_(std::move(options)), http_(HttpClientOptions{}) {}

Result<HttpReply> S3Client::SendOnce(const S3Name& name, const S3Request& request, HttpCall call) {
  const S3Place& place = options_.place;
  if (place.keys.id.empty() || place.keys.secret.empty())
    return Fail(ErrorCode::kUnauthenticated, "{}: there are no keys for {} in the environment: {}",
                name.ToString(), place.Words(), kKeysWanted);
  SKERRY_ASSIGN_OR_RETURN(const std::string bucket, UrlOfBucket(place, name.bucket));
  const std::string key = name.key.empty() ? "" : "/" + EncodedKey(name.key);
  SKERRY_ASSIGN_OR_RETURN(const Url url, Url::Parse(bucket + key), "AWS_ENDPOINT_URL");
  call.url = url.Origin() + url.path;
  S3Request signed_request = request;
  signed_request.path = url.path;
  signed_request.headers.emplace_back("Host", HostOf(url));
  const Clock& clock = options_.clock == nullptr ? system_clock_ : *options_.clock;
  call.method = request.method;
  call.headers =
      SignedHeaders(signed_request, place.keys, place.RegionOrDefault(), clock.UtcMicros());
  if (!request.query.empty()) call.url += "?" + CanonicalQuery(request.query);
  return http_.Send(call);
}

bool S3Client::PauseAfter(int failures) const {
  constexpr std::chrono::milliseconds kWake{50};  // how soon an interruption is seen
  if (failures >= limits::kS3Attempts) return false;
  auto left = options_.first_pause * (1 << (failures - 1));
  while (left.count() > 0 && !Cancelled()) {
    std::this_thread::sleep_for(std::min(left, kWake));
    left -= std::min(left, kWake);
  }
  return !Cancelled();
}

Result<HttpReply> S3Client::Send(const S3Name& name, const S3Request& request) {
  for (int failures = 1;; ++failures) {
    Result<HttpReply> reply = SendOnce(name, request, {});
    if (MayDoBetter(reply) && PauseAfter(failures)) continue;
    if (Cancelled()) return Fail(ErrorCode::kUnavailable, "interrupted");
    if (!reply) return tl::make_unexpected(Unreachable(std::move(reply.error()), name));
    return reply;
  }
}

Result<std::vector<S3Object>> S3Client::List(const S3Name& prefix, S3Depth depth) {
  std::vector<S3Object> objects;
  std::string next;
  do {
    S3Request request{.query = {{"list-type", "2"}, {"prefix", prefix.key}}};
    if (depth == S3Depth::kOneDirectory) request.query.emplace_back("delimiter", "/");
    if (!next.empty()) request.query.emplace_back("continuation-token", next);
    SKERRY_ASSIGN_OR_RETURN(const HttpReply reply,
                            Send({.bucket = prefix.bucket, .key = ""}, request));
    if (reply.status != 200) return tl::make_unexpected(ErrorOf(reply, prefix));
    SKERRY_RETURN_IF_ERROR(AppendPage(prefix, reply, objects, next));
  } while (!next.empty());
  return objects;
}

Status S3Client::AppendPage(const S3Name& prefix, const HttpReply& reply,
                            std::vector<S3Object>& objects, std::string& next) const {
  const Result<XmlElement> page = ParseXml(reply.body);
  if (!page || page->name != "ListBucketResult")
    return Fail(ErrorCode::kInternal,
                "{} answers with something that is no list of objects: is it a server of S3 (set "
                "AWS_ENDPOINT_URL to its address)?",
                options_.place.Words());
  for (const XmlElement& element : page->children) {
    if (element.name != "Contents") continue;
    S3Object object{.name = {.bucket = prefix.bucket, .key = element.TextOf("Key")},
                    .etag = element.TextOf("ETag")};
    if (object.name.key.ends_with('/')) continue;
    SKERRY_ASSIGN_OR_RETURN(object.bytes, BytesOf(element.TextOf("Size"), object.name));
    objects.push_back(std::move(object));
  }
  if (objects.size() > limits::kListedObjects)
    return Fail(ErrorCode::kTooLarge,
                "more than {} objects begin with {} (kListedObjects): name a longer beginning",
                limits::kListedObjects, prefix.ToString());
  const std::string before = std::exchange(next, page->TextOf("IsTruncated") == "true"
                                                     ? page->TextOf("NextContinuationToken")
                                                     : std::string());
  if (page->TextOf("IsTruncated") == "true" && (next.empty() || next == before))
    return Fail(ErrorCode::kInternal, "{} tells a part of the objects of {} and not where it ends",
                options_.place.Words(), prefix.ToString());
  return {};
}

Result<S3Object> S3Client::Find(const S3Name& name) {
  SKERRY_ASSIGN_OR_RETURN(const HttpReply head, Send(name, {.method = "HEAD"}));
  if (head.status != 200) {  // an answer to HEAD has no words: those to GET tell why
    const S3Request first_byte{.headers = {{"Range", "bytes=0-0"}}};
    SKERRY_ASSIGN_OR_RETURN(const HttpReply reply, Send(name, first_byte));
    return tl::make_unexpected(ErrorOf(reply.status < 300 ? head : reply, name));
  }
  S3Object object{.name = name, .etag = std::string(head.Header("ETag"))};
  SKERRY_ASSIGN_OR_RETURN(object.bytes, BytesOf(head.Header("Content-Length"), name));
  return object;
}

Status S3Client::Download(const S3Object& object, const std::filesystem::path& path,
                          const std::function<void(std::uint64_t)>& on_bytes) {
  const Target target(path);
  if (!target.is_open()) return target.Failed("making");
  std::uint64_t have = 0;
  HttpCall call;
  call.sink = [&](std::string_view bytes) -> Status {
    if (Cancelled()) return Fail(ErrorCode::kUnavailable, "interrupted");
    if (have + bytes.size() > object.bytes)
      return Fail(ErrorCode::kDataLoss, "the server sends more than the object's {} bytes",
                  object.bytes);
    SKERRY_RETURN_IF_ERROR(target.Append(bytes));
    have += bytes.size();
    if (on_bytes) on_bytes(bytes.size());
    return {};
  };
  for (int failures = 0; have < object.bytes;) {
    S3Request request;
    if (!object.etag.empty()) request.headers.emplace_back("If-Match", object.etag);
    if (have > 0) request.headers.emplace_back("Range", fmt::format("bytes={}-", have));
    call.sink_status = have > 0 ? 206 : 200;
    const std::uint64_t before = have;
    Result<HttpReply> reply = SendOnce(object.name, request, call);
    if (have == object.bytes && (reply || MayDoBetter(reply))) break;
    if (Cancelled()) return Fail(ErrorCode::kUnavailable, "interrupted");
    failures = have > before ? 1 : failures + 1;
    const bool cut = reply && reply->status == call.sink_status;
    if ((cut || MayDoBetter(reply)) && PauseAfter(failures)) continue;
    if (!reply) return tl::make_unexpected(Unreachable(std::move(reply.error()), object.name));
    if (reply->status < 300)
      return Fail(ErrorCode::kUnavailable, "{}: {} of {} bytes came, and the server {}",
                  object.name.ToString(), have, object.bytes,
                  cut ? "ends there each time" : "does not go on from there (it takes no ranges)");
    return tl::make_unexpected(ErrorOf(*reply, object.name));
  }
  return {};
}

Error S3Client::Unreachable(Error error, const S3Name& name) const {
  const bool lost =
      error.code() == ErrorCode::kUnavailable || error.code() == ErrorCode::kDeadlineExceeded;
  if (error.code() == ErrorCode::kUnauthenticated) return error;
  const std::string advice =
      !lost ? ""
      : options_.place.endpoint.empty()
          ? " (a server of your own is named by AWS_ENDPOINT_URL, http(s)://HOST:PORT)"
          : "; is it running, and is AWS_ENDPOINT_URL its address?";
  return Error(error.code(), fmt::format("{}: {}{}", name.ToString(), error.message(), advice));
}

Error S3Client::Refusal(const std::string& code, const std::string& message,
                        const S3Name& name) const {
  std::string advice = "may these keys read it?";
  if (code == "InvalidAccessKeyId" || code == "SignatureDoesNotMatch")
    advice = "is AWS_SECRET_ACCESS_KEY that of AWS_ACCESS_KEY_ID, and AWS_REGION the server's?";
  else if (code == "RequestTimeTooSkewed")
    advice = "set this machine's clock";
  else if (code.find("Token") != std::string::npos)
    advice = "are keys and AWS_SESSION_TOKEN lent together, and their time not over?";
  return Error(ErrorCode::kPermissionDenied,
               fmt::format("{}: {} refuses ({}{}{}): {}", name.ToString(), options_.place.Words(),
                           code, message.empty() ? "" : ": ", message, advice));
}

Error S3Client::ErrorOf(const HttpReply& reply, const S3Name& name) const {
  const XmlElement document = ParseXml(reply.body).value_or(XmlElement{});
  const std::string code = document.TextOf("Code"), message = document.TextOf("Message");
  std::string region(reply.Header("x-amz-bucket-region"));
  if (region.empty()) region = document.TextOf("Region");
  if ((reply.status == 301 || reply.status == 307 || reply.status == 400) && !region.empty() &&
      region != options_.place.RegionOrDefault())
    return Error(ErrorCode::kFailedPrecondition,
                 fmt::format("the bucket {} is in the region {}: set AWS_REGION={}", name.bucket,
                             region, region));
  if (code == "NoSuchBucket")
    return Error(ErrorCode::kNotFound,
                 fmt::format("{}: there is no bucket {} at {}", name.ToString(), name.bucket,
                             options_.place.Words()));
  if (reply.status == 404 && code.empty())
    return Error(ErrorCode::kNotFound,
                 fmt::format("{}: {} answers 404 and in other words than S3: is it a server of S3 "
                             "(set AWS_ENDPOINT_URL to its address)?",
                             name.ToString(), options_.place.Words()));
  if (reply.status == 404) {
    const bool of_directory = name.key.find('.', name.key.rfind('/') + 1) == std::string::npos;
    return Error(ErrorCode::kNotFound,
                 fmt::format("there is no object {}{}", name.ToString(),
                             of_directory ? fmt::format(" (of a directory, name the objects in it: "
                                                        "{}/*.parquet)",
                                                        name.ToString())
                                          : ""));
  }
  if (reply.status == 412)
    return Error(ErrorCode::kFailedPrecondition,
                 fmt::format("{} changed while it was read: name objects that nothing writes to",
                             name.ToString()));
  const bool of_token = reply.status == 400 && code.find("Token") != std::string::npos;
  if (reply.status == 401 || reply.status == 403 || of_token)
    return Refusal(code.empty() ? std::to_string(reply.status) : code, message, name);
  return Error(ErrorCodeOf(reply.status),
               fmt::format("{}: {}: {} {}", name.ToString(), options_.place.Words(),
                           code.empty() ? std::to_string(reply.status) : code,
                           message.empty() ? ReasonPhrase(reply.status) : message));
}

}  // namespace skerry
