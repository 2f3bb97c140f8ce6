// How much memory rows take on their way into segments, however wide they are. Internal.
#pragma once

#include <cstddef>
#include <cstdint>

namespace skerry::limits {

// Rows that wait for a commit, by MemoryOf (model/batch_rows.h); beyond it: 503 (sync), not
// captured (async).
constexpr std::size_t kCaptureQueueBytes = 64U << 20U;
constexpr std::size_t kCommitBytes = 16U << 20U;  // of these that one group commit takes on
// Of these whose records are one row of the database: a seal reads row by row.
constexpr std::size_t kBatchBytes = 2U << 20U;
// Of decoded records in one segment: DuckDB needs several times as much to write them.
constexpr std::size_t kSegmentTableBytes = 16U << 20U;

}  // namespace skerry::limits
