// Limits of what is read to make container images, beside those of limits.h: few files need them,
// and a change here compiles few.
#pragma once

#include <cstddef>
#include <cstdint>

namespace skerry::limits {

constexpr std::uint64_t kElfTableBytes = 64U << 20U;  // of a library's names, headers
constexpr std::size_t kElfNeeded = 1'024;             // libraries that one asks for
constexpr std::uint64_t kDpkgFileBytes = 64U << 20U;  // of a file of dpkg's data base

}  // namespace skerry::limits
