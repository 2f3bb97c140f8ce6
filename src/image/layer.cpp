#include "image/layer.h"

#include "image/gzip_file.h"
#include "image/image_types.h"
#include "oci/digest_file.h"
#include "oci/plain_file.h"
#include "oci/tar_reader.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

std::string Padding(std::uint64_t bytes) {
  return std::string((kTarBlock - bytes % kTarBlock) % kTarBlock, '\0');
}

Status WriteFileEntry(GzipFile& out, TarHead header, const fs::path& source) {
  SKERRY_ASSIGN_OR_RETURN(const PlainFile file, PlainFile::Open(source));
  header.bytes = file.size();
  SKERRY_ASSIGN_OR_RETURN(const std::string block, TarHeader(header));
  SKERRY_RETURN_IF_ERROR(out.Write(block));
  std::uint64_t written = 0;
  SKERRY_RETURN_IF_ERROR(ReadPieces(source, 0, [&](std::string_view piece) -> Status {
    written += piece.size();
    if (written > header.bytes)
      return Fail(ErrorCode::kDataLoss, "{} grew while it was read", source.string());
    return out.Write(piece);
  }));
  if (written != header.bytes)
    return Fail(ErrorCode::kDataLoss, "{} shrank while it was read", source.string());
  return out.Write(Padding(header.bytes));
}

}  // namespace

void LayerTree::Put(const std::string& path, Entry entry) {
  for (std::size_t at = path.find('/'); at != std::string::npos; at = path.find('/', at + 1))
    if (!entries_.contains(path.substr(0, at))) AddDirectory(path.substr(0, at));
  entry.header.name = path;
  entries_[path] = std::move(entry);
}

void LayerTree::AddFile(const std::string& path, const fs::path& source, unsigned mode) {
  Put(path, {{.name = {}, .mode = mode}, source});
}

void LayerTree::AddText(const std::string& path, std::string text, unsigned mode) {
  Put(path, {{.name = {}, .bytes = text.size(), .mode = mode}, std::move(text)});
}

void LayerTree::AddLink(const std::string& path, std::string target) {
  Put(path, {{.name = {}, .type = TarHeadType::kSymlink, .mode = 0777, .link = std::move(target)},
             std::string()});
}

void LayerTree::AddDirectory(const std::string& path, unsigned mode, unsigned owner) {
  Put(path,
      {{.name = {}, .type = TarHeadType::kDirectory, .mode = mode, .owner = owner, .group = owner},
       std::string()});
}

Result<Layer> LayerTree::Write(const fs::path& file) const {
  SKERRY_ASSIGN_OR_RETURN(GzipFile out, GzipFile::Create(file));
  for (const auto& [path, entry] : entries_) {
    if (const auto* source = std::get_if<fs::path>(&entry.content)) {
      SKERRY_RETURN_IF_ERROR(WriteFileEntry(out, entry.header, *source), path);
      continue;
    }
    TarHead header = entry.header;
    if (header.type == TarHeadType::kDirectory) header.name += '/';
    SKERRY_ASSIGN_OR_RETURN(const std::string block, TarHeader(header));
    const auto& text = std::get<std::string>(entry.content);
    SKERRY_RETURN_IF_ERROR(out.Write(block + text + Padding(text.size())));
  }
  SKERRY_RETURN_IF_ERROR(out.Write(std::string(2 * kTarBlock, '\0')));
  SKERRY_RETURN_IF_ERROR(out.Finish());
  Layer layer;
  layer.blob.descriptor.media_type = media_types::kImageLayerGzip;
  layer.blob.descriptor.digest = out.digests().file;
  layer.blob.descriptor.size = out.digests().file_bytes;
  layer.blob.content = file;
  layer.diff_id = out.digests().content;
  layer.name = name_;
  return layer;
}

}  // namespace skerry
