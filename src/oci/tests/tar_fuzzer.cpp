// Coverage-guided, by libFuzzer: reads what it makes of tests/fuzz/tar (make fuzz). Checksums are
// made right, since a random one is.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "oci/tests/tar_check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  for (std::size_t at = 0; at + 512 <= bytes.size(); at += 512) {
    if (bytes.compare(at + 257, 5, "ustar") != 0) continue;
    bytes.replace(at + 148, 8, "        ");
    unsigned sum = 0;
    for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(bytes[at + i]);
    char text[8];
    std::snprintf(text, sizeof text, "%06o", sum & 0777777U);
    bytes.replace(at + 148, 7, text, 7);
  }
  const skerry::TarOutcome outcome = skerry::ReadOrRefuse(bytes);
  if (!outcome.fault.empty()) {
    std::fprintf(stderr, "fault: %s\n", outcome.fault.c_str());
    std::abort();
  }
  return 0;
}
