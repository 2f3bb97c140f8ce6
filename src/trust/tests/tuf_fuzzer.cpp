// Coverage-guided, by libFuzzer: what it makes of tests/fuzz/tuf is served to a site (make fuzz).
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "base/log.h"
#include "trust/tests/tuf_check.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  skerry::StartLogging("fuzz", skerry::LogLevel::kError);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static skerry::TufCheck check;
  const skerry::TufOutcome outcome =
      check.FollowOrRefuse({reinterpret_cast<const char*>(data), size});
  if (!outcome.fault.empty()) {
    std::fprintf(stderr, "fault: %s\n", outcome.fault.c_str());
    std::abort();
  }
  return 0;
}
