// How long ago a file was written, for those that drop what nobody has touched for a time.
#pragma once

#include <algorithm>
#include <chrono>
#include <filesystem>

namespace skerry {

// A clock that steps forward while the process lives makes nothing older: the step is taken off.
// One that steps back makes everything younger, which can only keep it. Thread-safe.
class FileAge {
 public:
  std::chrono::seconds Of(std::filesystem::file_time_type written) const {
    const auto wall = FileClock::now();
    const auto passed = std::chrono::steady_clock::now() - opened_steady_;
    const auto stepped = std::max<FileClock::duration>((wall - opened_wall_) - passed, {});
    return std::chrono::duration_cast<std::chrono::seconds>(wall - written - stepped);
  }

 private:
  using FileClock = std::filesystem::file_time_type::clock;
  FileClock::time_point opened_wall_ = FileClock::now();
  std::chrono::steady_clock::time_point opened_steady_ = std::chrono::steady_clock::now();
};

}  // namespace skerry
