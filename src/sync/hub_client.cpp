#include "sync/hub_client.h"

#include <algorithm>
#include <charconv>

#include "base/limits.h"
#include "base/tuf_limits.h"
#include "codec/json.h"

namespace skerry {
namespace {

std::string SitePath(std::string_view site, std::string_view what) {
  return fmt::format("/v1/sites/{}/{}", site, what);
}

// "<incarnation>-<counter>"
std::optional<ReceiptPosition> ParsePosition(std::string_view text) {
  const std::size_t dash = text.rfind('-');
  if (dash == std::string_view::npos) return std::nullopt;
  ReceiptPosition position{std::string(text.substr(0, dash)), 0};
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data() + dash + 1, end, position.counter);
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return position;
}

}  // namespace

Result<HttpReply> HubClient::Send(std::string method, const std::string& path, std::string body,
                                  std::uint64_t max_reply_bytes) {
  HttpCall call;
  call.method = std::move(method);
  call.url = base_url_ + path;
  call.body = std::move(body);
  if (!call.body.empty()) call.headers.emplace_back("Content-Type", "application/json");
  call.max_reply_bytes = max_reply_bytes;
  SKERRY_ASSIGN_OR_RETURN(HttpReply reply, client_->Send(call));
  if (LooksLikeAPage(reply))
    return Fail(ErrorCode::kUnavailable,
                "{}{} answered {} with a web page or a redirect, so it is not the hub: is there a "
                "login page "
                "(captive portal) or a proxy on the way?",
                base_url_, path, reply.status);
  return reply;
}

Result<std::optional<std::string>> HubClient::GetDocument(const std::string& path,
                                                          std::uint64_t max_reply_bytes) {
  SKERRY_ASSIGN_OR_RETURN(HttpReply reply, Send("GET", path, "", max_reply_bytes));
  if (auto told = ParsePosition(reply.Header("Skerry-Receipt"))) position_ = std::move(told);
  if (reply.status == 404) return std::optional<std::string>();
  if (reply.status != 200) return tl::make_unexpected(ErrorOfReply(reply, "GET " + path));
  return std::optional<std::string>(std::move(reply.body));
}

Result<std::string> HubClient::Join(const JoinRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(HttpReply reply,
                          Send("POST", "/v1/join", request.ToJson(), limits::kJoinDocumentBytes));
  if (reply.status == 409)
    return Fail(ErrorCode::kConflict,
                "the hub refuses token {}: it was used already; make a new one at the hub",
                request.token_id);
  if (reply.status / 100 != 2) return tl::make_unexpected(ErrorOfReply(reply, "joining the hub"));
  return std::move(reply.body);
}

Result<std::string> HubClient::Renew(std::string_view site, std::string_view csr_pem) {
  SKERRY_ASSIGN_OR_RETURN(HttpReply reply,
                          Send("POST", SitePath(site, "certificate"),
                               DumpJson(Json{{"csr_pem", csr_pem}}), limits::kJoinDocumentBytes));
  if (reply.status / 100 != 2)
    return tl::make_unexpected(ErrorOfReply(reply, "renewing the certificate"));
  return std::move(reply.body);
}

Result<std::string> HubClient::TufTimestamp(std::string_view site) {
  position_.reset();
  return TufFile(fmt::format("{}?site={}", kTufTimestampName, site), limits::kTufTimestampBytes);
}

Result<std::string> HubClient::TufFile(const std::string& name, std::size_t max_bytes) {
  SKERRY_ASSIGN_OR_RETURN(
      std::optional<std::string> bytes,
      GetDocument("/tuf/" + name, std::max(max_bytes, limits::kSmallReplyBytes)));
  if (!bytes) return Fail(ErrorCode::kNotFound, "the hub has no {}", name);
  if (bytes->size() > max_bytes)
    return Fail(ErrorCode::kTooLarge, "{} has {} bytes, the limit is {}", name, bytes->size(),
                max_bytes);
  return std::move(*bytes);
}

Status HubClient::PostStatus(std::string_view site, std::string_view envelope) {
  SKERRY_ASSIGN_OR_RETURN(
      const HttpReply reply,
      Send("POST", SitePath(site, "status"), std::string(envelope), limits::kSmallReplyBytes));
  if (reply.status / 100 != 2)
    return tl::make_unexpected(ErrorOfReply(reply, "sending the status"));
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(reply.body), "the answer to the status");
  const JsonObject answer(json, "answer");
  ReceiptPosition position;
  SKERRY_ASSIGN_OR_RETURN(position.counter, answer.Uint("receipt_counter"));
  SKERRY_ASSIGN_OR_RETURN(position.incarnation, answer.String("hub_incarnation"));
  position_ = std::move(position);
  return {};
}

Result<std::string> HubClient::ShowReceipt(std::string_view site, std::string_view envelope) {
  SKERRY_ASSIGN_OR_RETURN(HttpReply reply, Send("POST", SitePath(site, "receipt"),
                                                std::string(envelope), limits::kReceiptBytes));
  if (reply.status / 100 != 2)
    return tl::make_unexpected(ErrorOfReply(reply, "showing the hub its receipt"));
  return std::move(reply.body);
}

Result<std::optional<std::string>> HubClient::Delta(std::string_view site, const Digest& package,
                                                    const std::vector<Digest>& holds) {
  Json held = Json::array();
  for (const Digest& digest : holds) held.push_back(digest.ToString());
  SKERRY_ASSIGN_OR_RETURN(
      HttpReply reply,
      Send("POST", SitePath(site, "deltas"),
           DumpJson(Json{{"package", package.ToString()}, {"holds", std::move(held)}}),
           limits::kManifestBytes));
  if (reply.status == 202) return std::optional<std::string>();
  if (reply.status != 200) return tl::make_unexpected(ErrorOfReply(reply, "asking for a delta"));
  return std::optional(std::move(reply.body));
}

Result<std::optional<std::string>> HubClient::Receipt(std::string_view site) {
  return GetDocument(SitePath(site, "receipt"), limits::kReceiptBytes);
}

}  // namespace skerry
