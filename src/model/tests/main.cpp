// As the product's own executable does: `__smoke DIR` runs the child's part of a smoke run.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "model/smoke.h"

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "__smoke") {
    const std::filesystem::path path = argv[2];
    // What a hostile model could do to the process that loads it.
    if (path.filename() == "dies") {
      signal(SIGSEGV, SIG_DFL);  // a sanitizer would report it and exit
      raise(SIGSEGV);
    }
    if (path.filename() == "hangs") pause();
    if (path.filename() == "eats")
      for (std::vector<std::string> eaten;;) eaten.emplace_back(std::size_t{64} << 20U, 'x');
    if (path.filename() == "spins")
      for (volatile bool on = true; on;) {
      }
    return skerry::SmokeMain(path);
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
