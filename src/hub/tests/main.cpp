// The test program, which is also the two child processes that the tests start, as the product's
// own executable is:
//   hub_tests __retrain SPEC.json   the child of a retraining run
//   hub_tests __hub DIR             a hub on plain HTTP with an open registry, until it is killed
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "hub/hub.h"
#include "hub/retrain_run.h"

namespace {

int RunHub(const char* directory) {
  const auto hub = skerry::Hub::Start(
      {.data = directory, .listen_port = 0, .plain_http = true, .open_registry = true});
  if (!hub) {
    std::fprintf(stderr, "%s\n", hub.error().message().c_str());
    return 1;
  }
  while (true) pause();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "__retrain")
    return skerry::RunRetrainChild(argv[2]);
  if (argc == 3 && std::string_view(argv[1]) == "__hub") return RunHub(argv[2]);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
