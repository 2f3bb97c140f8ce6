// Parts of batches, for those who have to bound what they take on at once, and several as one, for
// those who take on many that are small.
#pragma once

#include <cstddef>

#include "model/row_batch.h"

namespace skerry {

// Rows [first, first + count), scored or not, with their ids, as a batch of their own. The rows
// have to be there (asserted).
RowBatch SliceOf(const RowBatch& batch, std::size_t first, std::size_t count);

// Whether the rows of `next`, both scored, can stand behind those of `batch`: their ids go on where
// its end, of one package and role, with the same columns filled.
bool FollowsOn(const RowBatch& batch, const RowBatch& next);
// Appends a copy of them; FollowsOn has to hold (asserted). Each keeps the time of its scoring; how
// long that took (infer_us) is forgotten.
void AppendRows(RowBatch& batch, const RowBatch& next);

// Bytes that its rows take in memory, roughly: from above for numbers, within some bytes for texts.
std::size_t MemoryOf(const RowBatch& batch);

}  // namespace skerry
