#include "hub/run_log.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <utility>

namespace skerry {
namespace {

constexpr std::string_view kFold = "inner fold ", kStage = "stage ";

// "3 of 8" at the front of `text`.
std::optional<std::pair<double, double>> ReadShare(std::string_view text) {
  constexpr std::string_view kOf = " of ";
  int part = 0, whole = 0;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, part);
  if (first.ec != std::errc() || !std::string_view(first.ptr, end).starts_with(kOf)) return {};
  const auto second = std::from_chars(first.ptr + kOf.size(), end, whole);
  if (second.ec != std::errc() || part < 0 || whole <= 0 || part > whole) return {};
  return std::pair<double, double>(part, whole);
}

// Calls `take` with each line that has something on it.
template <typename Take>
void ForEachLine(std::string_view text, const Take& take) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) take(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

}  // namespace

std::string ReadTail(const std::filesystem::path& file, std::size_t bytes) {
  std::ifstream log(file, std::ios::binary | std::ios::ate);
  if (!log) return "";
  const auto size = static_cast<std::size_t>(log.tellg());
  const std::size_t tail = std::min(size, bytes);
  std::string text(tail, '\0');
  log.seekg(static_cast<std::streamoff>(size - tail));
  log.read(text.data(), static_cast<std::streamsize>(tail));
  text.resize(static_cast<std::size_t>(log.gcount()));
  return text;
}

Json ProgressOf(std::string_view tail) {
  Json progress{
      {"step", ""}, {"step_fraction", nullptr}, {"tasks", ""}, {"tasks_fraction", nullptr}};
  ForEachLine(tail, [&](std::string_view line) {
    if (line.starts_with("warning: ")) return;
    const std::size_t colon = line.find(": ");
    if (line.starts_with(kStage) && colon != std::string_view::npos) {
      const auto share = ReadShare(line.substr(colon + 2));
      progress["tasks"] = line;
      progress["tasks_fraction"] = share ? Json(share->first / share->second) : Json();
      return;
    }
    const std::size_t fold = line.find(kFold);
    const auto share =
        fold == std::string_view::npos ? std::nullopt : ReadShare(line.substr(fold + kFold.size()));
    // A fold that is named is under way, those before it are done.
    progress = {{"step", line},
                {"step_fraction", share ? Json((share->first - 1) / share->second) : Json()},
                {"tasks", ""},
                {"tasks_fraction", nullptr}};
  });
  return progress;
}

std::string ErrorToldIn(std::string_view tail) {
  constexpr std::string_view kOfCommand = "skerry train: ";
  std::string told;
  ForEachLine(tail, [&](std::string_view line) {
    if (line.starts_with(kOfCommand)) told = line.substr(kOfCommand.size());
  });
  return told;
}

std::string LastLine(std::string_view tail) {
  std::string last;
  ForEachLine(tail, [&](std::string_view line) { last = line; });
  return last;
}

}  // namespace skerry
