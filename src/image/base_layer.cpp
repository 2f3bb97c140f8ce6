#include "image/base_layer.h"

#include <set>

#include "base/limits.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr std::string_view kCertificates = "usr/share/ca-certificates/mozilla";
constexpr std::string_view kBundle = "etc/ssl/certs/ca-certificates.crt";

Result<std::string> ArchitectureOf(std::uint16_t machine) {
  if (machine == 62) return std::string("amd64");
  if (machine == 183) return std::string("arm64");
  return Fail(ErrorCode::kUnimplemented, "images for ELF machine {} are not made", machine);
}

void AddUsers(LayerTree& tree) {
  tree.AddText("etc/passwd",
               fmt::format("root:x:0:0:root:/root:/usr/sbin/nologin\n"
                           "skerry:x:{0}:{0}:skerry:/var/lib/skerry:/usr/sbin/nologin\n"
                           "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
                           kImageUser));
  tree.AddText("etc/group", fmt::format("root:x:0:\nskerry:x:{}:\nnogroup:x:65534:\n", kImageUser));
  tree.AddText("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
  tree.AddDirectory("root", 0700);
  tree.AddDirectory("tmp", 01777);
  tree.AddDirectory("var/lib/skerry", 0700, kImageUser);
}

// The loader is in the place that programs name, and the libraries where it looks.
void AddLibraries(LayerTree& tree, const LibraryClosure& closure, std::set<std::string>& paths) {
  for (const char* directory : {"lib", "lib64", "bin", "sbin"})
    tree.AddLink(directory, fmt::format("usr/{}", directory));
  for (const char* directory : {"usr/lib", "usr/lib64", "usr/bin", "usr/sbin"})
    tree.AddDirectory(directory);
  for (const SystemLibrary& library : closure.libraries) {
    const std::string path = library.directory + "/" + library.name;
    tree.AddFile(path, library.file, 0755);
    paths.insert(path);
    const std::string loader = "usr" + closure.interpreter;
    if (closure.interpreter.ends_with("/" + library.name) && loader != path)
      tree.AddLink(loader, "/" + path);
  }
}

// From the certificates of the package, not from this machine's bundle: that may hold others.
Status AddCertificates(LayerTree& tree, const SystemRoot& root, std::set<std::string>& paths) {
  std::string bundle;
  for (const std::string& name : root.List(std::string(kCertificates))) {
    const std::string path = fmt::format("{}/{}", kCertificates, name);
    const auto file = root.Find(path);
    if (!name.ends_with(".crt") || !file) continue;
    SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(*file, limits::kCertificateBytes));
    bundle += text + (text.ends_with('\n') ? "" : "\n");
    paths.insert(path);
  }
  if (!bundle.empty())
    tree.AddText(std::string(kBundle), std::move(bundle));
  else if (const auto file = root.Find(std::string(kBundle)))
    tree.AddFile(std::string(kBundle), *file);
  return {};
}

void AddSystemFiles(LayerTree& tree, const SystemRoot& root, std::set<std::string>& paths) {
  for (const char* path :
       {"usr/lib/os-release", "etc/debian_version", "etc/services", "etc/protocols"})
    if (const auto file = root.Find(path)) {
      tree.AddFile(path, *file);
      paths.insert(path);
    }
  if (tree.Has("usr/lib/os-release")) tree.AddLink("etc/os-release", "../usr/lib/os-release");
}

// As scanners of images look for it, a file a package.
void AddPackages(LayerTree& tree, const std::vector<DebianPackage>& packages) {
  for (const DebianPackage& package : packages) {
    tree.AddText("var/lib/dpkg/status.d/" + package.name, package.stanza);
    if (package.copyright)
      tree.AddFile(fmt::format("usr/share/doc/{}/copyright", package.name), *package.copyright);
  }
}

}  // namespace

Result<BaseLayer> MakeBaseLayer(const SystemRoot& root,
                                const std::vector<std::filesystem::path>& programs,
                                const std::filesystem::path& beside) {
  SKERRY_ASSIGN_OR_RETURN(LibraryClosure closure, root.LibrariesOf(programs, beside));
  BaseLayer base;
  SKERRY_ASSIGN_OR_RETURN(base.architecture, ArchitectureOf(closure.machine));
  std::set<std::string> paths;  // that packages are asked for
  AddUsers(base.tree);
  AddLibraries(base.tree, closure, paths);
  SKERRY_RETURN_IF_ERROR(AddCertificates(base.tree, root, paths));
  AddSystemFiles(base.tree, root, paths);
  SKERRY_ASSIGN_OR_RETURN(base.packages, root.PackagesOf(paths));
  AddPackages(base.tree, base.packages);
  base.libraries = std::move(closure.libraries);
  return base;
}

}  // namespace skerry
