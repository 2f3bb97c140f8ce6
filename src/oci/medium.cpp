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
std::string SealedPackName(int number) { return PackName(number) + ".age"; }

Result<Medium> Medium::Open(const fs::path& path, const AgeIdentity* identity) {
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
  SKERRY_RETURN_IF_ERROR(medium.AddPacks(identity));
  return medium;
}

Status Medium::AddArchive(const fs::path& file, const AgeIdentity* identity) {
  if (identity == nullptr) {
    archives_.push_back({file});
    SKERRY_ASSIGN_OR_RETURN(TarTable table, ReadTarFile(file));
    return AddTable(std::move(table), file);
  }
  auto sealed = AgeFile::Open(file, *identity);
  // A head that is damaged costs this pack; the others have their own.
  if (!sealed && sealed.error().code() == ErrorCode::kDataLoss) {
    damage_.push_back(sealed.error().message());
    return {};
  }
  if (!sealed) return tl::make_unexpected(sealed.error());
  archives_.push_back({file, *sealed});
  SKERRY_ASSIGN_OR_RETURN(TarTable table, ReadSealedTar(**sealed));
  return AddTable(std::move(table), file);
}

// Of the last archive.
Status Medium::AddTable(TarTable table, const fs::path& file) {
  const auto number = static_cast<std::uint32_t>(archives_.size() - 1);
  for (TarEntry& entry : table.entries) {
    // A pack of a directory has blobs and nothing else to say.
    const bool wanted =
        entry.name.starts_with(kBlobs) ||
        (form_ != MediumForm::kDirectory && entry.name.find('/') == std::string::npos);
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

Status Medium::AddPacks(const AgeIdentity* identity) {
  const fs::path packs = path_ / kPacks;
  std::error_code error;
  if (fs::symlink_status(packs, error).type() == fs::file_type::not_found) return {};
  SKERRY_RETURN_IF_ERROR(CheckPlainDirectory(packs));
  std::vector<fs::path> files;
  std::vector<fs::path> sealed;
  for (fs::directory_iterator entry(packs, error), end; !error && entry != end;
       entry.increment(error)) {
    const fs::path& file = entry->path();
    if (file.extension() == ".tar") files.push_back(file);
    if (file.extension() == ".age" && file.stem().extension() == ".tar") sealed.push_back(file);
    if (files.size() + sealed.size() > limits::kPacks)
      return Fail(ErrorCode::kTooLarge, "{} has more than {} packs (kPacks)", packs.string(),
                  limits::kPacks);
  }
  if (error) return Fail(ErrorCode::kDataLoss, "reading {}: {}", packs.string(), error.message());
  if (!sealed.empty()) {
    if (identity == nullptr)
      return Fail(ErrorCode::kPermissionDenied,
                  "{} is encrypted ({} says to whom): its receiver can read it, or who has the "
                  "receiver's key (--identity)",
                  path_.string(), kSealedNote);
    form_ = MediumForm::kSealed;
    files = std::move(sealed);
  } else {
    identity = nullptr;
  }
  std::ranges::sort(files);
  for (const fs::path& file : files)
    SKERRY_RETURN_IF_ERROR(AddArchive(file, identity), file.string());
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
                archives_[place.archive].file.string(), place.bytes);
  const Archive& archive = archives_[place.archive];
  return Extent{archive.file, place.offset, place.bytes, archive.sealed};
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
