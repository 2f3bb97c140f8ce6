#include "image/system_root.h"

#include <algorithm>
#include <array>
#include <deque>
#include <sstream>

#include "base/image_limits.h"
#include "image/elf_file.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::uint16_t kX86 = 62, kArm64 = 183;  // e_machine, ELF
constexpr int kLinksFollowed = 40;                // as Linux does

// Where the loader looks without being told, in an order that finds Debian's place first.
std::vector<std::string> LibraryDirectories(std::uint16_t machine) {
  std::vector<std::string> directories;
  const std::string triplet = machine == kX86     ? "x86_64-linux-gnu"
                              : machine == kArm64 ? "aarch64-linux-gnu"
                                                  : "";
  for (const char* above : {"usr/lib", "lib"})
    if (!triplet.empty()) directories.push_back(fmt::format("{}/{}", above, triplet));
  for (const char* directory : {"usr/lib64", "lib64", "usr/lib", "lib"})
    directories.emplace_back(directory);
  return directories;
}

// Every image has the one tree below usr/, whatever the root has.
std::string BelowUsr(const std::string& directory) {
  return directory.starts_with("usr/") ? directory : "usr/" + directory;
}

// Whether a place that the program itself names has it: that travels with the program.
bool IsCarriedAlong(const ElfFile& elf, const fs::path& origin, const std::string& name) {
  return std::ranges::any_of(elf.search, [&](std::string place) {
    if (const std::size_t at = place.find("$ORIGIN"); at != std::string::npos)
      place.replace(at, 7, origin.string());
    std::error_code error;
    return fs::is_regular_file(fs::path(place) / name, error);
  });
}

// The stanza's members by name; continued lines belong to the one above.
std::map<std::string, std::string> MembersOf(const std::string& stanza) {
  std::map<std::string, std::string> members;
  std::istringstream lines(stanza);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t colon = line.find(": ");
    if (!line.empty() && line.front() != ' ' && colon != std::string::npos)
      members.emplace(line.substr(0, colon), line.substr(colon + 2));
  }
  return members;
}

DebianPackage PackageOf(const std::map<std::string, std::string>& members) {
  const auto of = [&](const char* name) {
    const auto found = members.find(name);
    return found == members.end() ? std::string() : found->second;
  };
  DebianPackage package{of("Package"), of("Version"), of("Architecture"), of("Source"), {}, {}};
  for (const char* name : {"Package", "Status", "Priority", "Section", "Maintainer", "Architecture",
                           "Multi-Arch", "Source", "Version", "Homepage"})
    if (const std::string value = of(name); !value.empty())
      package.stanza += fmt::format("{}: {}\n", name, value);
  return package;
}

}  // namespace

Result<SystemRoot> SystemRoot::Open(const fs::path& root) {
  std::error_code error;
  const fs::path real = fs::canonical(root, error);
  if (error || !fs::is_directory(real, error))
    return Fail(ErrorCode::kNotFound, "{} is no directory", root.string());
  return SystemRoot(real);
}

std::optional<fs::path> SystemRoot::Find(const std::string& path) const {
  std::deque<fs::path> left;
  for (const fs::path& part : fs::path(path).relative_path()) left.push_back(part);
  fs::path here = root_;
  int links = 0;
  std::error_code error;
  while (!left.empty()) {
    const fs::path part = left.front();
    left.pop_front();
    if (part == ".." && here != root_) here = here.parent_path();
    if (part.empty() || part == "." || part == "..") continue;
    const fs::path next = here / part;
    const fs::file_status status = fs::symlink_status(next, error);
    if (!fs::exists(status)) return std::nullopt;
    if (!fs::is_symlink(status)) {
      here = next;
      continue;
    }
    if (++links > kLinksFollowed) return std::nullopt;
    const fs::path target = fs::read_symlink(next, error);
    if (target.is_absolute()) here = root_;
    const fs::path relative = target.relative_path();
    left.insert(left.begin(), relative.begin(), relative.end());
  }
  return here;
}

std::vector<std::string> SystemRoot::List(const std::string& path) const {
  std::vector<std::string> names;
  const auto directory = Find(path);
  if (!directory) return names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(*directory, error))
    names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

std::optional<SystemLibrary> SystemRoot::FindLibrary(const std::string& name,
                                                     std::uint16_t machine) const {
  if (name.find('/') != std::string::npos) return std::nullopt;
  for (const std::string& directory : LibraryDirectories(machine)) {
    const auto file = Find((fs::path(directory) / name).string());
    if (!file) continue;
    const auto elf = ReadElf(*file);
    if (elf && elf->machine == machine) return SystemLibrary{name, BelowUsr(directory), *file};
  }
  return std::nullopt;
}

Result<LibraryClosure> SystemRoot::LibrariesOf(const std::vector<fs::path>& programs,
                                               const fs::path& beside) const {
  LibraryClosure closure;
  std::map<std::string, SystemLibrary> found;
  std::deque<fs::path> left(programs.begin(), programs.end());
  while (!left.empty()) {
    const fs::path file = left.front();
    left.pop_front();
    SKERRY_ASSIGN_OR_RETURN(const ElfFile elf, ReadElf(file));
    if (closure.machine == 0) closure.machine = elf.machine;
    if (elf.machine != closure.machine)
      return Fail(ErrorCode::kInvalidArgument, "{} is for another processor than {}", file.string(),
                  programs.front().string());
    if (closure.interpreter.empty()) closure.interpreter = elf.interpreter;
    for (const std::string& name : elf.needed) {
      if (found.contains(name)) continue;
      std::optional<SystemLibrary> library;
      std::error_code error;
      if (!beside.empty() && fs::is_regular_file(beside / name, error))
        library = SystemLibrary{name, LibraryDirectories(elf.machine).front(),
                                fs::canonical(beside / name, error)};
      else if (IsCarriedAlong(elf, file.parent_path(), name))
        continue;
      else
        library = FindLibrary(name, elf.machine);
      if (!library)
        return Fail(ErrorCode::kNotFound, "{} needs {}, which is not in {}", file.string(), name,
                    root_.string());
      left.push_back(library->file);
      found.emplace(name, *std::move(library));
    }
  }
  for (auto& [name, library] : found) closure.libraries.push_back(std::move(library));
  return closure;
}

Result<std::set<std::string>> SystemRoot::OwnersOf(const std::set<std::string>& paths) const {
  std::set<std::string> owners;
  for (const std::string& name : List("var/lib/dpkg/info")) {
    if (!name.ends_with(".list")) continue;
    const auto file = Find("var/lib/dpkg/info/" + name);
    if (!file) continue;
    SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(*file, limits::kDpkgFileBytes));
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
      if (line.size() > 1 && paths.contains(line.substr(1))) {
        owners.insert(name.substr(0, std::min(name.find(':'), name.size() - 5)));
        break;
      }
  }
  return owners;
}

Result<std::vector<DebianPackage>> SystemRoot::PackagesOf(
    const std::set<std::string>& paths) const {
  std::vector<DebianPackage> packages;
  const auto file = Find("var/lib/dpkg/status");
  if (!file) return packages;
  std::set<std::string> asked;
  for (const std::string& path : paths) {
    asked.insert(path);
    if (path.starts_with("usr/")) asked.insert(path.substr(4));  // as older packages list it
    if (const auto real = Find(path))
      asked.insert(fs::path(*real).lexically_relative(root_).string());
  }
  for (const std::string& path : std::set(asked))
    if (path.starts_with("usr/")) asked.insert(path.substr(4));
  SKERRY_ASSIGN_OR_RETURN(const std::set<std::string> owners, OwnersOf(asked));
  SKERRY_ASSIGN_OR_RETURN(const std::string status, ReadFile(*file, limits::kDpkgFileBytes));
  std::set<std::string> told;
  for (std::size_t at = 0; at < status.size();) {
    const std::size_t end = std::min(status.find("\n\n", at), status.size());
    const auto members = MembersOf(status.substr(at, end - at));
    at = end + 2;
    DebianPackage package = PackageOf(members);
    // Of a package that is there for several processors, the versions are equal.
    if (!owners.contains(package.name) || !told.insert(package.name).second) continue;
    package.copyright = Find(fmt::format("usr/share/doc/{}/copyright", package.name));
    packages.push_back(std::move(package));
  }
  std::ranges::sort(packages, {}, &DebianPackage::name);
  return packages;
}

std::string SystemRoot::Version() const {
  const auto file = Find("usr/lib/os-release");
  const auto text = file ? ReadFile(*file, limits::kDpkgFileBytes) : Result<std::string>("");
  if (!text) return "";
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("VERSION_ID=")) {
      std::string version = line.substr(11);
      std::erase(version, '"');
      return version;
    }
  return "";
}

}  // namespace skerry
