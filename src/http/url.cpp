#include "http/url.h"

#include <charconv>

namespace skerry {
namespace {

bool IsUnreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Status SplitHostPort(std::string_view authority, Url& url, std::string_view whole) {
  std::string_view port;
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos)
      return Fail(ErrorCode::kInvalidArgument, "'{}' has no closing bracket", whole);
    url.host = authority.substr(1, end - 1);
    if (end + 1 < authority.size()) port = authority.substr(end + 2);
  } else {
    const std::size_t colon = authority.rfind(':');
    url.host = authority.substr(0, colon);
    if (colon != std::string_view::npos) port = authority.substr(colon + 1);
  }
  url.port = url.tls() ? 443 : 80;
  const char* end = port.data() + port.size();
  const auto parsed = std::from_chars(port.data(), end, url.port);
  if (!port.empty() && (parsed.ec != std::errc() || parsed.ptr != end))
    return Fail(ErrorCode::kInvalidArgument, "'{}' has no valid port", whole);
  if (url.host.empty() || url.port == 0)
    return Fail(ErrorCode::kInvalidArgument, "'{}' names no host and port", whole);
  return {};
}

}  // namespace

Result<Url> Url::Parse(std::string_view text) {
  Url url;
  const std::size_t colon = text.find("://");
  if (colon != std::string_view::npos) url.scheme = text.substr(0, colon);
  if (url.scheme != "http" && url.scheme != "https")
    return Fail(ErrorCode::kInvalidArgument,
                "'{}' is no http or https URL; write for example https://hub.example:8443", text);
  std::string_view rest = text.substr(colon + 3);
  const std::size_t slash = rest.find_first_of("/?#");
  const std::string_view authority = rest.substr(0, slash);
  if (authority.find('@') != std::string_view::npos)
    return Fail(ErrorCode::kInvalidArgument, "a URL may carry no user name or password");
  SKERRY_RETURN_IF_ERROR(SplitHostPort(authority, url, text));
  url.path = slash == std::string_view::npos ? "/" : std::string(rest.substr(slash));
  return url;
}

std::string Url::Origin() const {
  const bool six = host.find(':') != std::string::npos;
  return fmt::format("{}://{}{}{}:{}", scheme, six ? "[" : "", host, six ? "]" : "", port);
}

std::string PercentEncode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (IsUnreserved(c))
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

Result<std::string> PercentDecode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
    if (high < 0 || low < 0)
      return Fail(ErrorCode::kInvalidArgument, "broken percent-encoding at character {}", i);
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

bool IsLoopback(std::string_view host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

}  // namespace skerry
