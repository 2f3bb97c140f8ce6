// The limits of the registry, beside those of base/limits.h.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace skerry::limits {

constexpr std::chrono::hours kBlobGrace{7 * 24};  // of a pushed blob that no manifest names yet
constexpr std::size_t kTagsPerManifestPut = 64;
constexpr std::size_t kRegistryAccounts = 10'000;
constexpr std::size_t kRightsPerAccount = 256;
constexpr std::size_t kScopesPerToken = 32;
constexpr std::size_t kRegistryRules = 1'000;

// Where the registry is in S3.
constexpr std::uint64_t kBlobCacheBytes = std::uint64_t{1}
                                          << 30U;  // on disk, beside what is in use
constexpr std::size_t kCachedBlobs = 100'000;
// Up to here a blob that is asked for is fetched, verified and then sent; above, it is passed on.
constexpr std::uint64_t kFetchedBlobBytes = std::uint64_t{64} << 20U;
constexpr std::size_t kKnownBlobSizes = 200'000;
constexpr std::size_t kBlobSizesAsked = 32;  // one by one; more: by the list of all
constexpr std::size_t kCaBundleBytes = 4U << 20U;

}  // namespace skerry::limits
