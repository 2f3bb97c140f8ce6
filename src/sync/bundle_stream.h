// Where a bundle that is streamed (docs/formats/bundle.md) stands meanwhile: a ClaimedDirectory of
// this prefix in the data directory. Who owns that directory removes what is left there.
#pragma once

#include <string_view>

namespace skerry {

inline constexpr std::string_view kBundleStream = "bundle";

}  // namespace skerry
