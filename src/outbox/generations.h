// The outbox's database files: numbered generations, of which the highest counts. Internal.
//
// A database whose fsync failed, or that is damaged, is never written again: what can be read of it
// is copied into the next generation, which is synced and renamed into its place before anything is
// acknowledged on it. A failed fsync cannot be retried, since the kernel may have dropped the pages
// and report success the next time (fsyncgate, 2018); the process still sees them, and so does the
// copy.
//
// Files, below the outbox' directory: outbox-<6 digits>.db with SQLite's -wal and -shm; outbox-<6
// digits>.failed, which tells the next start that a sync of that generation failed; outbox-<6
// digits>.part, a copy under way.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "storage/sqlite.h"

namespace skerry {

std::filesystem::path GenerationPath(const std::filesystem::path& directory, std::uint64_t number);
// The highest one there is; 0 for none.
Result<std::uint64_t> LatestGeneration(const std::filesystem::path& directory);
// Best effort: says beside the file that it must not be written any more.
void MarkGenerationFailed(const std::filesystem::path& directory, std::uint64_t number);
bool GenerationFailed(const std::filesystem::path& directory, std::uint64_t number);

struct Salvage {
  std::uint64_t number = 0;       // of the copy
  std::vector<std::string> lost;  // a sentence for each table of which something could not be read
};
// Copies generation `number` into one with a new number, durably. Where something is lost the
// numbers of the copy add up all the same: what is missing of a stream is a gap of reason "damage".
// kDataLoss when nothing can be used, kResourceExhausted on a full disk; there is no copy then.
Result<Salvage> SalvageGeneration(const std::filesystem::path& directory, std::uint64_t number);

// Removes everything of generations before `number` and unfinished copies. With `keep`, databases
// go to quarantine/ instead.
Status RemoveGenerationsBefore(const std::filesystem::path& directory, std::uint64_t number,
                               bool keep);

}  // namespace skerry
