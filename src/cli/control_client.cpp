#include "cli/control_client.h"

#include "storage/file.h"

namespace skerry {
namespace {

std::string Stripped(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

Result<Json> AsJson(Result<std::string> body) {
  if (!body) return Propagate(std::move(body));
  if (body->empty()) return Json::object();
  return ParseJson(*body);
}

}  // namespace

Result<ControlClient> ControlClient::ForData(const std::filesystem::path& data,
                                             std::chrono::milliseconds patience) {
  const auto file = data / "endpoint.json";
  const auto text = ReadFile(file, 1U << 16U);
  if (!text)
    return Fail(ErrorCode::kNotFound,
                "no hub or site process serves the data directory {} ({}); start it with "
                "'skerry hub --data {}' or 'skerry site --data {}'",
                data.string(), text.error().message(), data.string(), data.string());
  SKERRY_ASSIGN_OR_RETURN(const Json document, ParseJson(*text), file.string());
  const JsonObject object(document, "endpoint");
  SKERRY_ASSIGN_OR_RETURN(std::string url, object.String("url"));
  SKERRY_ASSIGN_OR_RETURN(std::string public_url, object.StringOr("public_url", url));
  SKERRY_ASSIGN_OR_RETURN(const std::string token_file, object.String("token_file"));
  SKERRY_ASSIGN_OR_RETURN(const std::string ca_file, object.StringOr("ca_file", ""));
  HttpClientOptions options;
  options.stall_timeout = patience;
  SKERRY_ASSIGN_OR_RETURN(options.bearer_token, ReadFile(token_file, 4'096));
  options.bearer_token = Stripped(options.bearer_token);
  if (!ca_file.empty()) {
    SKERRY_ASSIGN_OR_RETURN(options.ca_pem, ReadFile(ca_file, 1U << 16U));
  }
  return ControlClient(std::move(url), std::move(public_url),
                       std::make_unique<HttpClient>(std::move(options)));
}

Result<std::string> ControlClient::Call(std::string_view method, std::string_view path,
                                        std::string body, std::string_view content_type) {
  HttpCall call;
  call.method = method;
  call.url = url_ + std::string(path);
  if (!content_type.empty()) call.headers.emplace_back("Content-Type", content_type);
  call.body = std::move(body);
  SKERRY_ASSIGN_OR_RETURN(HttpReply reply, http_->Send(call));
  if (reply.status >= 300)
    return tl::make_unexpected(ErrorOfReply(reply, fmt::format("{} {}", method, path)));
  return std::move(reply.body);
}

Result<Json> ControlClient::Get(std::string_view path) { return AsJson(Call("GET", path, "", "")); }

Result<Json> ControlClient::Post(std::string_view path, const Json& body) {
  return AsJson(Call("POST", path, DumpJson(body), "application/json"));
}

Result<Json> ControlClient::Put(std::string_view path, const Json& body) {
  return AsJson(Call("PUT", path, DumpJson(body), "application/json"));
}

}  // namespace skerry
