// As the product's own executable does: `__smoke DIR` runs the child's part of a smoke run.
#include <gtest/gtest.h>

#include <string_view>

#include "model/smoke.h"

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "__smoke") return skerry::SmokeMain(argv[2]);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
