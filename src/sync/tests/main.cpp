// As the product's own executable does: `__smoke DIR` runs the child's part of a smoke run.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <string_view>

#include "model/smoke.h"

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "__smoke") {
    const std::filesystem::path package = argv[2];
    // What a hostile model could do to the process that loads it.
    if (std::filesystem::exists(package / "crash.md")) std::raise(SIGSEGV);
    return skerry::SmokeMain(package);
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
