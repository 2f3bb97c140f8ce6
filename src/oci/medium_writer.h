// Writes the files of a layout onto a medium, as medium.h reads them: a directory or one archive.
//
// In a directory the first blobs are loose files; when there are more than
// MediumBounds::loose_blobs, or one is larger than a file of FAT32 can be, they go into packs
// (archives below packs/). Each loose file is written under a temporary name, compared with its
// digest on the way, synced and renamed; an archive is written from its end on under the name
// FILE.partial. What was interrupted is gone on with: blobs that are whole are read and kept, an
// archive is cut behind its last whole blob. Of a sealed medium, everything goes into encrypted
// packs, and since only the receiver can read them an interrupted one is begun again. Not
// thread-safe; borrows nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/media_limits.h"
#include "crypto/age.h"
#include "crypto/digest.h"
#include "oci/artifact.h"
#include "oci/medium.h"
#include "oci/tar_writer.h"

namespace skerry {

struct MediumBounds {
  std::size_t loose_blobs = limits::kLooseBlobs;
  std::uint64_t loose_blob_bytes = limits::kLooseBlobBytes;
  std::uint64_t piece_bytes = limits::kPieceBytes;
  std::uint64_t pack_bytes = limits::kPackBytes;
};

class MediumWriter {
 public:
  // A new medium; or one that has `plan` and not `index`, which is gone on with. kAlreadyExists for
  // anything else that is there.
  static Result<MediumWriter> Open(const std::filesystem::path& path, MediumForm form,
                                   std::string_view plan, std::string_view index,
                                   MediumBounds bounds);
  // A new medium that `receiver` alone can read.
  static Result<MediumWriter> Seal(const std::filesystem::path& path, const AgeRecipient& receiver,
                                   MediumBounds bounds);

  // What an interrupted writer left of `plan`; none when the medium is new.
  const std::optional<std::string>& unfinished_plan() const { return unfinished_plan_; }

  // A small file beside the blobs; replaces one of an interrupted writer. Durable on return.
  Status WriteFile(std::string_view name, std::string_view bytes);
  // A blob that is here already is not written again. kDataLoss when the source is not what its
  // descriptor says; nothing of it stays. `written` is told of every piece, also of kept blobs.
  Status AddBlob(const BlobSource& blob, const std::function<void(std::uint64_t)>& written);
  // Writes `name`, the last file, and syncs everything. Call once.
  Status Finish(std::string_view name, std::string_view bytes);
  std::uint64_t kept_blobs() const { return kept_blobs_; }

 private:
  MediumWriter(std::filesystem::path path, MediumForm form, MediumBounds bounds)
      : path_(std::move(path)), form_(form), bounds_(bounds) {}
  Status OpenDirectory(std::string_view plan, std::string_view index);
  Status OpenArchive(std::string_view plan);
  Status OpenSealed();
  Status WriteLooseFile(std::string_view name, std::string_view bytes);
  using KeptNames = std::map<Digest, std::set<std::string>>;  // entries of archives, by blob
  Result<std::uint64_t> WholeBytesOf(const std::filesystem::path& archive, const Medium& medium,
                                     KeptNames& kept);
  void NotePacked(const Medium& medium, const KeptNames& kept);
  Status GoOnWithPacks(const Medium& medium);
  Status RemoveStrangers();
  Result<bool> KeepLoose(const BlobSource& blob);
  Status WriteLoose(const BlobSource& blob, const std::function<void(std::uint64_t)>& written);
  Status WriteArchived(const BlobSource& blob, const std::function<void(std::uint64_t)>& written);
  Result<TarWriter*> Archive();
  Status ClosePack();
  std::filesystem::path PartialPath() const;

  std::filesystem::path path_;
  MediumForm form_;
  MediumBounds bounds_;
  std::optional<AgeRecipient> receiver_;
  std::optional<std::string> unfinished_plan_;
  std::set<Digest> here_;    // written or kept, in this run
  std::set<Digest> packed_;  // whole in archives that an interrupted writer left
  std::size_t loose_ = 0;
  std::uint64_t kept_blobs_ = 0;
  int packs_ = 0;
  std::optional<TarWriter> archive_;  // the pack under way, or the one archive
};

}  // namespace skerry
