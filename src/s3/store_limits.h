// The limits of what is written to S3, beside those of base/limits.h.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace skerry::limits {

// Of an object that is put together from parts. The registry's largest blob has 1,024 of them; S3
// takes 10,000.
constexpr std::uint64_t kS3PartBytes = std::uint64_t{16} << 20U;
constexpr std::uint64_t kS3WholeCopyBytes = std::uint64_t{1} << 30U;  // in one request; S3: 5 GiB
constexpr std::uint64_t kS3CopyBytes = std::uint64_t{256} << 20U;     // above that, in each
constexpr std::size_t kS3CopiesAtOnce = 4;
// Writers keep somebody waiting: 250 ms, 0.5, 1, 2 and 4 s of pauses.
constexpr int kS3StoreAttempts = 6;
// A server that puts parts together says nothing meanwhile.
constexpr std::chrono::seconds kS3StoreStall{120};

}  // namespace skerry::limits
