// What came of each thing that a desired state names. Plain values.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "crypto/digest.h"

namespace skerry {

enum class DeployResult : std::uint8_t {
  kApplied,  // it is here now (the active one: in use)
  kHeld,     // it was already
  kNotHere,  // this source does not have it, or not whole, or the link is away
  kRefused,  // it may not be used
};

struct DeployOutcome {
  Digest digest;     // of the manifest that the desired state names
  std::string what;  // "model milling:2", "policy milling:1", "release skerry-linux-amd64:0.2.0"
  DeployResult result = DeployResult::kHeld;
  std::string reason;  // of kNotHere and kRefused; of kApplied, by which bytes it came
};

// Whether another try, or another source, may bring what this one could not.
inline bool MayComeLater(ErrorCode code) {
  return code == ErrorCode::kNotFound || code == ErrorCode::kDataLoss ||
         code == ErrorCode::kUnavailable || code == ErrorCode::kDeadlineExceeded ||
         code == ErrorCode::kResourceExhausted || code == ErrorCode::kInternal;
}

}  // namespace skerry
