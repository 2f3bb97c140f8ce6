#include "s3/bucket.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/clock.h"

namespace skerry {
namespace {

constexpr std::size_t kKeptConnections = 32;
constexpr std::size_t kErrorBytes = 64U << 10U;  // of an answer that says why not

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 5.6.7), or as lists have it; 0: not understood.
std::int64_t TimeOf(std::string_view text) {
  if (const auto utc = ParseUtc(text)) return *utc;
  const std::string copy(text);
  tm parts{};
  if (strptime(copy.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts) == nullptr) return 0;
  return static_cast<std::int64_t>(timegm(&parts)) * 1'000'000;
}

// The server's own clock says how old a thing is; this machine's may be wrong.
std::int64_t NowOf(const HttpReply& reply) {
  const std::int64_t told = TimeOf(reply.Header("Date"));
  return told != 0 ? told : SystemClock().UtcMicros();
}

std::chrono::seconds AgeAt(std::int64_t now_us, std::string_view written) {
  const std::int64_t at = TimeOf(written);
  // What cannot be told is young: nothing that asks for an age removes the young.
  return std::chrono::seconds(at == 0 ? 0 : std::max<std::int64_t>(0, (now_us - at) / 1'000'000));
}

Result<std::uint64_t> NumberOf(std::string_view text, std::string_view what) {
  std::uint64_t bytes = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, bytes);
  if (parsed.ec != std::errc() || parsed.ptr != end)
    return Fail(ErrorCode::kInternal, "{}: the server tells no length", what);
  return bytes;
}

bool CanBePrefix(std::string_view prefix) {
  return std::ranges::all_of(prefix,
                             [](char c) {
                               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                      (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' ||
                                      c == '/';
                             }) &&
         prefix.find("//") == std::string_view::npos && prefix.size() <= 256;
}

// Refusals of the storage are no refusals of whoever asks the registry.
Error AsStorage(Error error) {
  if (error.code() == ErrorCode::kNotFound || error.code() == ErrorCode::kTooLarge) return error;
  if (error.code() == ErrorCode::kDeadlineExceeded || error.code() == ErrorCode::kUnavailable)
    return Error(ErrorCode::kUnavailable, error.message());
  return Error(ErrorCode::kInternal, error.message());
}

}  // namespace

class S3Bucket::Connection {
 public:
  explicit Connection(S3Bucket& bucket) : bucket_(bucket) {
    const std::lock_guard lock(bucket_.mutex_);
    if (bucket_.idle_.empty()) return;
    sender_ = std::move(bucket_.idle_.back());
    bucket_.idle_.pop_back();
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    const std::lock_guard lock(bucket_.mutex_);
    if (sender_ && bucket_.idle_.size() < kKeptConnections)
      bucket_.idle_.push_back(std::move(sender_));
  }
  S3Sender& operator*() {
    if (!sender_) sender_ = std::make_unique<S3Sender>(bucket_.options_);
    return *sender_;
  }
  S3Sender* operator->() { return &**this; }

 private:
  S3Bucket& bucket_;
  std::unique_ptr<S3Sender> sender_;
};

Result<S3Prefix> S3Prefix::Parse(std::string_view address) {
  std::string text(address);
  while (text.ends_with('/') && text != "s3://") text.pop_back();
  // An object's name in it shows what is wrong with the rest.
  SKERRY_ASSIGN_OR_RETURN(const S3Name name, S3Name::Parse(text + "/x"));
  S3Prefix prefix{.bucket = name.bucket, .prefix = name.key.substr(0, name.key.size() - 1)};
  if (!CanBePrefix(prefix.prefix))
    return Fail(ErrorCode::kInvalidArgument,
                "'{}': what follows the bucket has letters, digits and . _ - / only, 256 at most",
                address);
  return prefix;
}

std::string S3Prefix::ToString() const {
  std::string text = fmt::format("s3://{}/{}", bucket, prefix);
  text.pop_back();
  return text;
}

Result<std::unique_ptr<S3Bucket>> S3Bucket::Open(S3Options options, std::string_view address) {
  SKERRY_ASSIGN_OR_RETURN(S3Prefix place, S3Prefix::Parse(address));
  std::unique_ptr<S3Bucket> bucket(new S3Bucket(std::move(options), std::move(place)));
  SKERRY_RETURN_IF_ERROR(bucket->HasAny(""));
  return bucket;
}

bool S3Bucket::PauseAfter(int failures) { return Connection(*this)->PauseAfter(failures); }

Result<HttpReply> S3Bucket::Send(const S3Name& name, const S3Request& request,
                                 const HttpCall& call) {
  Connection connection(*this);
  auto reply = connection->Send(name, request, call);
  if (!reply) return tl::make_unexpected(AsStorage(std::move(reply.error())));
  return reply;
}

Result<HttpReply> S3Bucket::Ask(const S3Name& name, const S3Request& request,
                                const HttpCall& call) {
  SKERRY_ASSIGN_OR_RETURN(HttpReply reply, Send(name, request, call));
  if (reply.status >= 200 && reply.status < 300) return reply;
  const std::string code = ParseXml(reply.body).value_or(XmlElement{}).TextOf("Code");
  if (reply.status == 404 && (code == "NoSuchKey" || code == "NoSuchUpload"))
    return Fail(ErrorCode::kNotFound, "there is no {} {}",
                code == "NoSuchKey" ? "object" : "upload to", name.ToString());
  const bool reads = request.method == "GET" || request.method == "HEAD";
  Connection connection(*this);
  Error error = connection->ErrorOf(reply, name, reads ? S3Access::kRead : S3Access::kWrite);
  // That the bucket is gone does not mean that the object never was.
  if (error.code() == ErrorCode::kNotFound) error = Error(ErrorCode::kInternal, error.message());
  return tl::make_unexpected(AsStorage(std::move(error)));
}

Result<S3Found> S3Bucket::Find(const std::string& key) {
  SKERRY_ASSIGN_OR_RETURN(HttpReply head, Send(NameOf(key), {.method = "HEAD"}));
  if (head.status == 404)
    return Fail(ErrorCode::kNotFound, "there is no object {}", NameOf(key).ToString());
  if (head.status != 200) {  // an answer to HEAD has no words: those to GET tell why
    SKERRY_RETURN_IF_ERROR(Ask(NameOf(key), {.headers = {{"Range", "bytes=0-0"}}}));
    SKERRY_ASSIGN_OR_RETURN(head, Ask(NameOf(key), {.method = "HEAD"}));
  }
  S3Found found{.key = key,
                .etag = std::string(head.Header("ETag")),
                .age = AgeAt(NowOf(head), head.Header("Last-Modified"))};
  SKERRY_ASSIGN_OR_RETURN(found.bytes,
                          NumberOf(head.Header("Content-Length"), NameOf(key).ToString()));
  return found;
}

Result<std::string> S3Bucket::Read(const std::string& key, std::uint64_t max_bytes) {
  HttpCall call;
  call.max_reply_bytes = std::max<std::uint64_t>(max_bytes, kErrorBytes);
  SKERRY_ASSIGN_OR_RETURN(HttpReply reply, Ask(NameOf(key), {}, call));
  if (reply.body.size() > max_bytes)
    return Fail(ErrorCode::kTooLarge, "{} has {} bytes, the limit is {}", NameOf(key).ToString(),
                reply.body.size(), max_bytes);
  return std::move(reply.body);
}

Status S3Bucket::ReadRange(const std::string& key, std::uint64_t offset, std::uint64_t bytes,
                           const std::function<Status(std::string_view)>& sink) {
  Connection connection(*this);
  const S3Name name = NameOf(key);
  std::uint64_t have = 0;
  Status refused;
  HttpCall call;
  call.sink_status = 206;
  call.sink = [&](std::string_view piece) -> Status {
    piece = piece.substr(0, bytes - have);  // a server that sends more than it was asked for
    refused = sink(piece);
    have += piece.size();
    return refused;
  };
  for (int failures = 0; have < bytes;) {
    const S3Request request{
        .headers = {{"Range", fmt::format("bytes={}-{}", offset + have, offset + bytes - 1)}}};
    const std::uint64_t before = have;
    Result<HttpReply> reply = connection->SendOnce(name, request, call);
    if (!refused) return refused;
    if (have == bytes) break;
    failures = have > before ? 1 : failures + 1;
    const bool cut = reply && reply->status == 206;
    if ((cut || S3Sender::MayDoBetter(reply)) && connection->PauseAfter(failures)) continue;
    if (!reply)
      return tl::make_unexpected(
          AsStorage(connection->Unreachable(std::move(reply.error()), name)));
    if (reply->status < 300)
      return Fail(ErrorCode::kUnavailable, "{}: {} of {} bytes came", name.ToString(), have, bytes);
    return tl::make_unexpected(AsStorage(connection->ErrorOf(*reply, name)));
  }
  return {};
}

Result<std::string> S3Bucket::Put(const std::string& key, std::string_view bytes) {
  SKERRY_ASSIGN_OR_RETURN(const HttpReply reply,
                          Ask(NameOf(key), {.method = "PUT", .payload = std::string(bytes)}));
  return std::string(reply.Header("ETag"));
}

Status S3Bucket::PutFile(const std::string& key, const FileBody& file, const std::string& sha256) {
  HttpCall call;
  call.file = file;
  SKERRY_RETURN_IF_ERROR(Ask(NameOf(key), {.method = "PUT", .payload_sha256 = sha256}, call));
  return {};
}

Result<std::string> S3Bucket::PutIf(const std::string& key, std::string_view bytes,
                                    std::pair<std::string, std::string> condition,
                                    ErrorCode otherwise) {
  const S3Request request{
      .method = "PUT", .headers = {std::move(condition)}, .payload = std::string(bytes)};
  SKERRY_ASSIGN_OR_RETURN(const HttpReply reply, Send(NameOf(key), request));
  const bool refused = reply.status == 412 || reply.status == 409 ||
                       (reply.status == 404 && otherwise == ErrorCode::kConflict);
  if (!refused && reply.status >= 300) {
    Connection connection(*this);
    return tl::make_unexpected(
        AsStorage(connection->ErrorOf(reply, NameOf(key), S3Access::kWrite)));
  }
  if (!refused) return std::string(reply.Header("ETag"));
  // It may be our own, whose answer was lost.
  const auto held = Read(key, std::max<std::size_t>(bytes.size(), 1));
  if (held && *held == bytes) {
    SKERRY_ASSIGN_OR_RETURN(const S3Found found, Find(key));
    return found.etag;
  }
  if (!held && held.error().code() == ErrorCode::kUnavailable)
    return tl::make_unexpected(held.error());
  return Fail(otherwise, "{} was written by another", NameOf(key).ToString());
}

Result<std::string> S3Bucket::PutNew(const std::string& key, std::string_view bytes) {
  return PutIf(key, bytes, {"If-None-Match", "*"}, ErrorCode::kAlreadyExists);
}
Result<std::string> S3Bucket::PutInstead(const std::string& key, std::string_view bytes,
                                         const std::string& etag) {
  return PutIf(key, bytes, {"If-Match", etag}, ErrorCode::kConflict);
}

Status S3Bucket::Remove(const std::string& key) {
  const auto reply = Ask(NameOf(key), {.method = "DELETE"});
  if (reply || reply.error().code() == ErrorCode::kNotFound) return {};
  return tl::make_unexpected(reply.error());
}

std::string S3Bucket::KeyOf(const XmlElement& element) const {
  const std::string key = element.TextOf("Key");
  return key.starts_with(place_.prefix) ? key.substr(place_.prefix.size()) : std::string();
}

Status S3Bucket::Pages(PageQuery query, std::string_view root,
                       const std::function<PageQuery(const XmlElement&)>& next,
                       const std::function<Status(const XmlElement&, std::int64_t)>& each) {
  const PageQuery first = query;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const HttpReply reply, Ask({place_.bucket, ""}, {.query = query}));
    const auto page = ParseXml(reply.body);
    if (!page || page->name != root)
      return Fail(ErrorCode::kInternal,
                  "{} answers with something that is no {}: is it a server of S3 (set "
                  "AWS_ENDPOINT_URL to its address)?",
                  options_.place.Words(), root);
    for (const XmlElement& element : page->children)
      SKERRY_RETURN_IF_ERROR(each(element, NowOf(reply)));
    if (page->TextOf("IsTruncated") != "true") return {};
    const PageQuery before = std::exchange(query, first);
    for (auto& parameter : next(*page)) query.push_back(std::move(parameter));
    if (query == before || query == first)
      return Fail(ErrorCode::kInternal, "{} tells a part of what is in {} and not where it ends",
                  options_.place.Words(), ToString());
  }
}

namespace {

std::vector<std::pair<std::string, std::string>> NextObjects(const XmlElement& page) {
  return {{"continuation-token", page.TextOf("NextContinuationToken")}};
}

}  // namespace

Status S3Bucket::List(const std::string& prefix,
                      const std::function<Status(const S3Found&)>& each) {
  const auto take = [&](const XmlElement& element, std::int64_t now_us) -> Status {
    if (element.name != "Contents") return {};
    S3Found found{.key = KeyOf(element),
                  .etag = element.TextOf("ETag"),
                  .age = AgeAt(now_us, element.TextOf("LastModified"))};
    SKERRY_ASSIGN_OR_RETURN(found.bytes, NumberOf(element.TextOf("Size"), found.key));
    return found.key.empty() ? Status() : each(found);
  };
  return Pages({{"list-type", "2"}, {"prefix", place_.prefix + prefix}}, "ListBucketResult",
               NextObjects, take);
}

Result<bool> S3Bucket::HasAny(const std::string& prefix) {
  const S3Request request{
      .query = {{"list-type", "2"}, {"max-keys", "1"}, {"prefix", place_.prefix + prefix}}};
  SKERRY_ASSIGN_OR_RETURN(const HttpReply reply, Ask({place_.bucket, ""}, request));
  const auto page = ParseXml(reply.body);
  if (!page || page->name != "ListBucketResult")
    return Fail(ErrorCode::kInternal,
                "{} answers with something that is no list of objects: is it a server of S3 (set "
                "AWS_ENDPOINT_URL to its address)?",
                options_.place.Words());
  return page->Find("Contents") != nullptr;
}

Result<std::vector<std::string>> S3Bucket::Directories(const std::string& prefix) {
  std::vector<std::string> directories;
  const std::string whole = place_.prefix + prefix;
  const auto take = [&](const XmlElement& element, std::int64_t) -> Status {
    const std::string found = element.name == "CommonPrefixes" ? element.TextOf("Prefix") : "";
    if (found.size() > whole.size()) directories.push_back(found.substr(whole.size()));
    return {};
  };
  SKERRY_RETURN_IF_ERROR(Pages({{"list-type", "2"}, {"prefix", whole}, {"delimiter", "/"}},
                               "ListBucketResult", NextObjects, take));
  return directories;
}

}  // namespace skerry
