// As the product's own executable does: `__smoke DIR` runs the child's part of a smoke run.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "model/smoke.h"

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "__smoke") {
    const std::filesystem::path package = argv[2];
    // What a hostile model could do to the process that loads it.
    if (std::filesystem::exists(package / "crash")) std::raise(SIGSEGV);
    if (std::filesystem::exists(package / "eat"))
      for (std::vector<std::string> eaten;;) eaten.emplace_back(std::size_t{64} << 20U, 'x');
    return skerry::SmokeMain(package);
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
