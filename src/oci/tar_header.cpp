#include "oci/tar_header.h"

#include <optional>
#include <string_view>
#include <utility>

#include "oci/tar_reader.h"

namespace skerry {
namespace {

constexpr std::size_t kNameBytes = 100;
constexpr std::size_t kPrefixBytes = 155;
constexpr std::uint64_t kLargestEntry = (std::uint64_t{1} << 33U) - 1;  // 11 octal digits
constexpr unsigned kLargestId = (1U << 21U) - 1;                        // 7 octal digits

// Prefix and name: a long name is cut at the last "/" that leaves both within their bounds.
std::optional<std::pair<std::string_view, std::string_view>> Split(std::string_view name) {
  if (name.size() <= kNameBytes) return std::pair(std::string_view(), name);
  if (name.size() > kPrefixBytes + 1 + kNameBytes) return std::nullopt;
  const std::size_t cut = name.find('/', name.size() - kNameBytes - 1);
  if (cut == std::string_view::npos || cut == 0 || cut > kPrefixBytes || cut + 1 == name.size())
    return std::nullopt;
  return std::pair(name.substr(0, cut), name.substr(cut + 1));
}

}  // namespace

Result<std::string> TarHeader(const TarHead& entry) {
  const auto parts = Split(entry.name);
  if (entry.name.empty() || !parts || entry.bytes > kLargestEntry ||
      entry.link.size() > kNameBytes || entry.owner > kLargestId || entry.group > kLargestId)
    return Fail(ErrorCode::kTooLarge, "an archive takes no entry \"{}\" of {} bytes", entry.name,
                entry.bytes);
  std::string header(kTarBlock, '\0');
  const auto put = [&](std::size_t at, std::string_view text) {
    header.replace(at, text.size(), text);
  };
  put(0, parts->second);
  put(100, fmt::format("{:07o}", entry.mode & 07777U));
  put(108, fmt::format("{:07o}", entry.owner));
  put(116, fmt::format("{:07o}", entry.group));
  put(124, fmt::format("{:011o}", entry.bytes));
  put(136, "00000000000");
  put(148, "        ");
  header[156] = static_cast<char>(entry.type);
  put(157, entry.link);
  put(257, "ustar");
  put(263, "00");
  put(345, parts->first);
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put(148, fmt::format("{:06o}", sum));
  header[154] = '\0';
  return header;
}

}  // namespace skerry
