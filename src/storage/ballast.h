// Disk space kept back, so that what gives space back can still be written on a full disk.
#pragma once

#include <cstdint>
#include <filesystem>

namespace skerry {

// A preallocated file. One thread at a time.
class Ballast {
 public:
  Ballast(std::filesystem::path file, std::uint64_t bytes)
      : file_(std::move(file)), bytes_(bytes) {}
  // Makes the file where it is not there, if at least twice its size is free. Best effort.
  void Keep();
  // Gives the space back. False when there is none to give.
  bool Drop();

 private:
  const std::filesystem::path file_;
  const std::uint64_t bytes_;
};

}  // namespace skerry
