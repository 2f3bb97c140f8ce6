// Coverage-guided, by libFuzzer: decodes what it makes of tests/fuzz/infer_request (make fuzz).
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "serve/tests/infer_request_check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const skerry::DecodeOutcome outcome =
      skerry::DecodeOrRefuse(skerry::ReadFuzzInput({reinterpret_cast<const char*>(data), size}));
  if (!outcome.fault.empty()) {
    std::fprintf(stderr, "fault: %s\n", outcome.fault.c_str());
    std::abort();
  }
  return 0;
}
