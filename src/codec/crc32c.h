// CRC-32C (Castagnoli polynomial 0x1EDC6F41, RFC 3720 appendix B.4), the checksum of our binary
// forms: it finds accidents, not attackers (those meet digests and signatures). Thread-safe.
#pragma once

#include <cstdint>
#include <string_view>

namespace skerry {

// The checksum of `bytes`; "123456789" gives 0xE3069283.
std::uint32_t Crc32c(std::string_view bytes);

}  // namespace skerry
