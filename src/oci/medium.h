// Where the files of a layout stand on a medium: in a directory, in the packs of one, or in a tar.
//
//   DIR/oci-layout, contents.json, index.json, blobs/<algorithm>/<hex>     loose files
//   DIR/packs/<8 digits>.tar                                               more of blobs/
//   FILE.tar                                                               all of it in one archive
//   DIR/packs/<8 digits>.tar.age, DIR/sealed.json   all of it in archives encrypted to one receiver
// A blob of an archive that is larger than limits::kPieceBytes stands there in pieces, named
// blobs/<algorithm>/<hex>.part0001, .part0002, ...; they are joined by Find.
//
// A medium is trusted for nothing. Loose files are looked at when they are asked for; archives are
// refused as a whole for links, devices and names that leave them (tar_reader.h). No content is
// compared here: that is for who knows the digest. Immutable after Open; thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "crypto/age.h"
#include "crypto/digest.h"
#include "oci/digest_file.h"
#include "oci/tar_file.h"

namespace skerry {

enum class MediumForm : std::uint8_t { kDirectory, kArchive, kSealed };

// Names within a medium.
std::string BlobName(const Digest& digest);                // "blobs/sha256/<hex>"
std::string PieceName(std::string_view blob, int number);  // "<blob>.part0001"
std::string PackName(int number);                          // "packs/00000001.tar"
std::string SealedPackName(int number);                    // "packs/00000001.tar.age"
constexpr std::string_view kSealedNote = "sealed.json";    // written last; for people

class Medium {
 public:
  // kNotFound; kPermissionDenied for links, devices, archives with such entries, and a sealed
  // medium without the `identity` of its receiver; kTooLarge over limits::kMediumEntries or kPacks.
  static Result<Medium> Open(const std::filesystem::path& path,
                             const AgeIdentity* identity = nullptr);

  MediumForm form() const { return form_; }
  const std::filesystem::path& path() const { return path_; }
  // What is wrong with its archives, a sentence each. What it means for a blob, Find says.
  const std::vector<std::string>& damage() const { return damage_; }

  // The file's bytes. kNotFound; kDataLoss for a file of an archive that is cut; kPermissionDenied
  // for a loose one that is a link or device, or stands behind one.
  Result<Extents> Find(std::string_view name) const;
  // The same, read; kTooLarge over `max_bytes`.
  Result<std::string> Read(std::string_view name, std::size_t max_bytes) const;

 private:
  struct Place {
    std::uint32_t archive = 0;
    bool cut = false;
    std::uint64_t offset = 0, bytes = 0;
  };

  Medium(std::filesystem::path path, MediumForm form) : path_(std::move(path)), form_(form) {}
  Status AddArchive(const std::filesystem::path& file, const AgeIdentity* identity = nullptr);
  Status AddTable(TarTable table, const std::filesystem::path& file);
  Status AddPacks(const AgeIdentity* identity);
  Result<std::optional<Extent>> FindLoose(std::string_view name) const;
  Result<std::optional<Extent>> FindArchived(const std::string& name) const;

  std::filesystem::path path_;
  MediumForm form_;
  struct Archive {
    std::filesystem::path file;
    std::shared_ptr<const AgeFile> sealed{};
  };
  std::vector<Archive> archives_;
  std::unordered_map<std::string, Place> places_;
  std::vector<std::string> damage_;
};

}  // namespace skerry
