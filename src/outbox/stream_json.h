// What the outbox's signed documents have in common: how a stream, a range, counters and a clock
// stand in JSON. Internal to the module.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/error.h"
#include "codec/json.h"
#include "crypto/digest.h"
#include "outbox/statement.h"
#include "policy/record_class.h"

namespace skerry {

// Records first_seq..last_seq of one stream.
struct StreamRange {
  RecordClass cls = RecordClass::kSample;
  InstanceId epoch;
  std::uint64_t first_seq = 0;
  std::uint64_t last_seq = 0;
};

// {"class": ..., "epoch": ..., "first_seq": ..., "last_seq": ...}
Json StreamRangeToJson(const StreamRange& range);
// kInvalidArgument also for a range that is empty or starts at 0.
Result<StreamRange> StreamRangeFromJson(const JsonObject& object);

Json CountersToJson(const Counters& counters);
Result<Counters> CountersFromJson(const JsonObject& object);

Result<InstanceId> InstanceFromJson(const JsonObject& object, const char* key);
Result<RecordClass> ClassFromJson(const JsonObject& object);
Result<ClockQuality> ClockFromJson(const JsonObject& object);
Result<Digest> DigestFromJson(const JsonObject& object, const char* key);
Result<std::optional<Digest>> OptionalDigestFromJson(const JsonObject& object, const char* key);

// "skerry-receipt/1": the member `format`, for the documents that have one. kUnimplemented for
// another major version.
Status CheckFormat(const JsonObject& object, std::string_view format);

}  // namespace skerry
