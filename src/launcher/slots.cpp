#include "launcher/slots.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <vector>

namespace skerry {
namespace {

constexpr std::string_view kHead = "skerry-launcher/1";
constexpr std::string_view kEnd = "end\n";
constexpr std::size_t kSmallFileBytes = 64U << 10U;
constexpr std::size_t kReasonBytes = 500;
constexpr std::array<std::string_view, 3> kSlotNames{"installed", "a", "b"};

std::string_view TakeUntil(std::string_view& text, char end) {
  const std::size_t at = std::min(text.find(end), text.size());
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return taken;
}

template <typename T>
bool ParseNumber(std::string_view text, T& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// A line is a line, whatever a child has said.
std::string OneLine(std::string_view text) {
  std::string line(text.substr(0, kReasonBytes));
  std::replace_if(
      line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return line;
}

std::string CandidateText(const Candidate& candidate) {
  return candidate.request + ' ' + std::string(SlotName(candidate.slot)) + ' ' + candidate.version +
         ' ' + candidate.digest + ' ' + std::to_string(candidate.desired_version);
}

// Takes the candidate off the front of `rest`.
std::optional<Candidate> TakeCandidate(std::string_view& rest) {
  Candidate candidate;
  candidate.request = TakeUntil(rest, ' ');
  const std::optional<Slot> slot = ParseSlot(TakeUntil(rest, ' '));
  candidate.version = TakeUntil(rest, ' ');
  candidate.digest = TakeUntil(rest, ' ');
  const bool numbered = ParseNumber(TakeUntil(rest, ' '), candidate.desired_version);
  if (!slot || !numbered || candidate.request.empty() || candidate.version.empty() ||
      candidate.digest.empty())
    return std::nullopt;
  candidate.slot = *slot;
  return candidate;
}

bool TakeLine(std::string_view key, std::string_view rest, LauncherState& state) {
  if (key == "active") {
    const std::optional<Slot> slot = ParseSlot(rest);
    state.active = slot.value_or(Slot::kInstalled);
    return slot.has_value();
  }
  if (key == "attempts") return ParseNumber(rest, state.attempts);
  if (key == "handled") state.handled = rest;
  if (key == "installed") state.installed = rest;
  if (key == "trial") {
    state.trial = TakeCandidate(rest);
    return state.trial && state.trial->slot != Slot::kInstalled;
  }
  if (key == "given-back") {
    const std::optional<Candidate> candidate = TakeCandidate(rest);
    if (!candidate) return false;
    state.given_back = GivenBack{*candidate, std::string(rest)};
  }
  return true;
}

std::string Trouble(const char* what, const std::filesystem::path& path) {
  return std::string(what) + ' ' + path.string() + ": " + std::strerror(errno);
}

std::string SyncParent(const std::filesystem::path& path) {
  const std::filesystem::path parent = path.parent_path();
  const int fd = open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Trouble("opening", parent);
  const bool synced = fsync(fd) == 0;
  std::string trouble = synced ? "" : Trouble("syncing", parent);
  close(fd);
  return trouble;
}

std::string WriteSynced(const std::filesystem::path& path, std::string_view text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return Trouble("making", path);
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  const bool whole = text.empty() && fsync(fd) == 0;
  std::string trouble = whole ? "" : Trouble("writing", path);
  close(fd);
  return trouble;
}

}  // namespace

std::string_view SlotName(Slot slot) { return kSlotNames[static_cast<std::size_t>(slot)]; }

std::optional<Slot> ParseSlot(std::string_view name) {
  for (const Slot slot : {Slot::kInstalled, Slot::kA, Slot::kB})
    if (SlotName(slot) == name) return slot;
  return std::nullopt;
}

std::string StateText(const LauncherState& state) {
  std::string text = std::string(kHead) + "\nactive " + std::string(SlotName(state.active)) + '\n';
  if (state.trial) text += "trial " + CandidateText(*state.trial) + '\n';
  text += "attempts " + std::to_string(state.attempts) + '\n';
  if (!state.handled.empty()) text += "handled " + state.handled + '\n';
  if (!state.installed.empty()) text += "installed " + state.installed + '\n';
  if (state.given_back)
    text += "given-back " + CandidateText(state.given_back->candidate) + ' ' +
            OneLine(state.given_back->reason) + '\n';
  return text + std::string(kEnd);
}

std::optional<LauncherState> ParseState(std::string_view text) {
  if (!text.ends_with(kEnd) || TakeUntil(text, '\n') != kHead) return std::nullopt;
  text.remove_suffix(kEnd.size());
  LauncherState state;
  while (!text.empty()) {
    std::string_view line = TakeUntil(text, '\n');
    const std::string_view key = TakeUntil(line, ' ');
    if (!TakeLine(key, line, state)) return std::nullopt;
  }
  return state;
}

std::string RequestText(const Candidate& candidate) {
  return std::string(kHead) + "\nrequest " + CandidateText(candidate) + '\n';
}

std::optional<Candidate> ParseRequest(std::string_view text) {
  if (!text.ends_with('\n') || TakeUntil(text, '\n') != kHead) return std::nullopt;
  std::string_view line = TakeUntil(text, '\n');
  if (TakeUntil(line, ' ') != "request") return std::nullopt;
  std::optional<Candidate> candidate = TakeCandidate(line);
  if (!candidate || candidate->slot == Slot::kInstalled) return std::nullopt;
  return candidate;
}

Slot FreeSlot(const LauncherState& state) {
  const bool a_is_used = state.active == Slot::kA || (state.trial && state.trial->slot == Slot::kA);
  return a_is_used ? Slot::kB : Slot::kA;
}

std::filesystem::path StateFile(const std::filesystem::path& releases) {
  return releases / "state";
}

std::filesystem::path RequestFile(const std::filesystem::path& releases) {
  return releases / "request";
}

std::optional<std::string> ReadSmallFile(const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return std::nullopt;
  std::string text(kSmallFileBytes, '\0');
  std::size_t size = 0;
  ssize_t got = 1;
  while (got != 0 && size < text.size()) {
    got = read(fd, text.data() + size, text.size() - size);
    if (got < 0 && errno != EINTR) break;
    if (got > 0) size += static_cast<std::size_t>(got);
  }
  close(fd);
  if (got != 0) return std::nullopt;
  text.resize(size);
  return text;
}

std::string ReplaceFile(const std::filesystem::path& path, std::string_view text) {
  const std::filesystem::path beside =
      path.parent_path() / ("." + path.filename().string() + ".new");
  if (std::string trouble = WriteSynced(beside, text); !trouble.empty()) return trouble;
  if (rename(beside.c_str(), path.c_str()) != 0) return Trouble("renaming to", path);
  return SyncParent(path);
}

}  // namespace skerry
