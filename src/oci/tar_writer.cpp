#include "oci/tar_writer.h"

#include <algorithm>
#include <string>
#include <system_error>

#include "oci/tar_header.h"
#include "oci/tar_reader.h"

namespace skerry {

Result<TarWriter> TarWriter::Open(const std::filesystem::path& path, std::uint64_t keep) {
  std::error_code error;
  if (std::filesystem::exists(path, error) && std::filesystem::file_size(path, error) > keep)
    std::filesystem::resize_file(path, keep, error);
  if (error)
    return Fail(ErrorCode::kInternal, "cutting {} to {} bytes: {}", path.string(), keep,
                error.message());
  SKERRY_ASSIGN_OR_RETURN(AppendFile file,
                          AppendFile::Open(path, AppendFile::Mode::kCreateOrExisting));
  return TarWriter(path, std::move(file));
}

Result<TarWriter> TarWriter::Seal(const std::filesystem::path& path,
                                  const AgeRecipient& recipient) {
  SKERRY_ASSIGN_OR_RETURN(AgeAppendFile file, AgeAppendFile::Create(path, recipient));
  return TarWriter(path, std::move(file));
}

Status TarWriter::Write(std::string_view bytes) {
  return std::visit([&](auto& file) { return file.Write(bytes); }, file_);
}
Status TarWriter::Sync() {
  return std::visit([](auto& file) { return file.Sync(); }, file_);
}
std::uint64_t TarWriter::size() const {
  return std::visit([](const auto& file) { return file.size(); }, file_);
}

Status TarWriter::CutTo(std::uint64_t size) {
  if (auto* sealed = std::get_if<AgeAppendFile>(&file_)) return sealed->CutTo(size);
  SKERRY_ASSIGN_OR_RETURN(TarWriter again, Open(path_, size));
  file_ = std::move(again.file_);
  return {};
}

Status TarWriter::Add(std::string_view name, std::uint64_t bytes, const Content& content) {
  SKERRY_ASSIGN_OR_RETURN(const std::string header,
                          TarHeader({.name = std::string(name), .bytes = bytes}));
  const std::uint64_t start = size();
  std::uint64_t written = 0;
  Status status = Write(header);
  if (status)
    status = content([&](std::string_view piece) -> Status {
      written += piece.size();
      if (written > bytes)
        return Fail(ErrorCode::kDataLoss, "\"{}\" has more than the {} bytes that are due", name,
                    bytes);
      return Write(piece);
    });
  if (status && written != bytes)
    status =
        Fail(ErrorCode::kDataLoss, "\"{}\" has {} bytes where {} are due", name, written, bytes);
  if (status) status = Write(std::string((kTarBlock - bytes % kTarBlock) % kTarBlock, '\0'));
  if (status) return {};
  SKERRY_RETURN_IF_ERROR(CutTo(start));
  return status;
}

Status TarWriter::Add(std::string_view name, std::string_view content) {
  return Add(name, content.size(), [&](const auto& sink) { return sink(content); });
}

Status TarWriter::Close() {
  SKERRY_RETURN_IF_ERROR(Write(std::string(2 * kTarBlock, '\0')));
  auto* sealed = std::get_if<AgeAppendFile>(&file_);
  return sealed != nullptr ? sealed->Close() : Status();
}

}  // namespace skerry
