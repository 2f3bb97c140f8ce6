#include "outbox/site_status.h"

#include "base/delta_limits.h"
#include "base/limits.h"
#include "codec/json.h"
#include "crypto/dsse.h"
#include "outbox/stream_json.h"

namespace skerry {
namespace {

constexpr std::string_view kStatusFormat = "skerry-status/1";

Status ReadPending(const JsonObject& object, std::vector<PendingSegment>& into) {
  SKERRY_ASSIGN_OR_RETURN(const Json* list, object.Array("pending"));
  if (list->size() > limits::kStatusPending)
    return Fail(ErrorCode::kTooLarge, "status.pending has {} entries, the limit is {}",
                list->size(), limits::kStatusPending);
  for (std::size_t i = 0; i < list->size(); ++i) {
    const JsonObject entry((*list)[i], object.ElementPath("pending", i));
    SKERRY_ASSIGN_OR_RETURN(const StreamRange range, StreamRangeFromJson(entry));
    PendingSegment segment{range.epoch, range.cls, range.first_seq, range.last_seq, 0};
    SKERRY_ASSIGN_OR_RETURN(segment.primary_rows, entry.Uint("primary_rows"));
    into.push_back(segment);
  }
  return {};
}

Status ReadPackages(const JsonObject& object, std::vector<Digest>& into) {
  if (!object.Has("packages")) return {};
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> texts, object.Strings("packages"));
  if (texts.size() > limits::kDeltaHolds)
    return Fail(ErrorCode::kTooLarge, "status.packages has {} entries, the limit is {}",
                texts.size(), limits::kDeltaHolds);
  for (const std::string& text : texts) {
    SKERRY_ASSIGN_OR_RETURN(Digest digest, Digest::Parse(text), "status.packages");
    into.push_back(std::move(digest));
  }
  return {};
}

Result<std::optional<ReportedRelease>> ReadRelease(const JsonObject& object) {
  if (!object.Has("release")) return std::optional<ReportedRelease>();
  SKERRY_ASSIGN_OR_RETURN(const JsonObject inner, object.Object("release"));
  ReportedRelease release;
  SKERRY_ASSIGN_OR_RETURN(release.version, inner.String("version"));
  SKERRY_RETURN_IF_ERROR(CheckVersion("release version", release.version), "status.release");
  SKERRY_ASSIGN_OR_RETURN(release.standing, inner.String("standing"));
  SKERRY_ASSIGN_OR_RETURN(release.digest, OptionalDigestFromJson(inner, "digest"));
  return std::optional(std::move(release));
}

}  // namespace

std::string SiteStatus::ToJson() const {
  Json list = Json::array();
  for (const PendingSegment& segment : pending) {
    Json entry =
        StreamRangeToJson({segment.cls, segment.epoch, segment.first_seq, segment.last_seq});
    entry["primary_rows"] = segment.primary_rows;
    list.push_back(std::move(entry));
  }
  Json document = {{"format", kStatusFormat},
                   {"site", site},
                   {"instance", instance.ToString()},
                   {"counter", counter},
                   {"utc_us", utc_us},
                   {"clock", ClockQualityName(clock)},
                   {"counters", CountersToJson(counters)},
                   {"pending", std::move(list)},
                   {"unsealed_primary_rows", unsealed_primary_rows},
                   {"active_model", active_model},
                   {"desired_version", desired_version},
                   {"alarms", alarms},
                   {"backlog_bytes", backlog_bytes}};
  if (active_digest) document["active_digest"] = active_digest->ToString();
  if (!packages.empty()) {
    Json digests = Json::array();
    for (const Digest& package : packages) digests.push_back(package.ToString());
    document["packages"] = std::move(digests);
  }
  if (release) {
    document["release"] = Json{{"version", release->version}, {"standing", release->standing}};
    if (release->digest) document["release"]["digest"] = release->digest->ToString();
  }
  if (!certificate_request.empty()) document["certificate_request"] = certificate_request;
  return DumpJson(document);
}

Result<SiteStatus> SiteStatus::FromJson(std::string_view json) {
  SKERRY_ASSIGN_OR_RETURN(const Json document, ParseJson(json, limits::kStatusBytes), "status");
  const JsonObject object(document, "status");
  SKERRY_RETURN_IF_ERROR(CheckFormat(object, kStatusFormat));
  SiteStatus status;
  SKERRY_ASSIGN_OR_RETURN(status.site, object.String("site"));
  SKERRY_RETURN_IF_ERROR(CheckName("site name", status.site), "status.site");
  SKERRY_ASSIGN_OR_RETURN(status.instance, InstanceFromJson(object, "instance"));
  SKERRY_ASSIGN_OR_RETURN(status.counter, object.Uint("counter"));
  SKERRY_ASSIGN_OR_RETURN(status.utc_us, object.Int("utc_us"));
  SKERRY_ASSIGN_OR_RETURN(status.clock, ClockFromJson(object));
  SKERRY_ASSIGN_OR_RETURN(const JsonObject counters, object.Object("counters"));
  SKERRY_ASSIGN_OR_RETURN(status.counters, CountersFromJson(counters));
  SKERRY_RETURN_IF_ERROR(ReadPending(object, status.pending));
  SKERRY_ASSIGN_OR_RETURN(status.unsealed_primary_rows, object.Uint("unsealed_primary_rows"));
  SKERRY_ASSIGN_OR_RETURN(status.active_model, object.StringOr("active_model", ""));
  SKERRY_ASSIGN_OR_RETURN(status.active_digest, OptionalDigestFromJson(object, "active_digest"));
  SKERRY_RETURN_IF_ERROR(ReadPackages(object, status.packages));
  SKERRY_ASSIGN_OR_RETURN(status.release, ReadRelease(object));
  SKERRY_ASSIGN_OR_RETURN(status.desired_version, object.UintOr("desired_version", 0));
  SKERRY_ASSIGN_OR_RETURN(status.alarms, object.Strings("alarms"));
  if (status.alarms.size() > limits::kStatusAlarms)
    return Fail(ErrorCode::kTooLarge, "status.alarms has {} entries, the limit is {}",
                status.alarms.size(), limits::kStatusAlarms);
  SKERRY_ASSIGN_OR_RETURN(status.backlog_bytes, object.UintOr("backlog_bytes", 0));
  SKERRY_ASSIGN_OR_RETURN(status.certificate_request, object.StringOr("certificate_request", ""));
  return status;
}

Result<std::string> SignStatus(const SiteStatus& status, const PrivateKey& key) {
  SKERRY_ASSIGN_OR_RETURN(const DsseEnvelope envelope, SignDsse(kStatusType, status.ToJson(), key));
  return envelope.ToJson();
}

Result<SiteStatus> VerifyStatus(std::string_view envelope_json, std::span<const PublicKey> keys) {
  SKERRY_ASSIGN_OR_RETURN(const std::string payload,
                          VerifyDsse(envelope_json, kStatusType, keys, limits::kStatusBytes));
  return SiteStatus::FromJson(payload);
}

}  // namespace skerry
