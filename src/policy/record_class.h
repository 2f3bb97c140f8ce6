// The classes of records that may leave a site, in their order of value.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/error.h"

namespace skerry {

// Highest value first: the order of upload, and the reverse of the order of shedding. The numbers
// are stored in the outbox; never renumber.
enum class RecordClass : std::uint8_t {
  kLabel = 0,
  kAnomaly = 1,
  kSummary = 2,
  kSample = 3,
  kDecision = 4,
  kInsight = 5,
};
constexpr std::array<RecordClass, 6> kRecordClasses = {
    RecordClass::kLabel,  RecordClass::kAnomaly,  RecordClass::kSummary,
    RecordClass::kSample, RecordClass::kDecision, RecordClass::kInsight,
};

// "label", "anomaly", "summary", "sample", "decision", "insight".
std::string_view RecordClassName(RecordClass cls);
// kInvalidArgument names the classes that there are.
Result<RecordClass> ParseRecordClass(std::string_view name);

}  // namespace skerry
