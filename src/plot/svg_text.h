// Text inside SVG.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace skerry {

// Markup escaped; bytes that are no UTF-8, and characters that XML does not allow, become U+FFFD.
std::string XmlText(std::string_view text);

// At most `characters` of UTF-8 text, the last an ellipsis where something was left out.
std::string Clipped(std::string_view text, std::size_t characters);

}  // namespace skerry
