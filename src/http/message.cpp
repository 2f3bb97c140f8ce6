#include "http/message.h"

#include "http/url.h"

namespace skerry {
namespace {

// The raw value of a query parameter, or nothing.
std::optional<std::string_view> FindQuery(std::string_view target, std::string_view name) {
  const std::size_t mark = target.find('?');
  if (mark == std::string_view::npos) return std::nullopt;
  std::string_view rest = target.substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find('&'));
    const std::size_t equals = item.find('=');
    const auto key = PercentDecode(item.substr(0, equals));
    if (key && *key == name)
      return equals == std::string_view::npos ? std::string_view() : item.substr(equals + 1);
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
  }
  return std::nullopt;
}

}  // namespace

std::string_view FindHeader(const HeaderList& headers, std::string_view name) {
  for (const auto& [key, value] : headers)
    if (EqualIgnoringCase(key, name)) return value;
  return {};
}

const std::string& HttpRequest::Param(std::string_view name) const {
  static const std::string kNone;
  const auto found = params.find(name);
  return found == params.end() ? kNone : found->second;
}

std::string HttpRequest::Query(std::string_view name) const {
  const auto raw = FindQuery(target, name);
  if (!raw) return "";
  std::string text(*raw);
  for (char& c : text)
    if (c == '+') c = ' ';
  return PercentDecode(text).value_or("");
}

bool HttpRequest::HasQuery(std::string_view name) const {
  return FindQuery(target, name).has_value();
}

HttpResponse HttpResponse::Empty(int status) {
  HttpResponse response;
  response.status = status;
  return response;
}

HttpResponse HttpResponse::Text(int status, std::string body, std::string content_type) {
  HttpResponse response = Empty(status);
  response.SetHeader("Content-Type", std::move(content_type));
  response.body = std::move(body);
  return response;
}

HttpResponse HttpResponse::JsonText(int status, std::string body) {
  return Text(status, std::move(body), "application/json");
}

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "Status";
  }
}

}  // namespace skerry
