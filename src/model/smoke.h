// The smoke run: a model from outside is first loaded and run in a child process with limits, so
// that one which crashes, hangs or eats all memory is refused and the site goes on.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "base/limits.h"

namespace skerry {

struct SmokeLimits {
  std::size_t memory_bytes = limits::kSmokeMemoryBytes;  // RLIMIT_AS; 0 = none
  std::chrono::seconds cpu{limits::kSmokeCpu};           // RLIMIT_CPU
  std::chrono::milliseconds wall{limits::kSmokeWall};    // then SIGKILL
};

// fork + exec of `self_executable __smoke DIR` (DIR: a package directory or a bare .onnx file) with
// no inherited files but stderr, which is read for the reason. OK: the child loaded the package and
// scored rows. Otherwise kInvalidArgument with the child's own message, or how it died (signal,
// CPU, memory or wall limit); kInternal when no child could be started. Blocks; thread-safe.
Status SmokeRunInChild(const std::filesystem::path& self_executable,
                       const std::filesystem::path& package, const SmokeLimits& limits = {});

struct ModelPackage;
// Scores rows at the edges of the package's reference, here; nobody is told of them.
Status ScoreSampleRows(std::shared_ptr<const ModelPackage> package);

// What the child runs: the exit status, 0 or 1, the reason on stderr.
int SmokeMain(const std::filesystem::path& package);

// /proc/self/exe resolved: what to pass as `self_executable`.
std::filesystem::path SelfExecutable();

}  // namespace skerry
