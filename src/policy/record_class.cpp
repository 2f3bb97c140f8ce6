#include "policy/record_class.h"

namespace skerry {

std::string_view RecordClassName(RecordClass cls) {
  switch (cls) {
    case RecordClass::kLabel: return "label";
    case RecordClass::kAnomaly: return "anomaly";
    case RecordClass::kSummary: return "summary";
    case RecordClass::kSample: return "sample";
    case RecordClass::kDecision: return "decision";
    case RecordClass::kInsight: return "insight";
  }
  return "unknown";
}

Result<RecordClass> ParseRecordClass(std::string_view name) {
  for (const RecordClass cls : kRecordClasses)
    if (RecordClassName(cls) == name) return cls;
  return Fail(ErrorCode::kInvalidArgument,
              "'{}' is no record class; there are label, anomaly, summary, sample, decision and "
              "insight",
              name);
}

}  // namespace skerry
