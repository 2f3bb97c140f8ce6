// Limits of what stands on removable media; beside limits.h, by the same rules.
#pragma once

#include <cstddef>
#include <cstdint>

namespace skerry::limits {

// Shipments on one medium, 8 MiB each and more where much waits (limits::kShipmentBytes);
// all of them stand in its memory by their statements.
constexpr std::size_t kBundleShipments = 8'192;
constexpr std::size_t kMediumEntries = 300'000;        // of all archives of a bundle
constexpr std::size_t kTarExtendedBytes = 64U << 10U;  // of one extended header
constexpr std::size_t kPacks = 10'000;                 // archives beside the blobs
// FAT32: a file has less than 4 GiB, a directory 65,536 slots, of which a blob's name takes 6.
constexpr std::size_t kLooseBlobs = 1'000;  // more of them go into packs
constexpr std::uint64_t kLooseBlobBytes = (std::uint64_t{1} << 32U) - 1;
constexpr std::uint64_t kPieceBytes = std::uint64_t{2} << 30U;  // of a blob in an archive
constexpr std::uint64_t kPackBytes = std::uint64_t{1} << 30U;   // a pack takes no more beyond it
// Custody: entries that a list keeps, and of these, what a bundle tells the other side.
constexpr std::size_t kCustodyEntries = 10'000;
constexpr std::size_t kCustodyTold = 200;
constexpr std::size_t kCustodyBytes = 1U << 20U;

}  // namespace skerry::limits
