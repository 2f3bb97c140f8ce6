// The Linux system that an image's base files are taken from: this machine ("/"), or a directory
// that a Debian root was unpacked into, of another version or processor. Links are followed within
// it. Immutable after Open; thread-safe.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"

namespace skerry {

// A library of the system: `directory` is where the loader finds it ("usr/lib/x86_64-linux-gnu").
struct SystemLibrary {
  std::string name;  // as programs ask for it: "libssl.so.3"
  std::string directory;
  std::filesystem::path file;  // its content, here
};

// What the libraries of a set of programs are, all of them together.
struct LibraryClosure {
  std::uint16_t machine = 0;
  std::string interpreter;               // "/lib64/ld-linux-x86-64.so.2"
  std::vector<SystemLibrary> libraries;  // sorted by name
};

// An installed Debian package.
struct DebianPackage {
  std::string name, version, architecture, source;
  std::string stanza;  // of the dpkg status file, the members that scanners read
  std::optional<std::filesystem::path> copyright;
};

class SystemRoot {
 public:
  // kNotFound when `root` is no directory.
  static Result<SystemRoot> Open(const std::filesystem::path& root);

  // The file here that `path` ("usr/lib/os-release") leads to; none where there is no such file,
  // or a link leads around in a circle.
  std::optional<std::filesystem::path> Find(const std::string& path) const;
  // Names of the entries of a directory, sorted; none where there is no such directory.
  std::vector<std::string> List(const std::string& path) const;

  // The libraries of the system that `programs` need, and what these need in turn. One that stands
  // where a program itself says that it is ($ORIGIN/lib) is not the system's. kNotFound names a
  // library that is not there and who wants it; kInvalidArgument for programs of several machines.
  // Those that stand in `beside` are taken from there: libraries of a system that were brought
  // along, where the installed ones may be older or missing.
  Result<LibraryClosure> LibrariesOf(const std::vector<std::filesystem::path>& programs,
                                     const std::filesystem::path& beside = {}) const;

  // The packages that own any of `paths` (as of Find), by name; empty where the system is not
  // Debian's. kDataLoss when its data base cannot be understood.
  Result<std::vector<DebianPackage>> PackagesOf(const std::set<std::string>& paths) const;
  // VERSION_ID of os-release: "12"; "" where it is not told.
  std::string Version() const;

 private:
  explicit SystemRoot(std::filesystem::path root) : root_(std::move(root)) {}
  std::optional<SystemLibrary> FindLibrary(const std::string& name, std::uint16_t machine) const;
  Result<std::set<std::string>> OwnersOf(const std::set<std::string>& paths) const;

  std::filesystem::path root_;
};

}  // namespace skerry
