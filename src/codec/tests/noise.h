// Bytes that look random and are the same each time. For tests.
#pragma once

#include <cstddef>
#include <random>
#include <string>

namespace skerry {

inline std::string Noise(std::size_t bytes, unsigned seed) {
  std::mt19937 random(seed);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

}  // namespace skerry
