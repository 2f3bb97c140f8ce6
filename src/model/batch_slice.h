// Parts of a batch of rows, for those who have to bound what they take on at once.
#pragma once

#include <cstddef>

#include "model/row_batch.h"

namespace skerry {

// Rows [first, first + count), scored or not, with their ids, as a batch of their own. The rows
// have to be there (asserted).
RowBatch SliceOf(const RowBatch& batch, std::size_t first, std::size_t count);

// Bytes that its rows take in memory, roughly: from above for numbers, within some bytes for texts.
std::size_t MemoryOf(const RowBatch& batch);

}  // namespace skerry
