#include "oci/medium.h"

#include <algorithm>
#include <system_error>

#include "base/limits.h"
#include "base/media_limits.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBlobs = "blobs/";
constexpr std::string_view kPacks = "packs";
constexpr int kMostPieces = 9'999;

Status CheckPlainDirectory(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(path, error);
  if (status.type() == fs::file_type::not_found)
    return Fail(ErrorCode::kNotFound, "there is no {}", path.string());
  if (status.type() != fs::file_type::directory)
    return Fail(ErrorCode::kPermissionDenied, "{} is not a plain directory", path.string());
  return {};
}

}  // namespace

std::string BlobName(const Digest& digest) {
  return fmt::format("blobs/{}/{}", digest.algorithm(), digest.hex());
}
std::string PieceName(std::string_view blob, int number) {
  return fmt::format("{}.part{:04}", blob, number);
}
std::string PackName(int number) { return fmt::format("packs/{:08}.tar", number); }

Result<Medium> Medium::Open(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(path, error);
  if (status.type() == fs::file_type::not_found)
    return Fail(ErrorCode::kNotFound, "there is no {}", path.string());
  if (status.type() == fs::file_type::regular) {
    Medium medium(path, MediumForm::kArchive);
    SKERRY_RETURN_IF_ERROR(medium.AddArchive(path), path.string());
    return medium;
  }
  if (status.type() != fs::file_type::directory)
    return Fail(ErrorCode::kPermissionDenied, "{} is neither a plain directory nor a plain file",
                path.string());
  Medium medium(path, MediumForm::kDirectory);
  SKERRY_RETURN_IF_ERROR(medium.AddPacks());
  return medium;
}

Status Medium::AddArchive(const fs::path& file) {
  SKERRY_ASSIGN_OR_RETURN(TarTable table, ReadTarFile(file));
  const auto number = static_cast<std::uint32_t>(archives_.size());
  archives_.push_back(file);
  for (TarEntry& entry : table.entries) {
    // A pack has blobs and nothing else to say.
    const bool wanted =
        entry.name.starts_with(kBlobs) ||
        (form_ == MediumForm::kArchive && entry.name.find('/') == std::string::npos);
    if (!wanted) continue;
    Place place{number, entry.cut, entry.offset, entry.bytes};
    const auto [found, fresh] = places_.try_emplace(std::move(entry.name), place);
    if (fresh && places_.size() > limits::kMediumEntries)
      return Fail(ErrorCode::kTooLarge, "the archives have more than {} entries (kMediumEntries)",
                  limits::kMediumEntries);
    // As with every tar, the later entry counts; but never a cut one for a whole one.
    if (!fresh && !place.cut) found->second = place;
  }
  for (const std::string& sentence : table.damage)
    damage_.push_back(fmt::format("{}: {}", file.filename().string(), sentence));
  return {};
}

Status Medium::AddPacks() {
  const fs::path packs = path_ / kPacks;
  std::error_code error;
  if (fs::symlink_status(packs, error).type() == fs::file_type::not_found) return {};
  SKERRY_RETURN_IF_ERROR(CheckPlainDirectory(packs));
  std::vector<fs::path> files;
  for (fs::directory_iterator entry(packs, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() != ".tar") continue;
    files.push_back(entry->path());
    if (files.size() > limits::kPacks)
      return Fail(ErrorCode::kTooLarge, "{} has more than {} packs (kPacks)", packs.string(),
                  limits::kPacks);
  }
  if (error) return Fail(ErrorCode::kDataLoss, "reading {}: {}", packs.string(), error.message());
  std::ranges::sort(files);
  for (const fs::path& file : files) SKERRY_RETURN_IF_ERROR(AddArchive(file), file.string());
  return {};
}

Result<std::optional<Extent>> Medium::FindLoose(std::string_view name) const {
  if (form_ != MediumForm::kDirectory) return std::nullopt;
  fs::path path = path_;
  std::size_t at = 0;
  for (std::size_t slash = name.find('/'); slash != std::string_view::npos;
       at = slash + 1, slash = name.find('/', at)) {
    path /= name.substr(at, slash - at);
    const Status plain = CheckPlainDirectory(path);
    if (!plain && plain.error().code() == ErrorCode::kNotFound) return std::nullopt;
    if (!plain) return tl::make_unexpected(plain.error());
  }
  path /= name.substr(at);
  std::error_code error;
  const fs::file_status status = fs::symlink_status(path, error);
  if (status.type() == fs::file_type::not_found) return std::nullopt;
  if (status.type() != fs::file_type::regular)
    return Fail(ErrorCode::kPermissionDenied, "{} is not a regular file", path.string());
  const std::uintmax_t bytes = fs::file_size(path, error);
  if (error) return Fail(ErrorCode::kDataLoss, "{}: {}", path.string(), error.message());
  return Extent{std::move(path), 0, bytes};
}

Result<std::optional<Extent>> Medium::FindArchived(const std::string& name) const {
  const auto found = places_.find(name);
  if (found == places_.end()) return std::nullopt;
  const Place& place = found->second;
  if (place.cut)
    return Fail(ErrorCode::kDataLoss, "{} is cut: {} has {} bytes of it", name,
                archives_[place.archive].string(), place.bytes);
  return Extent{archives_[place.archive], place.offset, place.bytes};
}

Result<Extents> Medium::Find(std::string_view name) const {
  SKERRY_ASSIGN_OR_RETURN(std::optional<Extent> whole, FindLoose(name));
  if (!whole) {
    SKERRY_ASSIGN_OR_RETURN(whole, FindArchived(std::string(name)));
  }
  if (whole) return Extents{std::move(*whole)};
  Extents pieces;
  for (int number = 1; number <= kMostPieces; ++number) {
    SKERRY_ASSIGN_OR_RETURN(std::optional<Extent> piece, FindArchived(PieceName(name, number)));
    if (!piece) break;
    pieces.push_back(std::move(*piece));
  }
  if (pieces.empty()) return Fail(ErrorCode::kNotFound, "there is no {}", name);
  return pieces;
}

Result<std::string> Medium::Read(std::string_view name, std::size_t max_bytes) const {
  SKERRY_ASSIGN_OR_RETURN(const Extents extents, Find(name));
  if (BytesOf(extents) > max_bytes)
    return Fail(ErrorCode::kTooLarge, "{} is larger than the limit of {} bytes", name, max_bytes);
  std::string bytes;
  SKERRY_RETURN_IF_ERROR(ReadExtents(extents, [&](std::string_view piece) -> Status {
    bytes += piece;
    return {};
  }));
  return bytes;
}

}  // namespace skerry
