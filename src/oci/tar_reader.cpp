#include "oci/tar_reader.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "base/media_limits.h"

namespace skerry {
namespace {

// Fields of a header: offset and length (POSIX.1-1988 ustar).
struct Field {
  std::size_t at, bytes;
};
constexpr Field kName{0, 100}, kSize{124, 12}, kChecksum{148, 8}, kMagic{257, 5}, kPrefix{345, 155};
constexpr std::size_t kTypeAt = 156;
constexpr std::size_t kSearchBytes = 256U << 10U;
constexpr std::size_t kDamageListed = 100;

std::string_view TextOf(std::string_view header, Field field) {
  const std::string_view text = header.substr(field.at, field.bytes);
  return text.substr(0, text.find('\0'));
}

// Octal, between blanks; or base 256 as GNU tar writes sizes over 8 GiB.
std::optional<std::uint64_t> NumberOf(std::string_view header, Field field) {
  const std::string_view text = header.substr(field.at, field.bytes);
  std::uint64_t value = 0;
  if ((static_cast<unsigned char>(text[0]) & 0x80U) != 0) {
    for (std::size_t i = 1; i < text.size(); ++i) {
      if (value >> 55U != 0) return std::nullopt;
      value = value << 8U | static_cast<unsigned char>(text[i]);
    }
    return value;
  }
  bool any = false;
  for (const char c : text) {
    if (c == '\0' || (c == ' ' && any)) break;
    if (c == ' ') continue;
    if (c < '0' || c > '7') return std::nullopt;
    value = value << 3U | static_cast<std::uint64_t>(c - '0');
    any = true;
  }
  if (!any) return std::nullopt;
  return value;
}

bool IsHeader(std::string_view block) {
  if (block.size() != kTarBlock || !block.substr(kMagic.at).starts_with("ustar")) return false;
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < block.size(); ++i) {
    const bool blank = i >= kChecksum.at && i < kChecksum.at + kChecksum.bytes;
    sum += blank ? 0x20U : static_cast<unsigned char>(block[i]);
  }
  return NumberOf(block, kChecksum) == sum && NumberOf(block, kSize).has_value();
}

bool IsZero(std::string_view block) {
  return std::ranges::all_of(block, [](char c) { return c == '\0'; });
}

// A name as people may see it in a message.
std::string Printable(std::string_view name) {
  std::string text(name.substr(0, 120));
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) c = '?';
  return text;
}

Result<std::string> SafeName(std::string_view header) {
  std::string name(TextOf(header, kPrefix));
  if (!name.empty()) name += '/';
  name += TextOf(header, kName);
  while (name.starts_with("./")) name.erase(0, 2);
  if (name.starts_with('/'))
    return Fail(ErrorCode::kPermissionDenied, "the archive has an absolute name, \"{}\"",
                Printable(name));
  for (std::size_t at = 0; at <= name.size();) {
    const std::size_t slash = std::min(name.find('/', at), name.size());
    if (std::string_view(name).substr(at, slash - at) == "..")
      return Fail(ErrorCode::kPermissionDenied, "the archive has a name that leaves it, \"{}\"",
                  Printable(name));
    at = slash + 1;
  }
  return name;
}

class TableReader {
 public:
  explicit TableReader(const TarSource& source) : source_(source) {}

  Result<TarTable> Read() {
    while (at_ < source_.size) {
      SKERRY_ASSIGN_OR_RETURN(const std::string block, source_.read(at_, kTarBlock));
      Status step;
      if (IsHeader(block))
        step = Take(block);
      else
        step = Search(IsZero(block));
      SKERRY_RETURN_IF_ERROR(step);
    }
    return std::move(table_);
  }

 private:
  void Damaged(std::string sentence) {
    if (table_.damage.size() < kDamageListed) table_.damage.push_back(std::move(sentence));
  }

  Status Take(const std::string& header) {
    if (++headers_ > limits::kMediumEntries)
      return Fail(ErrorCode::kTooLarge, "the archive has more than {} entries (kMediumEntries)",
                  limits::kMediumEntries);
    SKERRY_ASSIGN_OR_RETURN(std::string name, SafeName(header));
    const std::uint64_t bytes = *NumberOf(header, kSize);
    const std::uint64_t offset = at_ + kTarBlock;
    const std::uint64_t there = std::min(bytes, source_.size - std::min(offset, source_.size));
    const char type = header[kTypeAt];
    switch (type) {
      case '0':
      case '\0':
      case '7': {  // contiguous: a regular file to everybody
        const bool cut = there != bytes;
        if (cut) Damaged(fmt::format("the archive ends within \"{}\"", Printable(name)));
        table_.entries.push_back({std::move(name), offset, there, cut});
        break;
      }
      case '5': break;  // a directory says nothing
      case 'x':
      case 'g': SKERRY_RETURN_IF_ERROR(CheckExtended(offset, there)); break;
      default:
        return Fail(ErrorCode::kPermissionDenied,
                    "the archive has \"{}\", which is {}: only plain files belong into a bundle",
                    Printable(name), TypeName(type));
    }
    const std::uint64_t padded = (bytes + kTarBlock - 1) / kTarBlock * kTarBlock;
    const bool ends = there != bytes || padded > source_.size - offset;
    if (!ends) table_.end = offset + padded;
    at_ = ends ? source_.size : offset + padded;
    return {};
  }

  static std::string_view TypeName(char type) {
    switch (type) {
      case '1': return "a hard link";
      case '2': return "a symbolic link";
      case '3':
      case '4': return "a device";
      case '6': return "a pipe";
      case 'S': return "a sparse file";
      default: return "of a type that is not read";
    }
  }

  // Times and owners may be said there; what would give an entry another name or size may not.
  Status CheckExtended(std::uint64_t offset, std::uint64_t bytes) const {
    if (bytes > limits::kTarExtendedBytes)
      return Fail(ErrorCode::kTooLarge, "the archive has an extended header of {} bytes", bytes);
    SKERRY_ASSIGN_OR_RETURN(const std::string text,
                            source_.read(offset, static_cast<std::size_t>(bytes)));
    for (const std::string_view key : {" path=", " size=", " linkpath=", " GNU.sparse"})
      if (text.find(key) != std::string::npos)
        return Fail(ErrorCode::kUnimplemented,
                    "the archive renames or resizes entries by extended headers ({})",
                    key.substr(1));
    return {};
  }

  // Behind the end, or behind damage: the next block that is a header, or the end of the bytes.
  Status Search(bool from_zeros) {
    const std::uint64_t from = at_;
    at_ += kTarBlock;
    while (at_ < source_.size) {
      at_ = std::max(at_, source_.next_data(at_) / kTarBlock * kTarBlock);
      SKERRY_ASSIGN_OR_RETURN(const std::string bytes, source_.read(at_, kSearchBytes));
      if (bytes.empty()) break;
      for (std::size_t i = 0; i + kTarBlock <= bytes.size(); i += kTarBlock) {
        const std::string_view block = std::string_view(bytes).substr(i, kTarBlock);
        from_zeros = from_zeros && IsZero(block);
        if (!IsHeader(block)) continue;
        at_ += i;
        Damaged(fmt::format("bytes {} to {} of the archive are damaged", from, at_));
        return {};
      }
      at_ += (bytes.size() + kTarBlock - 1) / kTarBlock * kTarBlock;
    }
    at_ = source_.size;
    if (!from_zeros) Damaged(fmt::format("the archive is damaged from byte {} to its end", from));
    return {};
  }

  const TarSource& source_;
  TarTable table_;
  std::uint64_t at_ = 0;
  std::size_t headers_ = 0;
};

}  // namespace

Result<TarTable> ReadTarTable(const TarSource& source) { return TableReader(source).Read(); }

}  // namespace skerry
