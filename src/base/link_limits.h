// Limits of what goes over a link, beside limits.h: for the outbox and the exchange alone.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace skerry::limits {

// Exchange.
constexpr std::uint64_t kEmbeddedBytes = 16U << 10U;     // of a shipment, within its manifest
constexpr std::size_t kSingleRequestBytes = 32U << 10U;  // a blob up to here is sent without asking
constexpr std::size_t kUploadLanes = 6;                  // uploads at once, on a long round trip
constexpr std::size_t kLeastPieceBytes = 1U << 10U;      // handed to the network at a time
constexpr std::size_t kMostPieceBytes = 64U << 10U;
constexpr std::chrono::seconds kUrgentLook{1};  // between two looks for urgent records
constexpr std::size_t kSyncWindows = 64;
constexpr std::uint64_t kLeastLinkBytesPerSecond = 512;
constexpr std::uint64_t kLeastLinkBytesPerDay = 64U << 10U;

}  // namespace skerry::limits
