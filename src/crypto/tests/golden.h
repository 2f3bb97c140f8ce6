// The module's golden files. For tests.
#pragma once

#include <string>
#include <string_view>

#include "storage/file.h"

namespace skerry {

// SKERRY_CRYPTO_GOLDEN is set by the module's CMakeLists.txt.
inline std::string Golden(std::string_view name) {
  return ReadFile(std::filesystem::path(SKERRY_CRYPTO_GOLDEN) / name, 1U << 20U).value();
}

}  // namespace skerry
