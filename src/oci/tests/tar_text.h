// Archives as bytes, also such as no writer makes.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>

namespace skerry {

// An entry with its padding. `size`: what the header says, where it is to lie.
inline std::string TarText(std::string_view name, std::string_view content, char type = '0',
                           std::optional<std::uint64_t> size = std::nullopt) {
  std::string header(512, '\0');
  const auto put = [&](std::size_t at, std::string_view text) {
    header.replace(at, text.size(), text);
  };
  put(0, name);
  put(124, fmt::format("{:011o}", size.value_or(content.size())));
  put(148, "        ");
  header[156] = type;
  put(257, "ustar");
  put(263, "00");
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put(148, fmt::format("{:06o}", sum));
  header[154] = '\0';
  std::string text = header + std::string(content);
  text.resize((text.size() + 511) / 512 * 512, '\0');
  return text;
}

}  // namespace skerry
