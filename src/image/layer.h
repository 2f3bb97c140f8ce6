// One layer of a container image: a tar of a file tree, compressed with gzip. The same tree gives
// the same bytes wherever and whenever: entries are sorted by name, each directory is there before
// what is in it, owners are numbers, and every time is the epoch's.
//
// LayerTree is a value that is filled and then written. Not thread-safe; several may be written at
// once.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <variant>

#include "base/error.h"
#include "crypto/digest.h"
#include "oci/artifact.h"
#include "oci/tar_header.h"

namespace skerry {

struct Layer {
  BlobSource blob;   // a file, of media type kImageLayerGzip
  Digest diff_id;    // of the tar
  std::string name;  // what it is, for people and for the image's history
};

class LayerTree {
 public:
  explicit LayerTree(std::string name) : name_(std::move(name)) {}

  // `path` is where it stands in the image, without a leading "/"; directories above it are made
  // (0755, root). What stands there already is replaced.
  void AddFile(const std::string& path, const std::filesystem::path& source, unsigned mode = 0644);
  void AddText(const std::string& path, std::string text, unsigned mode = 0644);
  void AddLink(const std::string& path, std::string target);
  void AddDirectory(const std::string& path, unsigned mode = 0755, unsigned owner = 0);
  bool Has(const std::string& path) const { return entries_.contains(path); }

  // Writes it into a new file; kNotFound and kDataLoss name a source that is gone or grew
  // meanwhile.
  Result<Layer> Write(const std::filesystem::path& file) const;

 private:
  struct Entry {
    TarHead header;
    std::variant<std::string, std::filesystem::path> content;  // text, or the file that has it
  };
  void Put(const std::string& path, Entry entry);

  std::string name_;
  std::map<std::string, Entry> entries_;
};

}  // namespace skerry
