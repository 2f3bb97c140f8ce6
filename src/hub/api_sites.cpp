// Handlers of HubApi: joining, sites, their documents, bundles.
#include <algorithm>

#include "base/delta_limits.h"
#include "base/ids.h"
#include "base/limits.h"
#include "http/status.h"
#include "hub/api.h"
#include "hub/audit_log.h"
#include "hub/incarnation.h"
#include "hub/ledger.h"
#include "hub/reconciliation.h"
#include "hub/site_directory.h"
#include "oci/media_types.h"
#include "outbox/site_status.h"
#include "trust/certificate_times.h"
#include "trust/join.h"

namespace skerry {
namespace {

constexpr std::string_view kDsseContentType = "application/vnd.dsse.envelope.v1+json";

HttpResponse EnvelopeResponse(std::string envelope) {
  return HttpResponse::Text(200, std::move(envelope), std::string(kDsseContentType));
}

// Of the certificate that the site would call with; null when its keys are revoked.
Result<Json> CertificateJson(Database& db, std::string_view site, std::int64_t now_us) {
  const auto pem = SiteDirectory(db).NewestCertificate(site);
  if (!pem && pem.error().code() == ErrorCode::kNotFound) return Json();
  if (!pem) return tl::make_unexpected(pem.error());
  SKERRY_ASSIGN_OR_RETURN(const CertificateFacts facts, ParseCertificate(*pem));
  const std::string alarm = ExpiryAlarm("the site", facts.not_after_us, now_us);
  return Json{{"expires_us", facts.not_after_us},
              {"days_left", DaysLeft(facts.not_after_us, now_us)},
              {"alarm", alarm.empty() ? Json() : Json(alarm)}};
}

Json SetAsideJson(const SetAside& item) {
  return {{"site", item.site},
          {"kind", item.kind},
          {"digest", item.digest},
          {"name", item.name},
          {"reason", item.reason},
          {"rows", item.rows},
          {"at_us", item.at_us},
          {"acknowledged_us", item.acknowledged_us == 0 ? Json() : Json(item.acknowledged_us)}};
}

// What the ledger and the newest status say, under one lock.
Result<ReconciliationInput> ReadLedger(HubStore& store, std::string_view site,
                                       std::int64_t now_us) {
  return store.Read([&](Database& db) -> Result<ReconciliationInput> {
    ReconciliationInput input;
    input.site = std::string(site);
    SKERRY_ASSIGN_OR_RETURN(const SiteRecord record, SiteDirectory(db).Find(site));
    if (!record.status_json.empty()) {
      SKERRY_ASSIGN_OR_RETURN(input.status, SiteStatus::FromJson(record.status_json));
      input.status_age_us = std::max<std::int64_t>(0, now_us - record.status_us);
    }
    Ledger ledger(db);
    SKERRY_ASSIGN_OR_RETURN(input.streams, ledger.Streams(site));
    SKERRY_ASSIGN_OR_RETURN(input.missing_statements, ledger.MissingStatements(site));
    SKERRY_ASSIGN_OR_RETURN(input.conflicting_rows, ledger.ConflictingRows(site));
    input.duplicate_rows = record.duplicate_rows;
    return input;
  });
}

Result<std::uint64_t> HeldPrimaryRows(HubStore& store, LakeReader& lake, std::string_view site,
                                      const StreamKey& stream, std::uint64_t first,
                                      std::uint64_t last) {
  SKERRY_ASSIGN_OR_RETURN(const auto files, store.Read([&](Database& db) {
    return Ledger(db).FilesOf(site, stream, first, last);
  }));
  SKERRY_ASSIGN_OR_RETURN(
      const Table table,
      lake.Query(fmt::format("SELECT count(*) FROM {{files}} WHERE \"primary\" AND seq BETWEEN {} "
                             "AND {}",
                             first, last),
                 files));
  return table.rows() == 0 ? 0 : static_cast<std::uint64_t>(table.columns[0].ints[0]);
}

// Counts once more from the files themselves, whatever the ledger says.
Result<Json> Recount(HubStore& store, LakeReader& lake, std::string_view site) {
  std::uint64_t rows = 0;
  std::uint64_t primary_rows = 0;
  std::uint64_t distinct_rows = 0;
  for (const RecordClass cls :
       {RecordClass::kAnomaly, RecordClass::kSample, RecordClass::kInsight}) {
    SKERRY_ASSIGN_OR_RETURN(const auto files, store.Read([&](Database& db) {
      return Ledger(db).FilesOfClass(cls, site, "", 0);
    }));
    SKERRY_ASSIGN_OR_RETURN(const Table table,
                            lake.Query("SELECT count(*), count(*) FILTER (WHERE \"primary\"), "
                                       "count(DISTINCT (instance, n)) FROM {files}",
                                       files));
    if (table.rows() == 0) continue;
    rows += static_cast<std::uint64_t>(table.columns[0].ints[0]);
    primary_rows += static_cast<std::uint64_t>(table.columns[1].ints[0]);
    distinct_rows += static_cast<std::uint64_t>(table.columns[2].ints[0]);
  }
  return Json{{"rows", rows}, {"primary_rows", primary_rows}, {"duplicates", rows - distinct_rows}};
}

}  // namespace

Result<SiteReceiptPosition> ReadReceiptPosition(HubStore& store, std::string_view site) {
  return store.Read([&](Database& db) -> Result<SiteReceiptPosition> {
    SKERRY_ASSIGN_OR_RETURN(const SiteRecord record, SiteDirectory(db).Find(site));
    SKERRY_ASSIGN_OR_RETURN(HubIncarnation incarnation, ReadIncarnation(db));
    return SiteReceiptPosition{std::move(incarnation.id), record.receipt_counter};
  });
}

Result<HttpResponse> HubApi::CreateToken(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body, limits::kJoinDocumentBytes));
  const JsonObject object(body, "token");
  SKERRY_RETURN_IF_ERROR(object.ForbidOthers({"site", "media"}));
  SKERRY_ASSIGN_OR_RETURN(const std::string site, object.String("site"));
  SKERRY_ASSIGN_OR_RETURN(const bool media_only, object.BoolOr("media", false));
  SKERRY_ASSIGN_OR_RETURN(const JoinToken token,
                          parts_.join->MakeToken(site, media_only ? std::string() : Url()));
  return HttpResponse::JsonText(201, token.ToJson());
}

Result<HttpResponse> HubApi::Join(const HttpRequest& request) {
  if (request.body.size() > limits::kJoinDocumentBytes)
    return Fail(ErrorCode::kTooLarge, "a join request has at most {} bytes",
                limits::kJoinDocumentBytes);
  SKERRY_ASSIGN_OR_RETURN(const JoinRequest join, JoinRequest::FromJson(request.body));
  SKERRY_ASSIGN_OR_RETURN(JoinDesk::Answer answer, parts_.join->Join(join, Road::kLink));
  return EnvelopeResponse(std::move(answer.grant));
}

Result<HttpResponse> HubApi::RenewCertificate(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body, limits::kJoinDocumentBytes));
  const JsonObject object(body, "renewal");
  SKERRY_RETURN_IF_ERROR(object.ForbidOthers({"csr_pem"}));
  SKERRY_ASSIGN_OR_RETURN(const std::string csr_pem, object.String("csr_pem"));
  SKERRY_ASSIGN_OR_RETURN(JoinDesk::Answer answer,
                          parts_.join->Renew(request.Param("site"), csr_pem, Road::kLink));
  return EnvelopeResponse(std::move(answer.grant));
}

Result<HttpResponse> HubApi::RevokeSite(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t keys, parts_.join->Revoke(request.Param("site")));
  return JsonResponse({{"site", request.Param("site")}, {"revoked_keys", keys}});
}

Result<HttpResponse> HubApi::AcknowledgeSite(const HttpRequest& request) {
  const std::string& site = request.Param("site");
  std::uint64_t items = 0;
  Status written = parts_.store->Write([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const SiteRecord known, SiteDirectory(db).Find(site));
    const std::int64_t now_us = parts_.clock->UtcMicros();
    SKERRY_ASSIGN_OR_RETURN(items, Ledger(db).Acknowledge(site, now_us));
    if (items == 0) return {};
    return AuditLog(db).Append(now_us, "admin", "site.acknowledge", site, {{"items", items}});
  });
  SKERRY_RETURN_IF_ERROR(std::move(written));
  return JsonResponse({{"site", site}, {"acknowledged", items}});
}

Result<Json> HubApi::SiteJson(Database& db, const SiteRecord& record) {
  Json status;
  if (!record.status_json.empty()) {
    SKERRY_ASSIGN_OR_RETURN(status, ParseJson(record.status_json));
    // Long, and told better by the reconciliation; and what was for us alone.
    status.erase("pending");
    status.erase("certificate_request");
  }
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t set_aside, Ledger(db).CountSetAside(record.site));
  SKERRY_ASSIGN_OR_RETURN(Json certificate,
                          CertificateJson(db, record.site, parts_.clock->UtcMicros()));
  const std::int64_t last_us = std::max(record.last_link_us, record.last_media_us);
  return Json{{"site", record.site},
              {"created_us", record.created_us},
              {"last_contact_us", last_us},
              {"last_road", last_us == 0 ? Json()
                                         : Json(RoadName(record.last_link_us >= record.last_media_us
                                                             ? Road::kLink
                                                             : Road::kMedia))},
              {"last_link_us", record.last_link_us},
              {"last_media_us", record.last_media_us},
              {"certificate", std::move(certificate)},
              {"receipt_counter", record.receipt_counter},
              {"status_us", record.status_us},
              {"status", std::move(status)},
              {"set_aside", set_aside}};
}

Result<HttpResponse> HubApi::ListSites(const HttpRequest&) {
  Json sites = Json::array();
  const Status read = parts_.store->Read([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(const auto records, SiteDirectory(db).List());
    for (const SiteRecord& record : records) {
      SKERRY_ASSIGN_OR_RETURN(Json site, SiteJson(db, record));
      sites.push_back(std::move(site));
    }
    return {};
  });
  if (!read) return tl::make_unexpected(read.error());
  return JsonResponse({{"sites", std::move(sites)}});
}

Result<HttpResponse> HubApi::GetSite(const HttpRequest& request) {
  const std::string& name = request.Param("site");
  Json site;
  const Status read = parts_.store->Read([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(const SiteRecord record, SiteDirectory(db).Find(name));
    SKERRY_ASSIGN_OR_RETURN(site, SiteJson(db, record));
    SKERRY_ASSIGN_OR_RETURN(const auto items, Ledger(db).SetAsides(name, limits::kListItems));
    Json list = Json::array();
    for (const SetAside& item : items) list.push_back(SetAsideJson(item));
    site["set_aside_items"] = std::move(list);
    return {};
  });
  if (!read) return tl::make_unexpected(read.error());
  SKERRY_ASSIGN_OR_RETURN(const auto desired, parts_.desired->Current(name));
  if (desired) {
    SKERRY_ASSIGN_OR_RETURN(site["desired"], ParseJson(desired->ToJson()));
  } else {
    site["desired"] = nullptr;
  }
  return JsonResponse(site);
}

Result<HttpResponse> HubApi::GetReconciliation(const HttpRequest& request) {
  const std::string& site = request.Param("site");
  SKERRY_ASSIGN_OR_RETURN(ReconciliationInput input,
                          ReadLedger(*parts_.store, site, parts_.clock->UtcMicros()));
  input.held_primary_rows = [&](const StreamKey& stream, std::uint64_t first, std::uint64_t last) {
    return HeldPrimaryRows(*parts_.store, *parts_.lake, site, stream, first, last);
  };
  SKERRY_ASSIGN_OR_RETURN(const Reconciliation reconciliation, Reconcile(input));
  Json json = reconciliation.ToJson();
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t recount, QueryUint(request, "recount", 0, 1));
  if (recount == 1) {
    SKERRY_ASSIGN_OR_RETURN(json["recount"], Recount(*parts_.store, *parts_.lake, site));
  }
  return JsonResponse(json);
}

Result<HttpResponse> HubApi::PostStatus(const HttpRequest& request) {
  const std::string& site = request.Param("site");
  SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const bool newer,
                          parts_.ingest->TakeStatus(site, request.body, Road::kLink));
  SKERRY_ASSIGN_OR_RETURN(const SiteReceiptPosition position,
                          ReadReceiptPosition(*parts_.store, site));
  return JsonResponse(
      {{"hub_incarnation", position.incarnation}, {"receipt_counter", position.counter}});
}

Result<HttpResponse> HubApi::PostReceipt(const HttpRequest& request) {
  SKERRY_RETURN_IF_ERROR(parts_.ingest->TakeReceipt(request.Param("site"), request.body));
  return GetReceipt(request);
}

Result<HttpResponse> HubApi::GetReceipt(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(std::string envelope, parts_.receipts->Newest(request.Param("site")));
  return EnvelopeResponse(std::move(envelope));
}

Result<HttpResponse> HubApi::PutDesired(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body, limits::kDesiredStateBytes));
  const JsonObject object(body, "desired");
  SKERRY_RETURN_IF_ERROR(object.ForbidOthers({"model", "fallback", "policy"}));
  DesiredRequest desired{.site = request.Param("site"), .model = {}, .fallback = {}, .policy = {}};
  SKERRY_ASSIGN_OR_RETURN(desired.model, object.String("model"));
  SKERRY_ASSIGN_OR_RETURN(desired.fallback, object.StringOr("fallback", ""));
  SKERRY_ASSIGN_OR_RETURN(desired.policy, object.StringOr("policy", ""));
  SKERRY_ASSIGN_OR_RETURN(const DesiredState state, parts_.desired->Set(desired));
  return HttpResponse::JsonText(200, state.ToJson());
}

Result<HttpResponse> HubApi::PutRelease(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body, limits::kDesiredStateBytes));
  const JsonObject object(body, "release");
  SKERRY_RETURN_IF_ERROR(object.ForbidOthers({"release", "may_be_older"}));
  ReleaseRequest wanted{.site = request.Param("site"), .release = {}, .may_be_older = false};
  SKERRY_ASSIGN_OR_RETURN(wanted.release, object.StringOr("release", ""));
  SKERRY_ASSIGN_OR_RETURN(wanted.may_be_older, object.BoolOr("may_be_older", false));
  SKERRY_ASSIGN_OR_RETURN(const DesiredState state, parts_.desired->SetRelease(wanted));
  return HttpResponse::JsonText(200, state.ToJson());
}

// Of what the site's desired state names alone: it can make this hub work for nothing else.
Result<HttpResponse> HubApi::FindDelta(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body, limits::kDeltaRequestBytes));
  const JsonObject object(body, "delta");
  SKERRY_RETURN_IF_ERROR(object.ForbidOthers({"package", "holds"}));
  SKERRY_ASSIGN_OR_RETURN(const std::string package, object.String("package"));
  SKERRY_ASSIGN_OR_RETURN(const Digest target, Digest::Parse(package), "package");
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> names, object.Strings("holds"));
  if (names.size() > limits::kDeltaHolds)
    return Fail(ErrorCode::kTooLarge, "holds has {} packages, the limit is {} (kDeltaHolds)",
                names.size(), limits::kDeltaHolds);
  std::vector<Digest> holds;
  for (const std::string& name : names) {
    SKERRY_ASSIGN_OR_RETURN(Digest digest, Digest::Parse(name), "holds");
    holds.push_back(std::move(digest));
  }
  SKERRY_ASSIGN_OR_RETURN(const auto desired, parts_.desired->Current(request.Param("site")));
  const bool named = desired && (desired->active.digest == target ||
                                 (desired->fallback && desired->fallback->digest == target));
  if (!named)
    return Fail(ErrorCode::kFailedPrecondition,
                "the desired state of the site {} does not name the package {}",
                request.Param("site"), target.ToString());
  SKERRY_ASSIGN_OR_RETURN(std::optional<std::string> delta, parts_.deltas->Find(target, holds));
  if (!delta) return JsonResponse({{"state", "making"}}, 202);
  return HttpResponse::Text(200, std::move(*delta), std::string(media_types::kImageManifest));
}

Result<HttpResponse> HubApi::ListBundles(const HttpRequest& request) {
  Json list = parts_.bundles->custody().ToJson(request.Query("site"));
  list["receiver"] = parts_.bundles->receiver().ToString();
  return JsonResponse(list);
}

Result<HttpResponse> HubApi::ImportBundle(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body));
  const JsonObject object(body, "import");
  SKERRY_RETURN_IF_ERROR(object.ForbidOthers({"path"}));
  SKERRY_ASSIGN_OR_RETURN(const std::string path, object.String("path"));
  SKERRY_ASSIGN_OR_RETURN(const BundleReport report, parts_.bundles->Import(path));
  return JsonResponse(report.ToJson());
}

Result<HttpResponse> HubApi::ExportBundle(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body));
  const JsonObject object(body, "export");
  SKERRY_RETURN_IF_ERROR(object.ForbidOthers({"site", "path", "receiver", "whole", "supply"}));
  SKERRY_ASSIGN_OR_RETURN(const std::string site, object.String("site"));
  SKERRY_ASSIGN_OR_RETURN(const std::string path, object.String("path"));
  SKERRY_ASSIGN_OR_RETURN(const auto receiver, ReceiverOf(body));
  SKERRY_ASSIGN_OR_RETURN(const bool whole, object.BoolOr("whole", false));
  std::vector<std::string> supply;
  if (body.contains("supply")) {
    SKERRY_ASSIGN_OR_RETURN(supply, object.Strings("supply"));
  }
  SKERRY_ASSIGN_OR_RETURN(
      const BundleReport report,
      parts_.bundles->Export(site, path,
                             whole ? CarriedLayers::kWhole : CarriedLayers::kWhatIsMissing,
                             receiver, supply));
  return JsonResponse(report.ToJson());
}

Result<HttpResponse> HubApi::GetBundleProgress(const HttpRequest& /*request*/) {
  return JsonResponse(parts_.bundles->progress().ToJson());
}

}  // namespace skerry
