#include "cli/terminal.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "base/ids.h"
#include "storage/file.h"

namespace skerry {
namespace {

// Characters, not bytes, of UTF-8 text.
std::size_t Width(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

}  // namespace

bool ShowsProgress() {
  static const bool terminal = isatty(STDERR_FILENO) != 0;
  return terminal;
}

std::string ProgressBar(double share, std::string_view text) {
  constexpr int kWidth = 30;
  const double part = std::clamp(share, 0.0, 1.0);
  const auto filled = static_cast<std::size_t>(part * kWidth);
  return fmt::format("[{}{}] {:3.0f} %  {}", std::string(filled, '#'),
                     std::string(kWidth - filled, '-'), part * 100, text);
}

Status WriteSecret(const std::string& out, std::string_view secret, std::string_view what) {
  if (out != "-") {
    SKERRY_RETURN_IF_ERROR(WriteFileDurably(out, secret, 0600));
    std::printf("%s: %.*s\n", out.c_str(), static_cast<int>(what.size()), what.data());
    return {};
  }
  const bool written = std::fwrite(secret.data(), 1, secret.size(), stdout) == secret.size();
  if (written && std::fflush(stdout) == 0) return {};
  return Fail(ErrorCode::kInternal, "the secret could not be written to the output");
}

void PrintProgress(std::string_view line) {
  std::fprintf(stderr, ShowsProgress() ? "\r\033[K%.*s" : "%.*s\n", static_cast<int>(line.size()),
               line.data());
  std::fflush(stderr);
}

std::string RenderColumns(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i >= widths.size()) widths.push_back(0);
      widths[i] = std::max(widths[i], Width(row[i]));
    }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - Width(row[i]) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

std::string WrapText(std::string_view head, std::string_view text, std::size_t indent) {
  std::string out(head);
  std::size_t used = Width(head);
  bool first = true;  // of its line
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!first && used + 1 + Width(word) > kTextColumns) {
      out += '\n' + std::string(indent, ' ');
      used = indent;
      first = true;
    }
    if (!first) out += ' ';
    used += Width(word) + (first ? 0 : 1);
    out += word;
    first = false;
  }
  return out + '\n';
}

std::string Shorten(std::string_view text, std::size_t columns) {
  constexpr std::string_view kMark = "...";
  if (Width(text) <= columns || columns <= kMark.size()) return std::string(text);
  const std::size_t kept = columns - kMark.size();
  const auto starts_character = [&](std::size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xC0U) != 0x80U;
  };
  std::size_t front = 0;
  for (std::size_t count = 0; count < (kept + 1) / 2;) {
    ++front;
    if (front == text.size() || starts_character(front)) ++count;
  }
  std::size_t back = text.size();
  for (std::size_t count = 0; count < kept / 2;)
    if (starts_character(--back)) ++count;
  return fmt::format("{}{}{}", text.substr(0, front), kMark, text.substr(back));
}

Result<HostPort> ParseHostPort(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  HostPort at;
  const char* end = text.data() + text.size();
  const bool has_port = colon != std::string_view::npos && colon + 1 < text.size();
  const auto parsed = has_port ? std::from_chars(text.data() + colon + 1, end, at.port)
                               : std::from_chars_result{end, std::errc::invalid_argument};
  if (parsed.ec != std::errc() || parsed.ptr != end)
    return Fail(ErrorCode::kInvalidArgument,
                "'{}' is no address and port; write for example 127.0.0.1:8000", text);
  at.host = colon == 0 ? "127.0.0.1" : std::string(text.substr(0, colon));
  if (at.host.size() > 2 && at.host.front() == '[') at.host = at.host.substr(1, at.host.size() - 2);
  return at;
}

Result<NameVersion> ParseNameVersion(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos)
    return Fail(ErrorCode::kInvalidArgument, "'{}' has no version; write for example milling:1",
                text);
  NameVersion parsed{std::string(text.substr(0, colon)), std::string(text.substr(colon + 1))};
  SKERRY_RETURN_IF_ERROR(CheckName("name", parsed.name));
  SKERRY_RETURN_IF_ERROR(CheckVersion("version", parsed.version));
  return parsed;
}

std::string WithThousands(std::uint64_t value) {
  const std::string digits = std::to_string(value);
  std::string out;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

}  // namespace skerry
