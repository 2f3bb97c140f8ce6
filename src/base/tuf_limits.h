// Limits of TUF metadata (trust/tuf_metadata.h), by name, as base/limits.h has the others. A test
// hits each one; the error names it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace skerry::limits {

constexpr std::size_t kTufRootBytes = 256U << 10U;
constexpr std::size_t kTufTimestampBytes = 16U << 10U;
constexpr std::size_t kTufSnapshotBytes = 2U << 20U;
constexpr std::size_t kTufTargetsBytes = 8U << 20U;  // of one role
constexpr std::size_t kTufTargetBytes = 64U << 20U;
constexpr std::size_t kTufRootsAtOnce = 1'024;  // that a site takes up after one another
constexpr std::size_t kTufRolesVisited = 32;    // on the way to one target
constexpr std::size_t kTufKeys = 1'024;         // of one document, and signatures
constexpr std::size_t kTufRoleNameBytes = 128;
constexpr std::size_t kTufVersionsKept = 16;  // of each role but the root, at the hub

}  // namespace skerry::limits
