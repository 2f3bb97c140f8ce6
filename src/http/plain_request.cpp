#include "http/plain_request.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/limits.h"

namespace skerry::http_detail {
namespace {

constexpr std::size_t kBodyPadding = 64;  // room that a parser of the body may want behind it

enum CharClass : std::uint8_t { kToken = 1, kTarget = 2, kValue = 4 };

constexpr std::array<std::uint8_t, 256> MakeClasses() {
  std::array<std::uint8_t, 256> classes{};
  for (std::size_t c = 0; c < classes.size(); ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    const bool sign =
        std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
    if (letter || (c < 0x80 && sign)) classes[c] |= kToken;
    if (c > 0x20 && c < 0x7F) classes[c] |= kTarget;
    if ((c >= 0x20 && c != 0x7F) || c == '\t') classes[c] |= kValue;
  }
  return classes;
}
constexpr std::array<std::uint8_t, 256> kClasses = MakeClasses();

bool AllAre(std::string_view text, CharClass wanted) {
  return std::all_of(text.begin(), text.end(), [wanted](char c) {
    return (kClasses[static_cast<unsigned char>(c)] & wanted) != 0;
  });
}

// The text up to `mark`, which is taken off too; false when there is none.
bool TakeUntil(std::string_view& rest, char mark, std::string_view& taken) {
  const std::size_t at = rest.find(mark);
  if (at == std::string_view::npos) return false;
  taken = rest.substr(0, at);
  rest.remove_prefix(at + 1);
  return true;
}

// A line without its CRLF; a carriage return elsewhere is not let through.
bool TakeLine(std::string_view& rest, std::string_view& line) {
  if (!TakeUntil(rest, '\r', line) || !rest.starts_with('\n')) return false;
  rest.remove_prefix(1);
  return true;
}

bool TakeRequestLine(std::string_view& rest, HttpRequest& request) {
  std::string_view line;
  if (!TakeLine(rest, line) || !line.ends_with(" HTTP/1.1")) return false;
  line.remove_suffix(std::string_view(" HTTP/1.1").size());
  std::string_view method;
  if (!TakeUntil(line, ' ', method) || method.empty() || !AllAre(method, kToken)) return false;
  if (!line.starts_with('/') || !AllAre(line, kTarget)) return false;
  request.method = method;
  request.target = line;
  request.path = line.substr(0, line.find('?'));
  return true;
}

class HeaderLines {
 public:
  explicit HeaderLines(HttpRequest& request) : request_(request) {}

  // Up to and with the empty line.
  bool Take(std::string_view& rest) {
    std::size_t count = 0;
    for (std::string_view line; TakeLine(rest, line);) {
      if (line.empty()) {
        request_.headers.resize(count);
        return true;
      }
      std::string_view name;
      if (!TakeUntil(line, ':', name) || name.empty() || !AllAre(name, kToken)) return false;
      const std::size_t first = line.find_first_not_of(" \t");
      line.remove_prefix(std::min(first, line.size()));
      line = line.substr(0, line.find_last_not_of(" \t") + 1);
      if (!AllAre(line, kValue) || !Note(name, line)) return false;
      if (count == request_.headers.size()) request_.headers.emplace_back();
      request_.headers[count].first = name;
      request_.headers[count].second = line;
      ++count;
    }
    return false;
  }

  bool keep_alive() const { return keep_alive_; }
  std::uint64_t content_length() const { return length_; }

 private:
  // False for what the general parser has to judge.
  bool Note(std::string_view name, std::string_view value) {
    switch (name.size()) {
      case 6: return !EqualIgnoringCase(name, "Expect");
      case 7: return !EqualIgnoringCase(name, "Upgrade");
      case 10: {
        if (!EqualIgnoringCase(name, "Connection")) return true;
        if (std::exchange(has_connection_, true)) return false;
        keep_alive_ = EqualIgnoringCase(value, "keep-alive");
        return keep_alive_ || EqualIgnoringCase(value, "close");
      }
      case 14: {
        if (!EqualIgnoringCase(name, "Content-Length")) return true;
        if (std::exchange(has_length_, true) || value.size() > 15) return false;
        const auto [end, error] =
            std::from_chars(value.data(), value.data() + value.size(), length_);
        return error == std::errc() && end == value.data() + value.size();
      }
      case 16: return !EqualIgnoringCase(name, "Proxy-Connection");
      case 17: return !EqualIgnoringCase(name, "Transfer-Encoding");
      default: return true;
    }
  }

  HttpRequest& request_;
  bool keep_alive_ = true;
  bool has_connection_ = false, has_length_ = false;
  std::uint64_t length_ = 0;
};

}  // namespace

std::optional<PlainRequest> TakePlainRequest(std::string_view bytes, HttpRequest& request) {
  std::string_view rest = bytes;
  HeaderLines lines(request);
  if (!TakeRequestLine(rest, request) || !lines.Take(rest)) return std::nullopt;
  const std::size_t head = bytes.size() - rest.size();
  if (head > limits::kHeaderBytes || rest.size() < lines.content_length()) return std::nullopt;
  request.content_length = lines.content_length();
  request.body.reserve(lines.content_length() + kBodyPadding);
  request.body = rest.substr(0, lines.content_length());
  return PlainRequest{head + lines.content_length(), lines.keep_alive()};
}

}  // namespace skerry::http_detail
