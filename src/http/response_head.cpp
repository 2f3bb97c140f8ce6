#include "http/response_head.h"

#include <strings.h>

#include <ctime>

namespace skerry::http_detail {
namespace {

// RFC 9110 5.6.7, made once a second a thread.
const std::string& DateHeader() {
  thread_local std::time_t made_at = 0;
  thread_local std::string text;
  const std::time_t now = std::time(nullptr);
  if (now != made_at) {
    std::tm parts{};
    gmtime_r(&now, &parts);
    char buffer[64];
    text.assign(buffer, std::strftime(buffer, sizeof buffer, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n",
                                      &parts));
    made_at = now;
  }
  return text;
}

bool Is(const std::string& name, const char* wanted) {
  return strcasecmp(name.c_str(), wanted) == 0;
}

bool IsTheServers(const std::string& name) {
  return Is(name, "Connection") || Is(name, "Transfer-Encoding") || Is(name, "Date");
}

void AppendClean(std::string_view text, std::string& out) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out += (byte < 0x20 && c != '\t') || byte == 0x7F ? ' ' : c;
  }
}

}  // namespace

bool HasNoBody(int status) { return status < 200 || status == 204 || status == 304; }

void WriteResponseHead(const HttpResponse& response, const ResponseFraming& framing,
                       std::string& out) {
  out.clear();
  fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} {}\r\n", response.status,
                 ReasonPhrase(response.status));
  bool length_given = HasNoBody(response.status);
  for (const auto& [name, value] : response.headers) {
    if (IsTheServers(name)) continue;
    if (Is(name, "Content-Length")) {
      if (!framing.head || length_given) continue;
      length_given = true;
    }
    AppendClean(name, out);
    out += ": ";
    AppendClean(value, out);
    out += "\r\n";
  }
  if (!length_given)
    fmt::format_to(std::back_inserter(out), "Content-Length: {}\r\n", framing.length);
  out += DateHeader();
  if (!framing.keep_alive)
    out += "Connection: close\r\n";
  else if (framing.version_10)
    out += "Connection: keep-alive\r\n";
  out += "\r\n";
}

}  // namespace skerry::http_detail
