// The limits of the registry, beside those of base/limits.h.
#pragma once

#include <chrono>
#include <cstddef>

namespace skerry::limits {

constexpr std::chrono::hours kBlobGrace{7 * 24};  // of a pushed blob that no manifest names yet
constexpr std::size_t kTagsPerManifestPut = 64;
constexpr std::size_t kRegistryAccounts = 10'000;
constexpr std::size_t kRightsPerAccount = 256;
constexpr std::size_t kScopesPerToken = 32;
constexpr std::size_t kRegistryRules = 1'000;

}  // namespace skerry::limits
