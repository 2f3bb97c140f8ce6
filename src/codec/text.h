// Text encodings of bytes: hex and base64 (RFC 4648).
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry {

std::string EncodeHex(std::string_view bytes);        // lower case
Result<std::string> DecodeHex(std::string_view hex);  // lower case only
std::string EncodeBase64(std::string_view bytes);     // standard alphabet, padded
Result<std::string> DecodeBase64(
    std::string_view text);  // standard or URL alphabet, padding optional

}  // namespace skerry
