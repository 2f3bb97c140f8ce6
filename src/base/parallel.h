// Work on many rows by all cores.
#pragma once

#include <cstddef>
#include <functional>

#include "base/error.h"

namespace skerry {

// Calls `work(first, count)` for [0, rows) in blocks of `block` (the last may be shorter), each
// once, on the calling thread and others, one a core at most; returns when all have ended. Which
// thread takes which block is not told: blocks must not write what another reads. After an error
// no further block begins; the error of the earliest block that failed is returned.
using BlockWork = std::function<Status(std::size_t first, std::size_t count)>;
Status ForBlocks(std::size_t rows, std::size_t block, const BlockWork& work);

}  // namespace skerry
