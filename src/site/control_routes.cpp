#include "site/control_routes.h"

#include "base/limits.h"
#include "base/log.h"
#include "codec/cell_json.h"
#include "crypto/digest.h"
#include "http/status.h"
#include "model/scorer.h"
#include "model/smoke.h"
#include "policy/pseudonyms.h"
#include "serve/batch_builder.h"
#include "site/policy_replay.h"
#include "trust/certificate_times.h"

namespace skerry {
namespace {

using Answer = std::function<Result<Json>(const ControlParts&, const Json& body)>;

Status CheckCaller(const ControlParts& parts, const HttpRequest& request) {
  if (!request.peer.loopback)
    return Fail(ErrorCode::kPermissionDenied, "the control routes answer on loopback only");
  constexpr std::string_view kScheme = "Bearer ";
  const std::string_view given = request.Header("authorization");
  if (given.starts_with(kScheme) && ConstantTimeEqual(given.substr(kScheme.size()), parts.token))
    return {};
  return Fail(ErrorCode::kUnauthenticated,
              "send \"Authorization: Bearer <token>\" with the content of control.token");
}

Route MakeRoute(const ControlParts& parts, std::string method, std::string pattern, Answer answer) {
  Handler handler = [parts, answer = std::move(answer)](HttpRequest& request, Responder responder) {
    const auto respond = [&]() -> Result<Json> {
      SKERRY_RETURN_IF_ERROR(CheckCaller(parts, request));
      if (request.body.empty()) return answer(parts, Json::object());
      SKERRY_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body), "request body");
      return answer(parts, body);
    };
    const Result<Json> result = respond();
    responder.Send(result ? HttpResponse::JsonText(200, DumpJson(*result))
                          : ErrorResponse(result.error()));
  };
  return {std::move(method), std::move(pattern), RouteKind::kPooled, std::move(handler)};
}

Json CountersJson(const Counters& counters) {
  return Json{{"scored", counters.scored},
              {"withheld", counters.withheld},
              {"not_selected", counters.not_selected},
              {"shed", counters.shed},
              {"recalled", counters.recalled},
              {"not_captured", counters.not_captured}};
}

template <typename Ref>
Json RefJson(const std::optional<Ref>& ref) {
  if (!ref) return nullptr;
  return Json{{"name", ref->name}, {"version", ref->version}, {"digest", ref->digest.ToString()}};
}

Json DesiredJson(const ControlParts& parts) {
  const std::optional<DesiredState> desired = parts.identity->desired();
  if (!desired) return nullptr;
  const std::int64_t expires_us =
      parts.identity->metadata_expiry().value_or(TufExpiry{}).expires_us;
  return Json{{"version", desired->version},
              {"active", RefJson(std::optional(desired->active))},
              {"fallback", RefJson(desired->fallback)},
              {"policy", RefJson(desired->policy)},
              {"expires", FormatUtc(expires_us)},
              {"expired", parts.identity->Now(*parts.clock) >= expires_us},
              {"root_version", parts.identity->root_version()}};
}

Json ReleaseJson(const ControlParts& parts) {
  const RunningRelease release = parts.releases->running();
  const std::optional<DesiredState> desired = parts.identity->desired();
  Json json{{"version", release.facts.version},
            {"build", release.facts.build},
            {"architecture", release.facts.architecture},
            {"data_format", release.facts.data.writes},
            {"standing", ReleaseStandingName(release.standing)},
            {"digest", release.digest ? Json(release.digest->ToString()) : Json(nullptr)},
            {"wanted", nullptr}};
  if (desired && desired->release) json["wanted"] = RefJson(desired->release);
  return json;
}

Json LayersJson(const ControlParts& parts) {
  const LayerTraffic layers = parts.deployer->facts().layers;
  return Json{{"whole_bytes", layers.whole_bytes},         {"patch_bytes", layers.patch_bytes},
              {"patched_bytes", layers.patched_bytes},     {"held_bytes", layers.held_bytes},
              {"refused_patches", layers.refused_patches}, {"refusal", layers.refusal}};
}

Json ExchangeJson(const ControlParts& parts) {
  if (parts.exchange == nullptr) return nullptr;
  const ExchangeFacts facts = parts.exchange->facts();
  return Json{{"hub_url", facts.hub_url},
              {"connected", facts.connected},
              {"rounds", facts.rounds},
              {"shipped", facts.shipped},
              {"sent_bytes", facts.sent_bytes},
              {"resumed_bytes", facts.resumed_bytes},
              {"last_contact",
               facts.last_contact_us == 0 ? Json(nullptr) : Json(FormatUtc(facts.last_contact_us))},
              {"last_error", facts.last_error},
              {"waiting", facts.waiting},
              {"moved_bytes", facts.moved_bytes},
              {"moved_today_bytes", facts.moved_today_bytes},
              {"bytes_per_second", facts.bytes_per_second},
              {"round_trip_us", facts.round_trip_us},
              {"connections", facts.connections},
              {"gone_first", facts.gone_first}};
}

Json IdentityJson(const ControlParts& parts) {
  Json json{{"site", parts.identity->site()},
            {"joined", parts.identity->joined()},
            {"key_id", parts.identity->key().public_key().key_id()}};
  if (parts.identity->time_floor_us() > 0)
    json["time_floor"] = FormatUtc(parts.identity->time_floor_us());
  if (const auto facts = parts.identity->certificate(); facts) {
    json["certificate_expires"] = FormatUtc(facts->not_after_us);
    json["certificate_days_left"] =
        DaysLeft(facts->not_after_us, parts.identity->Now(*parts.clock));
  }
  return json;
}

Result<Json> GetSite(const ControlParts& parts, const Json& /*body*/) {
  SKERRY_ASSIGN_OR_RETURN(const OutboxFacts outbox, parts.outbox->facts());
  const DeploymentFacts deployed = parts.deployer->facts();
  return Json{{"site", parts.identity->site()},
              {"instance", parts.instance.ToString()},
              {"capture", parts.capture},
              {"clock", ClockQualityName(parts.clock->quality())},
              {"identity", IdentityJson(parts)},
              {"release", ReleaseJson(parts)},
              {"model", RefJson(deployed.running)},
              {"policy", RefJson(deployed.policy)},
              {"desired", DesiredJson(parts)},
              {"exchange", ExchangeJson(parts)},
              {"layers", LayersJson(parts)},
              {"counters", CountersJson(outbox.counters)},
              {"pending_primary_rows", outbox.unsealed_primary_rows + outbox.sealed_primary_rows},
              {"backlog_bytes", outbox.segment_bytes},
              {"alarms", parts.alarms()}};
}

// That this process scores: the trial of a release asks it.
Result<Json> CheckScoring(const ControlParts& parts, const Json& /*body*/) {
  std::shared_ptr<const ModelPackage> package = parts.active->package();
  if (package == nullptr) return Json{{"model", nullptr}};
  const std::string name = package->schema.model;
  SKERRY_RETURN_IF_ERROR(ScoreSampleRows(std::move(package)), "scoring with " + name);
  return Json{{"model", name}};
}

Json RatesJson(const OutboxRates& rates) {
  const auto seconds = [](const std::optional<double>& value) {
    return value ? Json(*value) : Json(nullptr);
  };
  return Json{{"rows_in_per_s", rates.rows_in},
              {"bytes_in_per_s", rates.bytes_in},
              {"bytes_out_per_s", rates.bytes_out},
              {"drained_in_s", seconds(rates.drained_in)},
              {"full_in_s", seconds(rates.full_in)}};
}

Result<Json> GetOutbox(const ControlParts& parts, const Json& /*body*/) {
  SKERRY_ASSIGN_OR_RETURN(const OutboxFacts facts, parts.outbox->facts());
  Json streams = Json::array();
  for (const StreamBacklog& stream : facts.streams)
    streams.push_back(Json{{"epoch", stream.epoch.ToString()},
                           {"class", RecordClassName(stream.cls)},
                           {"last_seq", stream.last_seq},
                           {"unsealed_rows", stream.unsealed_rows},
                           {"sealed_segments", stream.sealed_segments},
                           {"sealed_rows", stream.sealed_rows},
                           {"sealed_bytes", stream.sealed_bytes}});
  Json lost = Json::array();
  for (const LostRange& range : facts.lost)
    lost.push_back(Json{{"epoch", range.epoch.ToString()},
                        {"class", RecordClassName(range.cls)},
                        {"first_seq", range.first_seq},
                        {"last_seq", range.last_seq},
                        {"rows", range.last_seq - range.first_seq + 1},
                        {"primary_rows", range.primary_rows},
                        {"told", range.told}});
  Json withheld = Json::object();
  for (const auto& [rule, rows] : facts.withheld_by_rule) withheld[rule] = rows;
  return Json{
      {"epoch", facts.epoch.ToString()},
      {"counters", CountersJson(facts.counters)},
      {"receipted_primary_rows", facts.receipted_primary_rows},
      {"unsealed_primary_rows", facts.unsealed_primary_rows},
      {"sealed_primary_rows", facts.sealed_primary_rows},
      {"damaged_primary_rows", facts.damaged_primary_rows},
      {"lost_primary_rows", facts.lost_primary_rows},
      {"lost", std::move(lost)},
      {"queued_rows", facts.queued_rows},
      {"database_bytes", facts.database_bytes},
      {"segment_bytes", facts.segment_bytes},
      {"grace_segments", facts.grace_segments},
      {"grace_bytes", facts.grace_bytes},
      {"quota_bytes", facts.quota_bytes},
      {"open_gaps", facts.open_gaps},
      {"last_statement", facts.last_statement},
      {"receipt_incarnation", facts.receipt_incarnation},
      {"receipt_counter", facts.receipt_counter},
      {"oldest_pending",
       facts.oldest_pending_us == 0 ? Json(nullptr) : Json(FormatUtc(facts.oldest_pending_us))},
      {"rates", RatesJson(facts.rates)},
      {"alarms", parts.alarms()},
      {"withheld_by_rule", std::move(withheld)},
      {"streams", std::move(streams)}};
}

Json FateJson(const std::string& row, const RowFate& fate) {
  Json json{{"row", row},
            {"disposition", RowDispositionName(fate.disposition)},
            {"place", RowPlaceName(fate.place)}};
  if (fate.cls) {
    json["class"] = RecordClassName(*fate.cls);
    json["epoch"] = fate.epoch.ToString();
    json["seq"] = fate.seq;
  }
  return json;
}

Result<Json> LookUpRows(const ControlParts& parts, const Json& body) {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> texts,
                          JsonObject(body, "body").Strings("rows"));
  if (texts.size() > limits::kRowsPerLookup)
    return Fail(ErrorCode::kTooLarge, "body.rows has {} rows, the limit is {}", texts.size(),
                limits::kRowsPerLookup);
  std::vector<RowId> rows;
  rows.reserve(texts.size());
  for (const std::string& text : texts) {
    SKERRY_ASSIGN_OR_RETURN(const RowId row, RowId::Parse(text), "body.rows");
    rows.push_back(row);
  }
  SKERRY_ASSIGN_OR_RETURN(const auto fates, parts.outbox->LookupRows(rows));
  Json missing = Json::array();
  Json found = Json::array();
  for (std::size_t i = 0; i < fates.size(); ++i) {
    if (fates[i])
      found.push_back(FateJson(texts[i], *fates[i]));
    else
      missing.push_back(texts[i]);
  }
  return Json{
      {"found", found.size()}, {"missing", std::move(missing)}, {"fates", std::move(found)}};
}

SiteBundleParts BundleParts(const ControlParts& parts) {
  return {parts.identity,        parts.outbox,        parts.deployer, parts.make_status,
          parts.bundle_progress, parts.data / "sync", parts.custody,  parts.clock,
          parts.bundle_key,      parts.registry};
}

Result<std::filesystem::path> PathOf(const Json& body) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, JsonObject(body, "body").String("path"));
  // The site's working directory is not the caller's.
  if (!text.starts_with('/'))
    return Fail(ErrorCode::kInvalidArgument, "body.path is \"{}\", must be absolute", text);
  return std::filesystem::path(text);
}

Result<Json> ExportBundle(const ControlParts& parts, const Json& body) {
  SKERRY_ASSIGN_OR_RETURN(const std::filesystem::path path, PathOf(body));
  SKERRY_ASSIGN_OR_RETURN(const auto receiver, ReceiverOf(body));
  SKERRY_ASSIGN_OR_RETURN(const BundleReport report,
                          ExportSiteBundle(BundleParts(parts), path, receiver));
  return report.ToJson();
}

Result<Json> ImportBundle(const ControlParts& parts, const Json& body) {
  SKERRY_ASSIGN_OR_RETURN(const std::filesystem::path path, PathOf(body));
  SKERRY_ASSIGN_OR_RETURN(const BundleReport report, ImportSiteBundle(BundleParts(parts), path));
  return report.ToJson();
}

Result<Json> ListBundles(const ControlParts& parts, const Json& /*body*/) {
  Json list = parts.custody->ToJson();
  list["receiver"] = parts.bundle_key.recipient().ToString();
  return list;
}

Result<Json> GetBundleProgress(const ControlParts& parts, const Json& /*body*/) {
  return parts.bundle_progress->ToJson();
}

Result<Json> Seal(const ControlParts& parts, const Json& body) {
  SKERRY_RETURN_IF_ERROR(parts.outbox->SealNow());
  if (parts.exchange != nullptr) parts.exchange->Wake();
  return GetOutbox(parts, body);
}

Result<Json> VerifyOutboxNow(const ControlParts& parts, const Json& /*body*/) {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> findings, parts.outbox->Verify());
  return Json{{"findings", findings}};
}

Result<Json> AcknowledgeLost(const ControlParts& parts, const Json& /*body*/) {
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t records, parts.outbox->AcknowledgeLost());
  return Json{{"acknowledged", records}};
}

Result<RecordClass> ClassOfBody(const Json& body) {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, JsonObject(body, "body").String("class"));
  return ParseRecordClass(name);
}

Result<Json> ExportOutbox(const ControlParts& parts, const Json& body) {
  SKERRY_ASSIGN_OR_RETURN(const std::filesystem::path path, PathOf(body));
  SKERRY_ASSIGN_OR_RETURN(const RecordClass cls, ClassOfBody(body));
  SKERRY_RETURN_IF_ERROR(parts.outbox->ExportTo(path, cls));
  return Json{{"path", path.string()}};
}

Result<Json> TailOutbox(const ControlParts& parts, const Json& body) {
  SKERRY_ASSIGN_OR_RETURN(const RecordClass cls, ClassOfBody(body));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t rows, JsonObject(body, "body").Uint("rows"));
  SKERRY_ASSIGN_OR_RETURN(const Table table, parts.outbox->Tail(cls, rows));
  Json records = Json::array();
  for (std::size_t row = 0; row < table.rows(); ++row) {
    Json record = Json::object();
    for (const Column& column : table.columns)
      if (!column.IsNull(row)) record[column.name] = CellJson(column, row);
    records.push_back(std::move(record));
  }
  return Json{{"records", std::move(records)}};
}

// A person's wish does not wait for the back-off's turn.
Result<Json> Sync(const ControlParts& parts, const Json& /*body*/) {
  if (parts.exchange == nullptr)
    return Fail(ErrorCode::kFailedPrecondition,
                "this site knows no hub URL; it meets its hub by bundles");
  SKERRY_RETURN_IF_ERROR(parts.exchange->SyncNow());
  Json facts = ExchangeJson(parts);
  facts["layers"] = LayersJson(parts);
  return facts;
}

Result<Json> ExplainPolicy(const ControlParts& parts, const Json& body) {
  const std::shared_ptr<const ModelPackage> package = parts.active->package();
  if (!package)
    return Fail(ErrorCode::kFailedPrecondition,
                "this site runs no model yet, so there is no "
                "schema to explain a row of");
  SKERRY_ASSIGN_OR_RETURN(const Json* row, JsonObject(body, "body").Member("row"));
  std::string text = DumpJson(*row);
  SKERRY_ASSIGN_OR_RETURN(const std::shared_ptr<RowBatch> batch, BatchFromNamedRows(package, text),
                          "body.row");
  if (batch->rows != 1)
    return Fail(ErrorCode::kInvalidArgument, "body.row is {} rows, must be one", batch->rows);
  batch->instance = parts.instance;
  batch->first_n = 1;
  batch->event_time_us = parts.clock->UtcMicros();
  batch->mono_us = parts.clock->MonotonicMicros();
  batch->clock = parts.clock->quality();
  SKERRY_RETURN_IF_ERROR(ScoreRows(*batch));
  const std::shared_ptr<const CompiledPolicy> policy = parts.active->PolicyFor(package.get());
  Json fields = Json::array();
  for (const FieldExplanation& field : policy->Explain(*batch, 0))
    fields.push_back(Json{{"field", field.field},
                          {"column", field.column},
                          {"rule", field.rule},
                          {"action", field.action},
                          {"before", field.before},
                          {"after", field.after}});
  return Json{{"policy", policy->name().empty() ? std::string("none")
                                                : policy->name() + ":" + policy->version()},
              {"model", package->name + ":" + package->version},
              {"fields", std::move(fields)}};
}

Result<Json> GetPolicy(const ControlParts& parts, const Json& /*body*/) {
  const std::shared_ptr<const CompiledPolicy> policy = parts.active->policy();
  const std::optional<PolicyDocument> local = parts.desk->local();
  Json waiting = nullptr;
  if (const auto held = parts.desk->waiting()) {
    waiting = RefJson(std::optional(held->policy));
    waiting["widenings"] = held->widenings;
    waiting["refused"] = held->refused;
  }
  return Json{{"in_force", RefJson(parts.deployer->facts().policy)},
              {"local", local ? Json(local->name + ":" + local->version) : Json(nullptr)},
              {"digest", policy->digest() ? Json(policy->digest()->ToString()) : Json(nullptr)},
              {"warnings", policy->warnings()},
              {"waiting", std::move(waiting)}};
}

Result<Json> DecideOnPolicy(const ControlParts& parts, const Json& body,
                            Status (PolicyDesk::*decide)(std::string_view)) {
  SKERRY_ASSIGN_OR_RETURN(const std::string policy, JsonObject(body, "body").String("policy"));
  SKERRY_RETURN_IF_ERROR((parts.desk->*decide)(policy));
  const Status used = parts.deployer->RetryPolicy();
  if (!used) LogInfo("policy {} stays out of force: {}", policy, used.error().message());
  return GetPolicy(parts, body);
}

Result<Json> ReloadPolicy(const ControlParts& parts, const Json& body) {
  SKERRY_RETURN_IF_ERROR(parts.active->UseLocalPolicy());
  // What waited for approval may be no wider now.
  const Status used = parts.deployer->RetryPolicy();
  if (!used) LogInfo("the hub's policy stays out of force: {}", used.error().message());
  return GetPolicy(parts, body);
}

Result<Json> Replay(const ControlParts& parts, const Json& body) {
  const JsonObject object(body, "body");
  SKERRY_ASSIGN_OR_RETURN(const std::string yaml, object.String("policy"));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t days, object.UintOr("days", 36'500));
  if (days > 36'500)
    return Fail(ErrorCode::kInvalidArgument, "body.days is {}, must be 36500 at most", days);
  if (parts.journal == nullptr)
    return Fail(ErrorCode::kFailedPrecondition,
                "this site keeps no journal; set for example 'journal: {{bytes: 1000000000, days: "
                "30}}' in its configuration");
  ReplayParts replay{parts.journal, parts.outbox, parts.active->package(), nullptr, nullptr};
  if (!replay.package) return Fail(ErrorCode::kFailedPrecondition, "this site runs no model yet");
  SKERRY_ASSIGN_OR_RETURN(PolicyDocument document, PolicyDocument::Parse(yaml), "body.policy");
  SKERRY_ASSIGN_OR_RETURN(
      replay.asked,
      CompiledPolicy::Compile(parts.desk->WithLocal(std::move(document)), replay.package->schema,
                              parts.identity->policy_hmac_key()),
      "body.policy");
  replay.in_force = parts.active->PolicyFor(replay.package.get());
  return ReplayPolicy(replay, parts.clock->UtcMicros() -
                                  static_cast<std::int64_t>(days) * std::int64_t{86'400'000'000});
}

Json KeyIdsJson(const ControlParts& parts) {
  Json ids = Json::array();
  for (std::string& key : parts.identity->policy_hmac_keys())
    ids.push_back(Pseudonyms(std::move(key)).key_id());
  return ids;
}

Result<Json> RotatePolicyKey(const ControlParts& parts, const Json& /*body*/) {
  SKERRY_RETURN_IF_ERROR(parts.identity->RotatePolicyKey());
  SKERRY_RETURN_IF_ERROR(parts.active->UseKey(parts.identity->policy_hmac_key()));
  return Json{{"key_ids", KeyIdsJson(parts)}};
}

Result<Json> FindPseudonyms(const ControlParts& parts, const Json& body) {
  const JsonObject object(body, "body");
  SKERRY_ASSIGN_OR_RETURN(const std::string field, object.String("field"));
  SKERRY_ASSIGN_OR_RETURN(const std::string value, object.String("value"));
  Json pseudonyms = Json::array();
  for (std::string& key : parts.identity->policy_hmac_keys())
    pseudonyms.push_back(Pseudonyms(std::move(key)).Of(field, value));
  return Json{{"pseudonyms", std::move(pseudonyms)}};
}

Result<Json> ApprovePolicy(const ControlParts& parts, const Json& body) {
  return DecideOnPolicy(parts, body, &PolicyDesk::Approve);
}

Result<Json> RefusePolicy(const ControlParts& parts, const Json& body) {
  return DecideOnPolicy(parts, body, &PolicyDesk::Refuse);
}

}  // namespace

std::vector<Route> ControlRoutes(const ControlParts& parts) {
  return {MakeRoute(parts, "GET", "/v1/site", GetSite),
          MakeRoute(parts, "POST", "/v1/site/check", CheckScoring),
          MakeRoute(parts, "GET", "/v1/outbox", GetOutbox),
          MakeRoute(parts, "POST", "/v1/rows/lookup", LookUpRows),
          MakeRoute(parts, "GET", "/v1/bundles", ListBundles),
          MakeRoute(parts, "POST", "/v1/bundles/export", ExportBundle),
          MakeRoute(parts, "POST", "/v1/bundles/import", ImportBundle),
          MakeRoute(parts, "GET", "/v1/bundles/progress", GetBundleProgress),
          MakeRoute(parts, "POST", "/v1/outbox/seal", Seal),
          MakeRoute(parts, "POST", "/v1/outbox/verify", VerifyOutboxNow),
          MakeRoute(parts, "POST", "/v1/outbox/acknowledge", AcknowledgeLost),
          MakeRoute(parts, "POST", "/v1/outbox/export", ExportOutbox),
          MakeRoute(parts, "POST", "/v1/outbox/tail", TailOutbox),
          MakeRoute(parts, "POST", "/v1/sync", Sync),
          MakeRoute(parts, "GET", "/v1/policy", GetPolicy),
          MakeRoute(parts, "POST", "/v1/policy/approve", ApprovePolicy),
          MakeRoute(parts, "POST", "/v1/policy/refuse", RefusePolicy),
          MakeRoute(parts, "POST", "/v1/policy/reload", ReloadPolicy),
          MakeRoute(parts, "POST", "/v1/policy/replay", Replay),
          MakeRoute(parts, "POST", "/v1/policy/rotate-key", RotatePolicyKey),
          MakeRoute(parts, "POST", "/v1/policy/pseudonyms", FindPseudonyms),
          MakeRoute(parts, "POST", "/v1/policy/explain", ExplainPolicy)};
}

}  // namespace skerry
