#include "outbox/stream_json.h"

namespace skerry {

Json StreamRangeToJson(const StreamRange& range) {
  return {{"class", RecordClassName(range.cls)},
          {"epoch", range.epoch.ToString()},
          {"first_seq", range.first_seq},
          {"last_seq", range.last_seq}};
}

Result<StreamRange> StreamRangeFromJson(const JsonObject& object) {
  StreamRange range;
  SKERRY_ASSIGN_OR_RETURN(range.cls, ClassFromJson(object));
  SKERRY_ASSIGN_OR_RETURN(range.epoch, InstanceFromJson(object, "epoch"));
  SKERRY_ASSIGN_OR_RETURN(range.first_seq, object.Uint("first_seq"));
  SKERRY_ASSIGN_OR_RETURN(range.last_seq, object.Uint("last_seq"));
  if (range.first_seq == 0 || range.last_seq < range.first_seq)
    return Fail(ErrorCode::kInvalidArgument, "{}: {}-{} is no range of records", object.path(),
                range.first_seq, range.last_seq);
  return range;
}

Json CountersToJson(const Counters& counters) {
  return {{"scored", counters.scored},
          {"withheld", counters.withheld},
          {"not_selected", counters.not_selected},
          {"shed", counters.shed},
          {"recalled", counters.recalled},
          {"not_captured", counters.not_captured}};
}

Result<Counters> CountersFromJson(const JsonObject& object) {
  Counters counters;
  SKERRY_ASSIGN_OR_RETURN(counters.scored, object.Uint("scored"));
  SKERRY_ASSIGN_OR_RETURN(counters.withheld, object.Uint("withheld"));
  SKERRY_ASSIGN_OR_RETURN(counters.not_selected, object.Uint("not_selected"));
  SKERRY_ASSIGN_OR_RETURN(counters.shed, object.Uint("shed"));
  SKERRY_ASSIGN_OR_RETURN(counters.recalled, object.Uint("recalled"));
  SKERRY_ASSIGN_OR_RETURN(counters.not_captured, object.Uint("not_captured"));
  return counters;
}

Result<InstanceId> InstanceFromJson(const JsonObject& object, const char* key) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, object.String(key));
  return InstanceId::Parse(text).map_error(
      [&](Error error) { return std::move(error).Wrap(fmt::format("{}.{}", object.path(), key)); });
}

Result<RecordClass> ClassFromJson(const JsonObject& object) {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, object.String("class"));
  return ParseRecordClass(name).map_error(
      [&](Error error) { return std::move(error).Wrap(fmt::format("{}.class", object.path())); });
}

Result<ClockQuality> ClockFromJson(const JsonObject& object) {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, object.String("clock"));
  for (const ClockQuality quality :
       {ClockQuality::kUnknown, ClockQuality::kHoldover, ClockQuality::kSynced})
    if (ClockQualityName(quality) == name) return quality;
  return Fail(ErrorCode::kInvalidArgument, "{}.clock: '{}' is none of synced, holdover, unknown",
              object.path(), name);
}

Result<Digest> DigestFromJson(const JsonObject& object, const char* key) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, object.String(key));
  return Digest::Parse(text).map_error(
      [&](Error error) { return std::move(error).Wrap(fmt::format("{}.{}", object.path(), key)); });
}

Result<std::optional<Digest>> OptionalDigestFromJson(const JsonObject& object, const char* key) {
  if (!object.Has(key)) return std::nullopt;
  SKERRY_ASSIGN_OR_RETURN(Digest digest, DigestFromJson(object, key));
  return digest;
}

Status CheckFormat(const JsonObject& object, std::string_view format) {
  SKERRY_ASSIGN_OR_RETURN(const std::string found, object.String("format"));
  if (found != format)
    return Fail(ErrorCode::kUnimplemented,
                "{}.format is '{}'; this version reads {}: update skerry on this side",
                object.path(), found, format);
  return {};
}

}  // namespace skerry
