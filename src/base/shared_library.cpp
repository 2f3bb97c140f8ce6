#include "base/shared_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace skerry {
namespace {

Result<std::filesystem::path> LibraryDirectory() {
  if (const char* directory = std::getenv("SKERRY_LIB_DIR");
      directory != nullptr && *directory != 0)
    return std::filesystem::path(directory);
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error)
    return Fail(ErrorCode::kUnavailable,
                "cannot tell where this program is ({}): set SKERRY_LIB_DIR", error.message());
  return self.parent_path() / "lib";
}

}  // namespace

Result<SharedLibrary> SharedLibrary::Open(std::string_view name) {
  SKERRY_ASSIGN_OR_RETURN(const std::filesystem::path directory, LibraryDirectory());
  std::string path = (directory / name).string();
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr)
    return Fail(ErrorCode::kUnavailable,
                "cannot open {} ({}): run scripts/deps, or set SKERRY_LIB_DIR to its directory",
                path, dlerror());
  return SharedLibrary(handle, std::move(path));
}

Result<void*> SharedLibrary::Address(const char* symbol) const {
  void* address = dlsym(handle_, symbol);
  if (address == nullptr)
    return Fail(ErrorCode::kUnavailable, "{} has no function {}: is it the pinned version?", path_,
                symbol);
  return address;
}

}  // namespace skerry
