#include "outbox/statement.h"

#include <algorithm>

#include "base/limits.h"
#include "codec/json.h"
#include "crypto/dsse.h"
#include "outbox/stream_json.h"

namespace skerry {
namespace {

constexpr std::size_t kTagDigestChars = 12;
constexpr const char* kStatementForm = "https://in-toto.io/Statement/v1";

Json SubjectOf(const SegmentEntry& segment) {
  return {
      {"name", fmt::format("{}/{}/{}-{}", RecordClassName(segment.cls), segment.epoch.ToString(),
                           segment.first_seq, segment.last_seq)},
      {"digest", {{std::string(segment.digest.algorithm()), std::string(segment.digest.hex())}}}};
}

template <typename Entry>
Json EntryToJson(const Entry& entry) {
  Json json = StreamRangeToJson({entry.cls, entry.epoch, entry.first_seq, entry.last_seq});
  json["rows"] = entry.rows;
  json["primary_rows"] = entry.primary_rows;
  return json;
}

Json SegmentToJson(const SegmentEntry& segment) {
  Json json = EntryToJson(segment);
  json["bytes"] = segment.bytes;
  json["digest"] = segment.digest.ToString();
  return json;
}

Json GapToJson(const GapEntry& gap) {
  Json json = EntryToJson(gap);
  json["reason"] = gap.reason;
  return json;
}

Json AnchorToJson(const ClockAnchor& anchor) {
  return {{"instance", anchor.instance.ToString()},
          {"mono_us", anchor.mono_us},
          {"utc_us", anchor.utc_us},
          {"clock", ClockQualityName(anchor.clock)}};
}

template <typename Entry>
Status ReadEntry(const JsonObject& object, Entry& entry) {
  SKERRY_ASSIGN_OR_RETURN(const StreamRange range, StreamRangeFromJson(object));
  entry.cls = range.cls;
  entry.epoch = range.epoch;
  entry.first_seq = range.first_seq;
  entry.last_seq = range.last_seq;
  SKERRY_ASSIGN_OR_RETURN(entry.rows, object.Uint("rows"));
  SKERRY_ASSIGN_OR_RETURN(entry.primary_rows, object.Uint("primary_rows"));
  // Compared without adding one, which could wrap.
  if (entry.rows == 0 || entry.rows - 1 != entry.last_seq - entry.first_seq)
    return Fail(ErrorCode::kInvalidArgument, "{}: {} rows do not fit the range {}-{}",
                object.path(), entry.rows, entry.first_seq, entry.last_seq);
  if (entry.primary_rows > entry.rows)
    return Fail(ErrorCode::kInvalidArgument, "{}: {} primary rows of {}", object.path(),
                entry.primary_rows, entry.rows);
  return {};
}

Result<SegmentEntry> SegmentFromJson(const JsonObject& object) {
  SegmentEntry segment;
  SKERRY_RETURN_IF_ERROR(ReadEntry(object, segment));
  SKERRY_ASSIGN_OR_RETURN(segment.bytes, object.Uint("bytes"));
  SKERRY_ASSIGN_OR_RETURN(segment.digest, DigestFromJson(object, "digest"));
  return segment;
}

Result<GapEntry> GapFromJson(const JsonObject& object) {
  GapEntry gap;
  SKERRY_RETURN_IF_ERROR(ReadEntry(object, gap));
  SKERRY_ASSIGN_OR_RETURN(gap.reason, object.String("reason"));
  if (gap.reason != kGapQuota && gap.reason != kGapPolicy && gap.reason != kGapDamage &&
      gap.reason != kGapLost)
    return Fail(ErrorCode::kInvalidArgument,
                "{}.reason: '{}' is none of quota, policy, damage, lost", object.path(),
                gap.reason);
  return gap;
}

Result<ClockAnchor> AnchorFromJson(const JsonObject& object) {
  ClockAnchor anchor;
  SKERRY_ASSIGN_OR_RETURN(anchor.instance, InstanceFromJson(object, "instance"));
  SKERRY_ASSIGN_OR_RETURN(anchor.mono_us, object.Int("mono_us"));
  SKERRY_ASSIGN_OR_RETURN(anchor.utc_us, object.Int("utc_us"));
  SKERRY_ASSIGN_OR_RETURN(anchor.clock, ClockFromJson(object));
  return anchor;
}

// Reads the array `key` of at most `limit` entries.
template <typename Entry>
Status ReadList(const JsonObject& object, const char* key, std::size_t limit,
                Result<Entry> (*read)(const JsonObject&), std::vector<Entry>& into) {
  SKERRY_ASSIGN_OR_RETURN(const Json* list, object.Array(key));
  if (list->size() > limit)
    return Fail(ErrorCode::kTooLarge, "{}.{} has {} entries, the limit is {}", object.path(), key,
                list->size(), limit);
  for (std::size_t i = 0; i < list->size(); ++i) {
    SKERRY_ASSIGN_OR_RETURN(Entry entry, read(JsonObject((*list)[i], object.ElementPath(key, i))));
    into.push_back(std::move(entry));
  }
  return {};
}

Status CheckSubjects(const JsonObject& object, const ShipmentStatement& statement) {
  SKERRY_ASSIGN_OR_RETURN(const Json* subjects, object.Array("subject"));
  bool same = subjects->size() == statement.segments.size();
  for (std::size_t i = 0; same && i < subjects->size(); ++i) {
    const Json expected = SubjectOf(statement.segments[i]);
    const Json& found = (*subjects)[i];
    same = found.is_object() && found.value("name", Json()) == expected["name"] &&
           found.value("digest", Json()) == expected["digest"];
  }
  if (!same)
    return Fail(ErrorCode::kInvalidArgument,
                "statement: the subjects are not the segments of the predicate");
  return {};
}

Status ReadPredicate(const JsonObject& object, ShipmentStatement& statement) {
  SKERRY_ASSIGN_OR_RETURN(statement.site, object.String("site"));
  SKERRY_RETURN_IF_ERROR(CheckName("site name", statement.site), object.path());
  SKERRY_ASSIGN_OR_RETURN(statement.epoch, InstanceFromJson(object, "epoch"));
  SKERRY_ASSIGN_OR_RETURN(statement.number, object.Uint("number"));
  if (statement.number == 0)
    return Fail(ErrorCode::kInvalidArgument, "{}.number: statements count from 1", object.path());
  SKERRY_ASSIGN_OR_RETURN(statement.previous, OptionalDigestFromJson(object, "previous"));
  SKERRY_RETURN_IF_ERROR(ReadList(object, "segments", limits::kSegmentsPerShipment, SegmentFromJson,
                                  statement.segments));
  SKERRY_RETURN_IF_ERROR(
      ReadList(object, "gaps", limits::kGapsPerStatement, GapFromJson, statement.gaps));
  SKERRY_RETURN_IF_ERROR(
      ReadList(object, "anchors", limits::kAnchorsPerStatement, AnchorFromJson, statement.anchors));
  SKERRY_ASSIGN_OR_RETURN(const JsonObject counters, object.Object("counters"));
  SKERRY_ASSIGN_OR_RETURN(statement.counters, CountersFromJson(counters));
  SKERRY_ASSIGN_OR_RETURN(statement.policy, OptionalDigestFromJson(object, "policy"));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> models, object.Strings("models"));
  for (const std::string& model : models) {
    SKERRY_ASSIGN_OR_RETURN(Digest digest, Digest::Parse(model), "statement.predicate.models");
    statement.models.push_back(std::move(digest));
  }
  SKERRY_ASSIGN_OR_RETURN(statement.sealed_at_us, object.Int("sealed_at_us"));
  return {};
}

template <typename Entry>
Json ListToJson(const std::vector<Entry>& entries, Json (*to_json)(const Entry&)) {
  Json list = Json::array();
  for (const Entry& entry : entries) list.push_back(to_json(entry));
  return list;
}

}  // namespace

std::string ShipmentStatement::ToJson() const {
  Json predicate = {{"site", site},
                    {"epoch", epoch.ToString()},
                    {"number", number},
                    {"segments", ListToJson(segments, SegmentToJson)},
                    {"gaps", ListToJson(gaps, GapToJson)},
                    {"anchors", ListToJson(anchors, AnchorToJson)},
                    {"counters", CountersToJson(counters)},
                    {"models", Json::array()},
                    {"sealed_at_us", sealed_at_us}};
  if (previous) predicate["previous"] = previous->ToString();
  if (policy) predicate["policy"] = policy->ToString();
  for (const Digest& model : models) predicate["models"].push_back(model.ToString());
  return DumpJson({{"_type", kStatementForm},
                   {"subject", ListToJson(segments, SubjectOf)},
                   {"predicateType", kShipmentPredicateType},
                   {"predicate", std::move(predicate)}});
}

Result<ShipmentStatement> ShipmentStatement::FromJson(std::string_view json) {
  SKERRY_ASSIGN_OR_RETURN(const Json document, ParseJson(json, limits::kStatementBytes),
                          "statement");
  const JsonObject object(document, "statement");
  SKERRY_ASSIGN_OR_RETURN(const std::string form, object.String("_type"));
  SKERRY_ASSIGN_OR_RETURN(const std::string type, object.String("predicateType"));
  if (form != kStatementForm || type != kShipmentPredicateType)
    return Fail(ErrorCode::kUnimplemented,
                "statement: a '{}' with predicate '{}'; this version reads {} with {}", form, type,
                kStatementForm, kShipmentPredicateType);
  ShipmentStatement statement;
  SKERRY_ASSIGN_OR_RETURN(const JsonObject predicate, object.Object("predicate"));
  SKERRY_RETURN_IF_ERROR(ReadPredicate(predicate, statement));
  SKERRY_RETURN_IF_ERROR(CheckSubjects(object, statement));
  return statement;
}

std::string ShipmentTag(const ShipmentStatement& statement, std::string_view envelope_json,
                        std::span<const Digest> segments) {
  std::string offered = Digest::Sha256(envelope_json).ToString();
  for (const Digest& segment : segments) offered += "\n" + segment.ToString();
  return fmt::format("{}-{}-{}", statement.epoch.Short(), statement.number,
                     Digest::Sha256(offered).hex().substr(0, kTagDigestChars));
}

Result<std::string> SignStatement(const ShipmentStatement& statement, const PrivateKey& key) {
  SKERRY_ASSIGN_OR_RETURN(const DsseEnvelope envelope,
                          SignDsse(kStatementType, statement.ToJson(), key));
  return envelope.ToJson();
}

Result<ShipmentStatement> VerifyStatement(std::string_view envelope_json,
                                          std::span<const PublicKey> keys) {
  SKERRY_ASSIGN_OR_RETURN(const std::string payload,
                          VerifyDsse(envelope_json, kStatementType, keys, limits::kStatementBytes));
  return ShipmentStatement::FromJson(payload);
}

}  // namespace skerry
