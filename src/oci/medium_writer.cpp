#include "oci/medium_writer.h"

#include <algorithm>
#include <map>
#include <system_error>

#include "base/ids.h"
#include "base/limits.h"
#include "codec/json.h"
#include "oci/append_file.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

using Written = std::function<void(std::uint64_t)>;

// The digest that a name below blobs/ stands for; none for anything else.
std::optional<Digest> DigestOfName(std::string_view name) {
  constexpr std::string_view kBlobs = "blobs/";
  if (!name.starts_with(kBlobs)) return std::nullopt;
  name.remove_prefix(kBlobs.size());
  const std::size_t slash = name.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string_view hex = name.substr(slash + 1);
  const auto digest =
      Digest::Parse(fmt::format("{}:{}", name.substr(0, slash), hex.substr(0, hex.find('.'))));
  if (!digest) return std::nullopt;
  return *digest;
}

bool IsWhole(const Medium& medium, const Digest& digest) {
  const auto extents = medium.Find(BlobName(digest));
  return extents && VerifyExtents(*extents, digest, BytesOf(*extents)).has_value();
}

// Bytes [offset, offset + bytes) of the blob.
Status ReadPart(const BlobSource& blob, std::uint64_t offset, std::uint64_t bytes,
                const std::function<Status(std::string_view)>& sink) {
  if (const auto* text = std::get_if<std::string>(&blob.content))
    return sink(
        std::string_view(*text).substr(std::min<std::uint64_t>(offset, text->size()), bytes));
  Extents extents;
  if (const auto* path = std::get_if<fs::path>(&blob.content))
    extents.push_back({*path, 0, blob.descriptor.size});
  else
    extents = std::get<Extents>(blob.content);
  Extents part;
  for (Extent& extent : extents) {
    const std::uint64_t skip = std::min(offset, extent.bytes);
    offset -= skip;
    const std::uint64_t take = std::min(bytes, extent.bytes - skip);
    bytes -= take;
    if (take > 0) part.push_back({std::move(extent.file), extent.offset + skip, take});
  }
  return ReadExtents(part, sink);
}

Status CheckDigest(DigestHasher& hasher, const Digest& digest) {
  const Digest have = hasher.Finish();
  if (have == digest) return {};
  return Fail(ErrorCode::kDataLoss, "blob {} is damaged: its content has the digest {}",
              digest.ToString(), have.ToString());
}

// ".<16 hex digits>.tmp": what a writer that was killed leaves.
std::string TemporaryName() { return fmt::format(".{}.tmp", RandomHex(8)); }
bool IsTemporaryName(std::string_view name) {
  constexpr std::string_view kHex = "0123456789abcdef";
  return name.size() == 21 && name.starts_with('.') && name.ends_with(".tmp") &&
         name.substr(1, 16).find_first_not_of(kHex) == std::string_view::npos;
}

void RemoveTemporaries(const fs::path& directory) {
  std::error_code error;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(directory, error))
    if (IsTemporaryName(entry.path().filename().string())) files.push_back(entry.path());
  for (const fs::path& file : files) fs::remove(file, error);
}

// Whether there is nothing but such.
Result<bool> IsAsGoodAsEmpty(const fs::path& directory) {
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error))
    if (!IsTemporaryName(entry->path().filename().string())) return false;
  if (error)
    return Fail(ErrorCode::kPermissionDenied, "{}: {}", directory.string(), error.message());
  return true;
}

// For whoever finds the medium; no reader needs it.
std::string SealedNote(const AgeRecipient& receiver, int packs) {
  return DumpJson(Json{{"about",
                        "packs/ is encrypted to the receiver alone (age-encryption.org/v1); stock "
                        "tools for OCI layouts cannot read it. skerry bundle import, at the "
                        "receiver, takes it in"},
                       {"receiver", receiver.ToString()},
                       {"packs", packs}});
}

}  // namespace

Result<MediumWriter> MediumWriter::Open(const fs::path& path, MediumForm form,
                                        std::string_view plan, std::string_view index,
                                        MediumBounds bounds) {
  MediumWriter writer(path, form, bounds);
  SKERRY_RETURN_IF_ERROR(form == MediumForm::kDirectory ? writer.OpenDirectory(plan, index)
                                                        : writer.OpenArchive(plan));
  return writer;
}

Result<MediumWriter> MediumWriter::Seal(const fs::path& path, const AgeRecipient& receiver,
                                        MediumBounds bounds) {
  MediumWriter writer(path, MediumForm::kSealed, bounds);
  writer.receiver_ = receiver;
  SKERRY_RETURN_IF_ERROR(writer.OpenSealed());
  return writer;
}

// What an interrupted writer left, which nobody here can read, is removed.
Status MediumWriter::OpenSealed() {
  SKERRY_RETURN_IF_ERROR(CreateDirectories(path_));
  std::error_code error;
  std::vector<fs::path> packs;
  bool ours = true;
  for (const auto& entry : fs::directory_iterator(path_, error))
    ours = ours && (entry.path().filename() == "packs" ||
                    IsTemporaryName(entry.path().filename().string()));
  for (const auto& entry : fs::directory_iterator(path_ / "packs", error)) {
    ours = ours && entry.path().extension() == ".age";
    packs.push_back(entry.path());
  }
  if (!ours)
    return Fail(ErrorCode::kAlreadyExists, "{} is not empty: give a new directory", path_.string());
  for (const fs::path& pack : packs) SKERRY_RETURN_IF_ERROR(RemoveFile(pack));
  RemoveTemporaries(path_);
  return {};
}

fs::path MediumWriter::PartialPath() const {
  fs::path partial = path_;
  partial += ".partial";
  return partial;
}

Status MediumWriter::OpenDirectory(std::string_view plan, std::string_view index) {
  SKERRY_RETURN_IF_ERROR(CreateDirectories(path_));
  SKERRY_ASSIGN_OR_RETURN(const bool empty, IsAsGoodAsEmpty(path_));
  std::error_code error;
  const fs::path blobs = path_ / "blobs" / "sha256";
  if (empty) {
    RemoveTemporaries(path_);
    return {};
  }
  if (!fs::exists(path_ / plan, error) || fs::exists(path_ / index, error))
    return Fail(ErrorCode::kAlreadyExists, "{} is not empty: give a new directory", path_.string());
  SKERRY_ASSIGN_OR_RETURN(const Medium medium, Medium::Open(path_));
  SKERRY_ASSIGN_OR_RETURN(unfinished_plan_, medium.Read(plan, limits::kIndexBytes));
  SKERRY_RETURN_IF_ERROR(CreateDirectories(blobs));
  RemoveTemporaries(path_);
  RemoveTemporaries(blobs);
  return GoOnWithPacks(medium);
}

Status MediumWriter::OpenArchive(std::string_view plan) {
  std::error_code error;
  if (fs::exists(fs::symlink_status(path_, error)))
    return Fail(ErrorCode::kAlreadyExists, "{} is there already: give a new name", path_.string());
  const fs::path partial = PartialPath();
  std::uint64_t keep = 0;
  if (fs::exists(fs::symlink_status(partial, error))) {
    SKERRY_ASSIGN_OR_RETURN(const Medium medium, Medium::Open(partial));
    if (auto left = medium.Read(plan, limits::kIndexBytes)) {
      unfinished_plan_ = std::move(*left);
      KeptNames kept;
      SKERRY_ASSIGN_OR_RETURN(keep, WholeBytesOf(partial, medium, kept));
      NotePacked(medium, kept);
    }
  }
  SKERRY_ASSIGN_OR_RETURN(archive_, TarWriter::Open(partial, keep));
  return {};
}

// How far an archive of an interrupted writer is good: up to the first entry that is not part of a
// whole blob. Notes the entries of blobs before it.
Result<std::uint64_t> MediumWriter::WholeBytesOf(const fs::path& archive, const Medium& medium,
                                                 KeptNames& kept) {
  SKERRY_ASSIGN_OR_RETURN(const TarTable table, ReadTarFile(archive));
  std::map<Digest, bool> checked;
  std::uint64_t good = 0;
  for (const TarEntry& entry : table.entries) {
    const std::uint64_t end = entry.offset + (entry.bytes + kTarBlock - 1) / kTarBlock * kTarBlock;
    // Behind damage nothing is kept, so that what is kept is one run of bytes.
    if (entry.cut || entry.offset != good + kTarBlock || end > table.end) return good;
    if (const auto digest = DigestOfName(entry.name)) {
      const auto [found, fresh] = checked.try_emplace(*digest, false);
      if (fresh) found->second = IsWhole(medium, *digest);
      if (!found->second) return good;
      kept[*digest].insert(entry.name);
    }
    good = end;
  }
  return good;
}

// Blobs all of whose entries were kept.
void MediumWriter::NotePacked(const Medium& medium, const KeptNames& kept) {
  for (const auto& [digest, names] : kept) {
    const auto extents = medium.Find(BlobName(digest));
    if (extents && extents->size() == names.size()) packed_.insert(digest);
  }
}

Status MediumWriter::GoOnWithPacks(const Medium& medium) {
  std::error_code error;
  bool whole = true;
  KeptNames kept;
  for (int number = 1; fs::exists(path_ / PackName(number), error); ++number) {
    const fs::path pack = path_ / PackName(number);
    if (!whole) {
      SKERRY_RETURN_IF_ERROR(RemoveFile(pack));
      continue;
    }
    SKERRY_ASSIGN_OR_RETURN(const std::uint64_t keep, WholeBytesOf(pack, medium, kept));
    packs_ = number;
    // Closed packs end with two empty blocks; anything else was being written.
    whole = fs::file_size(pack, error) == keep + 2 * kTarBlock;
    if (whole) continue;
    SKERRY_ASSIGN_OR_RETURN(archive_, TarWriter::Open(pack, keep));
  }
  NotePacked(medium, kept);
  return {};
}

Status MediumWriter::WriteFile(std::string_view name, std::string_view bytes) {
  if (form_ == MediumForm::kDirectory) return WriteLooseFile(name, bytes);
  SKERRY_ASSIGN_OR_RETURN(TarWriter * archive, Archive());
  SKERRY_RETURN_IF_ERROR(archive->Add(name, bytes));
  return archive->Sync();
}

Status MediumWriter::WriteLooseFile(std::string_view name, std::string_view bytes) {
  // Not WriteFileDurably: a stick's file system may know no modes.
  const fs::path temporary = path_ / TemporaryName();
  SKERRY_ASSIGN_OR_RETURN(AppendFile file,
                          AppendFile::Open(temporary, AppendFile::Mode::kCreateNew));
  SKERRY_RETURN_IF_ERROR(file.Write(bytes));
  return PublishFileDurably(temporary, path_ / name);
}

Status MediumWriter::AddBlob(const BlobSource& blob, const Written& written) {
  const Digest& digest = blob.descriptor.digest;
  if (here_.contains(digest)) {
    written(blob.descriptor.size);
    return {};
  }
  SKERRY_ASSIGN_OR_RETURN(const bool kept, KeepLoose(blob));
  if (kept || packed_.contains(digest)) {
    ++kept_blobs_;
    written(blob.descriptor.size);
  } else if (form_ == MediumForm::kDirectory && loose_ < bounds_.loose_blobs &&
             blob.descriptor.size <= bounds_.loose_blob_bytes) {
    SKERRY_RETURN_IF_ERROR(WriteLoose(blob, written));
    ++loose_;
  } else {
    SKERRY_RETURN_IF_ERROR(WriteArchived(blob, written));
  }
  here_.insert(digest);
  return {};
}

// Whether an interrupted writer has left this blob as a whole file.
Result<bool> MediumWriter::KeepLoose(const BlobSource& blob) {
  if (form_ != MediumForm::kDirectory || !unfinished_plan_) return false;
  const fs::path path = path_ / BlobName(blob.descriptor.digest);
  const Status whole = VerifyFile(path, blob.descriptor.digest, blob.descriptor.size);
  if (whole) ++loose_;
  if (!whole && whole.error().code() != ErrorCode::kNotFound)
    SKERRY_RETURN_IF_ERROR(RemoveFile(path));
  return whole.has_value();
}

Status MediumWriter::WriteLoose(const BlobSource& blob, const Written& written) {
  const Digest& digest = blob.descriptor.digest;
  const fs::path target = path_ / BlobName(digest);
  SKERRY_RETURN_IF_ERROR(CreateDirectories(target.parent_path()));
  const fs::path temporary = target.parent_path() / TemporaryName();
  SKERRY_ASSIGN_OR_RETURN(AppendFile file,
                          AppendFile::Open(temporary, AppendFile::Mode::kCreateNew));
  DigestHasher hasher(digest.algorithm());
  Status status = blob.ReadPieces([&](std::string_view piece) -> Status {
    hasher.Update(piece);
    written(piece.size());
    return file.Write(piece);
  });
  if (status) status = CheckDigest(hasher, digest);
  if (!status) {
    std::error_code ignored;
    fs::remove(temporary, ignored);
    return status;
  }
  return PublishFileDurably(temporary, target);
}

Result<TarWriter*> MediumWriter::Archive() {
  if (form_ == MediumForm::kArchive) return &*archive_;
  if (archive_ && archive_->size() >= bounds_.pack_bytes) SKERRY_RETURN_IF_ERROR(ClosePack());
  if (!archive_) {
    SKERRY_RETURN_IF_ERROR(CreateDirectories(path_ / "packs"));
    ++packs_;
    SKERRY_ASSIGN_OR_RETURN(archive_,
                            receiver_ ? TarWriter::Seal(path_ / SealedPackName(packs_), *receiver_)
                                      : TarWriter::Open(path_ / PackName(packs_), 0));
  }
  return &*archive_;
}

Status MediumWriter::ClosePack() {
  if (!archive_) return {};
  SKERRY_RETURN_IF_ERROR(archive_->Close());
  SKERRY_RETURN_IF_ERROR(archive_->Sync());
  archive_.reset();
  return {};
}

Status MediumWriter::WriteArchived(const BlobSource& blob, const Written& written) {
  const Digest& digest = blob.descriptor.digest;
  const std::uint64_t size = blob.descriptor.size;
  DigestHasher hasher(digest.algorithm());
  std::uint64_t done = 0;
  int number = 0;
  do {
    const std::uint64_t bytes = std::min(bounds_.piece_bytes, size - done);
    const bool in_pieces = size > bounds_.piece_bytes;
    const std::string name = in_pieces ? PieceName(BlobName(digest), ++number) : BlobName(digest);
    SKERRY_ASSIGN_OR_RETURN(TarWriter * archive, Archive());
    const Status added = archive->Add(name, bytes, [&](const auto& sink) -> Status {
      SKERRY_RETURN_IF_ERROR(ReadPart(blob, done, bytes, [&](std::string_view piece) -> Status {
        hasher.Update(piece);
        written(piece.size());
        return sink(piece);
      }));
      // The last piece is taken back when the whole turns out to be something else.
      return done + bytes == size ? CheckDigest(hasher, digest) : Status();
    });
    SKERRY_RETURN_IF_ERROR(added);
    done += bytes;
  } while (done < size);
  return {};
}

// Loose blobs that an interrupted writer left and that this bundle does not name.
Status MediumWriter::RemoveStrangers() {
  if (!unfinished_plan_ || form_ != MediumForm::kDirectory) return {};
  std::error_code error;
  std::vector<fs::path> strangers;
  for (const auto& entry : fs::directory_iterator(path_ / "blobs" / "sha256", error)) {
    const auto digest = DigestOfName("blobs/sha256/" + entry.path().filename().string());
    if (!digest || !here_.contains(*digest)) strangers.push_back(entry.path());
  }
  for (const fs::path& file : strangers) SKERRY_RETURN_IF_ERROR(RemoveFile(file));
  return {};
}

Status MediumWriter::Finish(std::string_view name, std::string_view bytes) {
  if (form_ == MediumForm::kArchive) {
    SKERRY_RETURN_IF_ERROR(archive_->Sync());  // before the index says that all is there
    SKERRY_RETURN_IF_ERROR(archive_->Add(name, bytes));
    SKERRY_RETURN_IF_ERROR(archive_->Close());
    SKERRY_RETURN_IF_ERROR(archive_->Sync());
    return PublishFileDurably(PartialPath(), path_);
  }
  if (form_ == MediumForm::kSealed) SKERRY_RETURN_IF_ERROR(WriteFile(name, bytes));
  SKERRY_RETURN_IF_ERROR(ClosePack());
  if (packs_ > 0) SKERRY_RETURN_IF_ERROR(SyncDirectory(path_ / "packs"));
  if (form_ == MediumForm::kSealed)
    return WriteLooseFile(kSealedNote, SealedNote(*receiver_, packs_));
  SKERRY_RETURN_IF_ERROR(RemoveStrangers());
  return WriteLooseFile(name, bytes);
}

}  // namespace skerry
