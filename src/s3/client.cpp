#include "s3/client.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "base/limits.h"
#include "s3/xml.h"

namespace skerry {
namespace {

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

S3Client::S3Client(S3Options options) : sender_(std::move(options)) {}

Result<std::vector<S3Object>> S3Client::List(const S3Name& prefix, S3Depth depth) {
  std::vector<S3Object> objects;
  std::string next;
  do {
    S3Request request{.query = {{"list-type", "2"}, {"prefix", prefix.key}}};
    if (depth == S3Depth::kOneDirectory) request.query.emplace_back("delimiter", "/");
    if (!next.empty()) request.query.emplace_back("continuation-token", next);
    SKERRY_ASSIGN_OR_RETURN(const HttpReply reply,
                            sender_.Send({.bucket = prefix.bucket, .key = ""}, request));
    if (reply.status != 200) return tl::make_unexpected(sender_.ErrorOf(reply, prefix));
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
                sender_.place().Words());
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
                sender_.place().Words(), prefix.ToString());
  return {};
}

Result<S3Object> S3Client::Find(const S3Name& name) {
  SKERRY_ASSIGN_OR_RETURN(const HttpReply head, sender_.Send(name, {.method = "HEAD"}));
  if (head.status != 200) {  // an answer to HEAD has no words: those to GET tell why
    const S3Request first_byte{.headers = {{"Range", "bytes=0-0"}}};
    SKERRY_ASSIGN_OR_RETURN(const HttpReply reply, sender_.Send(name, first_byte));
    return tl::make_unexpected(sender_.ErrorOf(reply.status < 300 ? head : reply, name));
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
    if (sender_.Cancelled()) return Fail(ErrorCode::kUnavailable, "interrupted");
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
    Result<HttpReply> reply = sender_.SendOnce(object.name, request, call);
    if (have == object.bytes && (reply || S3Sender::MayDoBetter(reply))) break;
    if (sender_.Cancelled()) return Fail(ErrorCode::kUnavailable, "interrupted");
    failures = have > before ? 1 : failures + 1;
    const bool cut = reply && reply->status == call.sink_status;
    if ((cut || S3Sender::MayDoBetter(reply)) && sender_.PauseAfter(failures)) continue;
    if (!reply)
      return tl::make_unexpected(sender_.Unreachable(std::move(reply.error()), object.name));
    if (reply->status < 300)
      return Fail(ErrorCode::kUnavailable, "{}: {} of {} bytes came, and the server {}",
                  object.name.ToString(), have, object.bytes,
                  cut ? "ends there each time" : "does not go on from there (it takes no ranges)");
    return tl::make_unexpected(sender_.ErrorOf(*reply, object.name));
  }
  return {};
}

}  // namespace skerry
