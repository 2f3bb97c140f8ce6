// Handlers of HubApi: records, counts, anomalies, drift, the overview.
#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>

#include "base/clock.h"
#include "base/ids.h"
#include "base/limits.h"
#include "codec/cell_json.h"
#include "hub/api.h"
#include "hub/drift_report.h"
#include "hub/ledger.h"
#include "hub/lineage.h"
#include "hub/site_directory.h"
#include "outbox/site_status.h"
#include "tabular/engine.h"

namespace skerry {
namespace {

constexpr std::uint64_t kMicrosPerSecond = 1'000'000;
constexpr std::uint64_t kLongestSeconds = 400ULL * 86'400;  // of a step, or back in time

// "north" from ".../north-<64 hex digits>.parquet".
std::string SiteOfFile(std::string_view path) {
  constexpr std::size_t kSuffix = 1 + 64 + std::string_view(".parquet").size();
  path.remove_prefix(path.find_last_of('/') + 1);
  return std::string(path.substr(0, path.size() - std::min(path.size(), kSuffix)));
}

// Columns of corrections (docs/formats/clock-correction.md) beside those of records.
constexpr std::string_view kCorrectionPrefix = "clock_correction.";

// The files' records, with the corrections of their times where there are any, newest first.
std::string NewestSql(const std::filesystem::path& corrections,
                      const std::vector<std::string>& corrected, bool timed, std::uint64_t limit) {
  if (corrected.empty())
    return fmt::format("SELECT * FROM {{files}} ORDER BY {} n DESC, instance LIMIT {}",
                       timed ? "event_time DESC NULLS LAST," : "", limit);
  return fmt::format(
      "SELECT f.*, c.corrected_time AS \"{0}corrected_time\", c.not_before AS \"{0}not_before\", "
      "c.not_after AS \"{0}not_after\", c.how AS \"{0}how\" FROM {{files}} f LEFT JOIN (SELECT * "
      "EXCLUDE (filename) FROM {1}) c ON c.instance = f.instance AND c.n = f.n ORDER BY "
      "coalesce(c.corrected_time, c.not_after, f.event_time) DESC NULLS LAST, f.n DESC, "
      "f.instance LIMIT {2}",
      kCorrectionPrefix, ParquetSource(corrections, corrected), limit);
}

// Of a record whose time was corrected: `event_time` becomes what is known, null where that is
// bounds alone, and `clock_correction` says how it is known and what was written.
void CorrectTime(Json& record, Json correction) {
  if (!correction.contains("how") || correction["how"].is_null()) return;
  correction["written"] = std::move(record["event_time"]);
  record["event_time"] = std::move(correction["corrected_time"]);
  correction.erase("corrected_time");
  record["clock_correction"] = std::move(correction);
}

// One record of the lake: what every record has, and the released columns under `fields`.
Json RecordJson(const Table& table, std::size_t row) {
  Json record = Json::object();
  Json fields = Json::object();
  Json correction = Json::object();
  std::string instance;
  std::int64_t n = 0;
  for (const Column& column : table.columns) {
    if (column.name == "filename") {
      record["site"] = SiteOfFile(column.texts[row]);
    } else if (column.name == "instance") {
      instance = column.texts[row];
    } else if (column.name == "n") {
      n = column.ints[row];
    } else if (column.name.starts_with(kCorrectionPrefix)) {
      correction[column.name.substr(kCorrectionPrefix.size())] = CellJson(column, row);
    } else if (column.name.starts_with("in_") || column.name.starts_with("ctx_")) {
      if (!column.IsNull(row)) fields[column.name] = CellJson(column, row);
    } else {
      record[column.name] = CellJson(column, row);
    }
  }
  record["row"] = fmt::format("{}-{}", instance, n);
  record["fields"] = std::move(fields);
  CorrectTime(record, std::move(correction));
  return record;
}

Result<Table> WantedRows(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body));
  const JsonObject object(body, "lookup");
  SKERRY_RETURN_IF_ERROR(object.ForbidOthers({"rows"}));
  SKERRY_ASSIGN_OR_RETURN(const auto rows, object.Strings("rows"));
  if (rows.size() > limits::kRowsPerRequest)
    return Fail(ErrorCode::kTooLarge, "lookup.rows: at most {} in one request",
                limits::kRowsPerRequest);
  Table wanted;
  wanted.columns.push_back({.name = "instance", .type = ColumnType::kText});
  wanted.columns.push_back({.name = "n", .type = ColumnType::kInt64});
  for (const std::string& text : rows) {
    SKERRY_ASSIGN_OR_RETURN(const RowId row, RowId::Parse(text));
    wanted.columns[0].AppendText(row.instance.ToString());
    wanted.columns[1].AppendInt(static_cast<std::int64_t>(row.n));
  }
  return wanted;
}

// The alarms of a site: its own, and what the hub noticed.
Json AlarmsOf(const SiteRecord& record, const std::vector<SetAside>& set_aside) {
  Json alarms = Json::array();
  if (!record.status_json.empty()) {
    if (const auto status = SiteStatus::FromJson(record.status_json)) {
      for (const std::string& alarm : status->alarms)
        alarms.push_back({{"site", record.site}, {"from", "site"}, {"text", alarm}});
    }
  }
  for (const SetAside& item : set_aside) {
    if (item.acknowledged_us != 0) continue;
    alarms.push_back(
        {{"site", record.site},
         {"from", "hub"},
         {"text", fmt::format("{} {} was set aside: {}", item.kind, item.name, item.reason)}});
  }
  return alarms;
}

}  // namespace

Result<std::vector<std::string>> HubApi::FilesOf(std::string_view site, RecordClass cls) {
  return parts_.store->Read(
      [&](Database& db) { return Ledger(db).FilesOfClass(cls, site, "", 0); });
}

Result<HttpResponse> HubApi::LookupRows(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const Table wanted, WantedRows(request));
  const std::string& site = request.Param("site");
  Json found = Json::array();
  std::set<std::string> seen;
  for (const RecordClass cls :
       {RecordClass::kAnomaly, RecordClass::kSample, RecordClass::kInsight}) {
    SKERRY_ASSIGN_OR_RETURN(const auto files, FilesOf(site, cls));
    SKERRY_ASSIGN_OR_RETURN(
        const Table table,
        parts_.lake->QueryWith("SELECT s.instance, s.n::BIGINT, s.\"primary\", s.model, "
                               "s.seq::BIGINT FROM {files} s SEMI JOIN wanted w ON s.instance = "
                               "w.instance AND s.n = w.n ORDER BY s.instance, s.n",
                               files, wanted));
    for (std::size_t row = 0; row < table.rows(); ++row) {
      std::string id =
          fmt::format("{}-{}", table.columns[0].texts[row], table.columns[1].ints[row]);
      found.push_back({{"row", id},
                       {"class", RecordClassName(cls)},
                       {"primary", CellJson(table.columns[2], row)},
                       {"model", CellJson(table.columns[3], row)},
                       {"seq", CellJson(table.columns[4], row)}});
      seen.insert(std::move(id));
    }
  }
  Json missing = Json::array();
  for (std::size_t row = 0; row < wanted.rows(); ++row) {
    const std::string id =
        fmt::format("{}-{}", wanted.columns[0].texts[row], wanted.columns[1].ints[row]);
    if (!seen.contains(id)) missing.push_back(id);
  }
  return JsonResponse({{"found", std::move(found)}, {"missing", std::move(missing)}});
}

Result<HttpResponse> HubApi::GetLineage(const HttpRequest& request) {
  const std::string& site = request.Param("site");
  if (!request.HasQuery("row"))
    return Fail(ErrorCode::kInvalidArgument, "which row? Ask with ?row=<row id>");
  SKERRY_ASSIGN_OR_RETURN(const RowId row, RowId::Parse(request.Query("row")), "row");
  for (const RecordClass cls :
       {RecordClass::kAnomaly, RecordClass::kSample, RecordClass::kInsight}) {
    SKERRY_ASSIGN_OR_RETURN(const auto files, FilesOf(site, cls));
    SKERRY_ASSIGN_OR_RETURN(
        const Table table,
        parts_.lake->Query(fmt::format("SELECT model, seq::BIGINT, filename FROM {{files}} WHERE "
                                       "instance = {} AND n = {} LIMIT 1",
                                       QuoteLiteral(row.instance.ToString()), row.n),
                           files));
    if (table.rows() == 0) continue;
    if (table.columns[0].IsNull(0))
      return Fail(ErrorCode::kNotFound, "the record of the row {} does not tell its model",
                  row.ToString());
    Json record{{"site", site},
                {"row", row.ToString()},
                {"class", RecordClassName(cls)},
                {"seq", table.columns[1].ints[0]},
                {"model", table.columns[0].texts[0]},
                {"file", std::filesystem::path(table.columns[2].texts[0]).filename().string()}};
    SKERRY_ASSIGN_OR_RETURN(record["lineage"], LineageOf(*parts_.shelf, table.columns[0].texts[0]));
    return JsonResponse(record);
  }
  return Fail(ErrorCode::kNotFound, "the hub holds no record of the row {} of {}", row.ToString(),
              site);
}

Result<HttpResponse> HubApi::Overview(const HttpRequest&) {
  Json sites = Json::array();
  Json alarms = Json::array();
  Json totals = Json::object();
  for (const RecordClass cls : kRecordClasses) totals[std::string(RecordClassName(cls))] = 0;
  const Status read = parts_.store->Read([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(const auto records, SiteDirectory(db).List());
    for (const SiteRecord& record : records) {
      SKERRY_ASSIGN_OR_RETURN(Json site, SiteJson(db, record));
      SKERRY_ASSIGN_OR_RETURN(const auto streams, Ledger(db).Streams(record.site));
      for (const StreamHoldings& stream : streams) {
        Json& total = totals[std::string(RecordClassName(stream.stream.cls))];
        total = total.get<std::uint64_t>() + stream.rows;
      }
      SKERRY_ASSIGN_OR_RETURN(const auto items,
                              Ledger(db).SetAsides(record.site, limits::kListItems));
      for (Json& alarm : AlarmsOf(record, items)) alarms.push_back(std::move(alarm));
      if (const Json& certificate = site["certificate"];
          certificate.is_object() && !certificate["alarm"].is_null())
        alarms.push_back({{"site", record.site}, {"from", "hub"}, {"text", certificate["alarm"]}});
      sites.push_back(std::move(site));
    }
    return {};
  });
  if (!read) return tl::make_unexpected(read.error());
  return JsonResponse({{"now_us", parts_.clock->UtcMicros()},
                       {"sites", std::move(sites)},
                       {"rows_by_class", std::move(totals)},
                       {"alarms", std::move(alarms)}});
}

Result<HttpResponse> HubApi::Anomalies(const HttpRequest& request) {
  constexpr std::uint64_t kDefaultLimit = 100;
  constexpr std::uint64_t kNewestFiles = 256;  // bounds what one page reads
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t limit,
                          QueryUint(request, "limit", kDefaultLimit, limits::kListItems));
  std::vector<std::string> files;
  std::vector<std::string> corrected;
  const Status read = parts_.store->Read([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(
        files,
        Ledger(db).FilesOfClass(RecordClass::kAnomaly, request.Query("site"), "", kNewestFiles));
    SKERRY_ASSIGN_OR_RETURN(corrected, ClockLedger(db).Corrected(files));
    return {};
  });
  if (!read) return tl::make_unexpected(read.error());
  SKERRY_ASSIGN_OR_RETURN(const Table first,
                          parts_.lake->Query("SELECT * FROM {files} LIMIT 1", files));
  const bool timed = first.Find("event_time") != nullptr;
  const auto held = parts_.clocks->HoldFiles();
  // One that was lost is being made again; the page does without meanwhile.
  std::erase_if(corrected, [&](const std::string& path) {
    std::error_code error;
    return !std::filesystem::exists(parts_.clocks->directory() / path, error);
  });
  SKERRY_ASSIGN_OR_RETURN(
      const Table table,
      parts_.lake->Query(NewestSql(parts_.clocks->directory(), corrected, timed, limit), files));
  Json list = Json::array();
  for (std::size_t row = 0; row < table.rows(); ++row) list.push_back(RecordJson(table, row));
  return JsonResponse({{"anomalies", std::move(list)}});
}

Result<HttpResponse> HubApi::Insights(const HttpRequest& request) {
  constexpr std::uint64_t kDefaultStepSeconds = 60;
  constexpr std::uint64_t kBucketSeconds =
      static_cast<std::uint64_t>(Ledger::kCountBucketUs) / kMicrosPerSecond;
  SKERRY_ASSIGN_OR_RETURN(std::uint64_t step_s,
                          QueryUint(request, "step_s", kDefaultStepSeconds, kLongestSeconds));
  step_s = std::max(step_s / kBucketSeconds, std::uint64_t{1}) * kBucketSeconds;
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t last_s,
                          QueryUint(request, "last_s", 0, kLongestSeconds));
  const std::int64_t since_us =
      last_s == 0
          ? 0
          : parts_.clock->UtcMicros() - static_cast<std::int64_t>(last_s * kMicrosPerSecond);
  SKERRY_ASSIGN_OR_RETURN(const auto points, parts_.store->Read([&](Database& db) {
    return Ledger(db).Counts(request.Query("site"),
                             static_cast<std::int64_t>(step_s * kMicrosPerSecond), since_us);
  }));
  Json list = Json::array();
  for (const CountPoint& point : points)
    list.push_back({{"site", point.site},
                    {"class", RecordClassName(point.cls)},
                    {"time_us", point.bucket_us},
                    {"rows", point.rows}});
  return JsonResponse({{"step_s", step_s}, {"points", std::move(list)}});
}

Result<HttpResponse> HubApi::Drift(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(
      const DriftReport report,
      MakeDriftReport(*parts_.store, *parts_.lake, *parts_.shelf, request.Query("site")));
  return JsonResponse(report.ToJson());
}

}  // namespace skerry
