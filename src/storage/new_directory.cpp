#include "storage/new_directory.h"

#include <fmt/format.h>

#include <string_view>
#include <system_error>

namespace skerry {
namespace {

namespace fs = std::filesystem;

Status SystemFailure(std::string_view doing, const fs::path& path, const std::error_code& error) {
  return Fail(ErrorCode::kInternal, "{} {}: {}", doing, path.string(), error.message());
}

}  // namespace

Status CheckNewDirectory(const fs::path& out) {
  std::error_code error;
  if (out.empty()) return Fail(ErrorCode::kInvalidArgument, "name the directory to write to");
  if (fs::exists(fs::symlink_status(out, error)))
    return Fail(ErrorCode::kAlreadyExists, "{} is there already: remove it or choose another name",
                out.string());
  const fs::path parent = fs::absolute(out).parent_path();
  if (!fs::is_directory(parent, error))
    return Fail(ErrorCode::kInvalidArgument, "there is no directory {}", parent.string());
  return {};
}

Status PublishDirectory(const TemporaryDirectory& written, const fs::path& out) {
  using fs::perms;
  constexpr perms kReadable = perms::owner_all | perms::group_read | perms::group_exec |
                              perms::others_read | perms::others_exec;  // 0755
  const fs::path target = fs::absolute(out).lexically_normal();
  std::error_code error;
  fs::permissions(written.path(), kReadable, error);
  if (error) return SystemFailure("opening to readers", written.path(), error);
  SKERRY_RETURN_IF_ERROR(SyncDirectory(written.path()));
  SKERRY_RETURN_IF_ERROR(CheckNewDirectory(out));
  fs::rename(written.path(), target, error);
  if (error) return SystemFailure("naming", target, error);
  return SyncDirectory(target.parent_path());
}

}  // namespace skerry
