// The test program, which is also the two child processes that the tests start, as the product's
// own executable is:
//   hub_tests __retrain SPEC.json   the child of a retraining run
//   hub_tests __hub DIR             a hub on plain HTTP with an open registry, until it is killed
//   hub_tests __parent FILE         starts `__child FILE` as the hub starts its children
//   hub_tests __child FILE          ends with its parent; writes its process id into FILE
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <string_view>

#include "base/child_process.h"
#include "hub/hub.h"
#include "hub/retrain_run.h"
#include "hub/segment_trial.h"
#include "storage/file.h"

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

int RunParent(const char* file) {
  const auto go_on = [] { return true; };
  return skerry::RunProcessGroup("/proc/self/exe", {"__child", file}, std::string(file) + ".log",
                                 go_on, std::chrono::seconds(1))
             ? 0
             : 1;
}

int RunChild(const char* file) {
  if (!skerry::EndWithParent() || !skerry::WriteFileDurably(file, std::to_string(getpid())))
    return 1;
  while (true) pause();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "__retrain")
    return skerry::RunRetrainChild(argv[2]);
  if (argc == 3 && std::string_view(argv[1]) == "__read-segment")
    return skerry::RunSegmentTrial(argv[2]);
  if (argc == 3 && std::string_view(argv[1]) == "__hub") return RunHub(argv[2]);
  if (argc == 3 && std::string_view(argv[1]) == "__parent") return RunParent(argv[2]);
  if (argc == 3 && std::string_view(argv[1]) == "__child") return RunChild(argv[2]);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
