// What launcher and site tell each other of the two slots, as small texts on the disk: which
// release runs, which is on trial, what came of the last trial (docs/formats/release.md).
//
// Files of one directory (`<data>/releases`):
//   a/, b/        the slots: a release's files (oci/release.h); written by the site
//   request       the site asks for a trial; taken by the launcher when the site has ended
//   state         written by the launcher alone
//   launcher.lock held by the launcher
// Each file is replaced as a whole (temporary, fsync, rename, fsync of the directory), so that a
// power cut leaves the one before or the one after. The standard library and POSIX alone: the
// launcher must run where nothing else does. Values; one thread at a time for a directory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace skerry {

// Where a release stands: what the operator has installed, and two that upgrades write in turn.
enum class Slot : std::uint8_t { kInstalled, kA, kB };
std::string_view SlotName(Slot slot);  // "installed", "a", "b"
std::optional<Slot> ParseSlot(std::string_view name);

// The variable by which a process hears from the launcher in which slot it stands.
inline constexpr const char* kSlotVariable = "SKERRY_SLOT";

// A release that is to be tried, or was.
struct Candidate {
  std::string request;  // drawn by the site for each request
  Slot slot = Slot::kA;
  std::string version;                // no spaces
  std::string digest;                 // of its manifest
  std::uint64_t desired_version = 0;  // of the desired state that asked for it
  bool operator==(const Candidate&) const = default;
};

// A trial that failed: the launcher went back to what ran before.
struct GivenBack {
  Candidate candidate;
  std::string reason;  // one line
  bool operator==(const GivenBack&) const = default;
};

struct LauncherState {
  Slot active = Slot::kInstalled;
  std::optional<Candidate> trial;
  unsigned attempts = 0;  // starts of the trial, counted before each
  std::string handled;    // the request taken last
  std::optional<GivenBack> given_back;
  // Of the installed program when this was written: one that was installed since runs first.
  std::string installed;
  bool operator==(const LauncherState&) const = default;
};

std::string StateText(const LauncherState& state);
// None: not such a text, or one of another major version.
std::optional<LauncherState> ParseState(std::string_view text);
std::string RequestText(const Candidate& candidate);
std::optional<Candidate> ParseRequest(std::string_view text);

// The slot that an upgrade may write: neither what runs nor what is on trial.
Slot FreeSlot(const LauncherState& state);

std::filesystem::path StateFile(const std::filesystem::path& releases);
std::filesystem::path RequestFile(const std::filesystem::path& releases);

// None: not there or not readable. At most 64 KiB.
std::optional<std::string> ReadSmallFile(const std::filesystem::path& path);
// What went wrong, or "". Durable when it is "".
std::string ReplaceFile(const std::filesystem::path& path, std::string_view text);

}  // namespace skerry
