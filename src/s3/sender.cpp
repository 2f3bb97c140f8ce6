#include "s3/sender.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <utility>

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

HttpClientOptions HttpOptionsOf(const S3Options& options) {
  HttpClientOptions http;
  http.ca_pem = options.ca_pem;
  http.stall_timeout = options.stall_timeout;
  return http;
}

}  // namespace

S3Sender::S3Sender(S3Options options)
    : options_(std::move(options)), http_(HttpOptionsOf(options_)) {}

Result<HttpReply> S3Sender::SendOnce(const S3Name& name, const S3Request& request, HttpCall call) {
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
  if (!call.file) call.body = request.payload;
  call.headers =
      SignedHeaders(signed_request, place.keys, place.RegionOrDefault(), clock.UtcMicros());
  if (!request.query.empty()) call.url += "?" + CanonicalQuery(request.query);
  return http_.Send(call);
}

bool S3Sender::MayDoBetter(const Result<HttpReply>& reply) {
  if (!reply)
    return reply.error().code() == ErrorCode::kUnavailable ||
           reply.error().code() == ErrorCode::kDeadlineExceeded;
  constexpr int kBusy[] = {429, 500, 502, 503, 504};
  if (std::ranges::find(kBusy, reply->status) != std::end(kBusy)) return true;
  if (reply->status != 400 && reply->status != 409) return false;
  // The body came too slowly; another conditional request to the same key is under way.
  const std::string code = ParseXml(reply->body).value_or(XmlElement{}).TextOf("Code");
  return code == "RequestTimeout" || code == "ConditionalRequestConflict" ||
         code == "OperationAborted";
}

bool S3Sender::PauseAfter(int failures) const {
  constexpr std::chrono::milliseconds kWake{50};  // how soon an interruption is seen
  if (failures >= options_.attempts) return false;
  auto left = options_.first_pause * (1 << (failures - 1));
  while (left.count() > 0 && !Cancelled()) {
    std::this_thread::sleep_for(std::min(left, kWake));
    left -= std::min(left, kWake);
  }
  return !Cancelled();
}

Result<HttpReply> S3Sender::Send(const S3Name& name, const S3Request& request,
                                 const HttpCall& call) {
  for (int failures = 1;; ++failures) {
    Result<HttpReply> reply = SendOnce(name, request, call);
    if (MayDoBetter(reply) && PauseAfter(failures)) continue;
    if (Cancelled()) return Fail(ErrorCode::kUnavailable, "interrupted");
    if (!reply) return tl::make_unexpected(Unreachable(std::move(reply.error()), name));
    return reply;
  }
}

Error S3Sender::Unreachable(Error error, const S3Name& name) const {
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

Error S3Sender::Refusal(const std::string& code, const std::string& message, const S3Name& name,
                        S3Access access) const {
  std::string advice =
      access == S3Access::kRead ? "may these keys read it?" : "may these keys write there?";
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

Error S3Sender::ErrorOf(const HttpReply& reply, const S3Name& name, S3Access access) const {
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
    return Refusal(code.empty() ? std::to_string(reply.status) : code, message, name, access);
  return Error(ErrorCodeOf(reply.status),
               fmt::format("{}: {}: {} {}", name.ToString(), options_.place.Words(),
                           code.empty() ? std::to_string(reply.status) : code,
                           message.empty() ? ReasonPhrase(reply.status) : message));
}

}  // namespace skerry
