#include "http/response_head.h"

#include <algorithm>
#include <charconv>
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

void AppendNumber(std::uint64_t number, std::string& out) {
  char digits[20];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

bool IsTheServers(std::string_view name) {
  return EqualIgnoringCase(name, "Connection") || EqualIgnoringCase(name, "Transfer-Encoding") ||
         EqualIgnoringCase(name, "Date");
}

bool IsControl(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t') || byte == 0x7F;
}

void AppendClean(std::string_view text, std::string& out) {
  const std::size_t start = out.size();
  out += text;
  if (std::any_of(text.begin(), text.end(), IsControl))
    std::replace_if(out.begin() + static_cast<std::ptrdiff_t>(start), out.end(), IsControl, ' ');
}

}  // namespace

bool HasNoBody(int status) { return status < 200 || status == 204 || status == 304; }

void WriteResponseHead(const HttpResponse& response, const ResponseFraming& framing,
                       std::string& out) {
  out.clear();
  out += "HTTP/1.1 ";
  AppendNumber(static_cast<std::uint64_t>(response.status), out);
  out += ' ';
  out += ReasonPhrase(response.status);
  out += "\r\n";
  bool length_given = HasNoBody(response.status);
  for (const auto& [name, value] : response.headers) {
    if (IsTheServers(name)) continue;
    if (EqualIgnoringCase(name, "Content-Length")) {
      if (!framing.head || length_given) continue;
      length_given = true;
    }
    AppendClean(name, out);
    out += ": ";
    AppendClean(value, out);
    out += "\r\n";
  }
  if (framing.length == kUnknownLength) {
    if (!framing.version_10) out += "Transfer-Encoding: chunked\r\n";
  } else if (!length_given) {
    out += "Content-Length: ";
    AppendNumber(framing.length, out);
    out += "\r\n";
  }
  out += DateHeader();
  if (!framing.keep_alive)
    out += "Connection: close\r\n";
  else if (framing.version_10)
    out += "Connection: keep-alive\r\n";
  out += "\r\n";
}

}  // namespace skerry::http_detail
