#include "image/elf_file.h"

#include <elf.h>

#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "base/image_limits.h"
#include "oci/plain_file.h"

namespace skerry {
namespace {

template <typename T>
Result<std::vector<T>> ReadTable(const PlainFile& file, std::uint64_t offset, std::uint64_t bytes) {
  if (bytes > limits::kElfTableBytes)
    return Fail(ErrorCode::kTooLarge, "a table of {} bytes, the limit is {} (kElfTableBytes)",
                bytes, limits::kElfTableBytes);
  SKERRY_ASSIGN_OR_RETURN(const std::string text,
                          file.ReadAt(offset, static_cast<std::size_t>(bytes)));
  if (text.size() != bytes) return Fail(ErrorCode::kInvalidArgument, "a table is cut off");
  std::vector<T> table(text.size() / sizeof(T));
  if (!table.empty()) std::memcpy(table.data(), text.data(), table.size() * sizeof(T));
  return table;
}

Result<Elf64_Ehdr> ReadHead(const PlainFile& file) {
  SKERRY_ASSIGN_OR_RETURN(const auto heads, ReadTable<Elf64_Ehdr>(file, 0, sizeof(Elf64_Ehdr)));
  const Elf64_Ehdr& head = heads.front();
  if (std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
    return Fail(ErrorCode::kInvalidArgument, "no ELF file");
  if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != ELFDATA2LSB ||
      head.e_phentsize != sizeof(Elf64_Phdr))
    return Fail(ErrorCode::kInvalidArgument, "ELF of another kind than 64 bits, little-endian");
  return head;
}

// Where a virtual address stands in the file.
std::optional<std::uint64_t> OffsetOf(std::span<const Elf64_Phdr> segments, std::uint64_t address) {
  for (const Elf64_Phdr& segment : segments)
    if (segment.p_type == PT_LOAD && address >= segment.p_vaddr &&
        address - segment.p_vaddr < segment.p_filesz)
      return segment.p_offset + (address - segment.p_vaddr);
  return std::nullopt;
}

std::vector<std::string> AtColons(std::string_view list) {
  std::vector<std::string> parts;
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(':'), list.size());
    if (end > 0) parts.emplace_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return parts;
}

Status ReadDynamic(std::span<const Elf64_Dyn> table, std::string_view strings, ElfFile& elf) {
  std::string rpath, runpath;
  const auto text = [&](const Elf64_Dyn& entry) -> Result<std::string> {
    if (entry.d_un.d_val >= strings.size())
      return Fail(ErrorCode::kInvalidArgument, "a name outside of the table of names");
    const std::string_view rest = strings.substr(static_cast<std::size_t>(entry.d_un.d_val));
    return std::string(rest.substr(0, rest.find('\0')));
  };
  for (const Elf64_Dyn& entry : table) {
    if (entry.d_tag == DT_NULL) break;
    if (entry.d_tag != DT_NEEDED && entry.d_tag != DT_RPATH && entry.d_tag != DT_RUNPATH) continue;
    SKERRY_ASSIGN_OR_RETURN(std::string value, text(entry));
    if (entry.d_tag == DT_RPATH)
      rpath = std::move(value);
    else if (entry.d_tag == DT_RUNPATH)
      runpath = std::move(value);
    else if (elf.needed.size() == limits::kElfNeeded)
      return Fail(ErrorCode::kTooLarge, "it wants more than {} libraries (kElfNeeded)",
                  limits::kElfNeeded);
    else
      elf.needed.push_back(std::move(value));
  }
  elf.search = AtColons(runpath.empty() ? rpath : runpath);
  return {};
}

std::uint64_t ValueOf(std::span<const Elf64_Dyn> table, std::int64_t tag) {
  for (const Elf64_Dyn& entry : table) {
    if (entry.d_tag == DT_NULL) break;
    if (entry.d_tag == tag) return entry.d_un.d_val;
  }
  return 0;
}

Result<ElfFile> Read(const PlainFile& file) {
  SKERRY_ASSIGN_OR_RETURN(const Elf64_Ehdr head, ReadHead(file));
  SKERRY_ASSIGN_OR_RETURN(
      const auto segments,
      ReadTable<Elf64_Phdr>(file, head.e_phoff, std::uint64_t{head.e_phnum} * sizeof(Elf64_Phdr)));
  ElfFile elf;
  elf.machine = head.e_machine;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type == PT_INTERP) {
      SKERRY_ASSIGN_OR_RETURN(const auto name,
                              ReadTable<char>(file, segment.p_offset, segment.p_filesz));
      const std::string_view text(name.data(), name.size());
      elf.interpreter = text.substr(0, text.find('\0'));
    }
    if (segment.p_type != PT_DYNAMIC) continue;
    SKERRY_ASSIGN_OR_RETURN(const auto table,
                            ReadTable<Elf64_Dyn>(file, segment.p_offset, segment.p_filesz));
    const auto offset = OffsetOf(segments, ValueOf(table, DT_STRTAB));
    if (!offset) return Fail(ErrorCode::kInvalidArgument, "it has no table of names");
    SKERRY_ASSIGN_OR_RETURN(const auto strings,
                            ReadTable<char>(file, *offset, ValueOf(table, DT_STRSZ)));
    SKERRY_RETURN_IF_ERROR(ReadDynamic(table, {strings.data(), strings.size()}, elf));
  }
  return elf;
}

}  // namespace

Result<ElfFile> ReadElf(const std::filesystem::path& path) {
  SKERRY_ASSIGN_OR_RETURN(const PlainFile file, PlainFile::Open(path));
  auto elf = Read(file);
  if (!elf) return Propagate(std::move(elf), path.string());
  return elf;
}

}  // namespace skerry
