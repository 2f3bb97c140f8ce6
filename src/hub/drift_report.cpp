#include "hub/drift_report.h"

#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "hub/ledger.h"
#include "hub/site_directory.h"

namespace skerry {
namespace {

struct Package {
  ModelSchema schema;
  ModelReference reference;
};
using Packages = std::map<std::string, std::optional<Package>>;

// Which rows of a site's summaries make one window.
struct WindowKey {
  std::string model;
  std::int64_t first_event_us = 0;
  std::int64_t window = 0;
  auto operator<=>(const WindowKey&) const = default;
};

std::int64_t IntAt(const Table& table, std::string_view name, std::size_t row) {
  const Column* column = table.Find(name);
  if (column == nullptr || column->IsNull(row) || column->ints.empty()) return 0;
  return column->ints[row];
}

std::string TextAt(const Table& table, std::string_view name, std::size_t row) {
  const Column* column = table.Find(name);
  if (column == nullptr || column->IsNull(row) || column->texts.empty()) return "";
  return column->texts[row];
}

// An empty table with the columns of `like`.
Table EmptyLike(const Table& like) {
  Table table;
  for (const Column& column : like.columns)
    table.columns.push_back({.name = column.name, .type = column.type});
  return table;
}

void AppendRow(Table& to, const Table& from, std::size_t row) {
  for (std::size_t i = 0; i < to.columns.size(); ++i)
    to.columns[i].AppendFrom(from.columns[i], row);
}

DriftWindow DescribeWindow(std::string_view site, const WindowKey& key, const Table& rows) {
  DriftWindow window;
  window.site = std::string(site);
  window.model = key.model;
  window.window = key.window;
  window.first_event_us = key.first_event_us;
  for (std::size_t row = 0; row < rows.rows(); ++row)
    window.last_event_us = std::max(window.last_event_us, IntAt(rows, "last_event_time", row));
  if (rows.rows() > 0) window.rows = static_cast<std::uint64_t>(IntAt(rows, "rows", 0));
  return window;
}

Result<const Package*> FindPackage(ModelShelf& shelf, Packages& packages,
                                   const std::string& model) {
  const auto known = packages.find(model);
  if (known != packages.end()) return known->second ? &*known->second : nullptr;
  auto& slot = packages[model];
  const auto found = shelf.FindModel(model);
  if (!found) {
    const ErrorCode code = found.error().code();
    if (code == ErrorCode::kNotFound || code == ErrorCode::kInvalidArgument) return nullptr;
    return tl::make_unexpected(found.error());
  }
  Package package;
  SKERRY_ASSIGN_OR_RETURN(package.schema, shelf.SchemaOf(*found));
  SKERRY_ASSIGN_OR_RETURN(package.reference, shelf.ReferenceOf(*found));
  slot = std::move(package);
  return &*slot;
}

Status Judge(const Package& package, const Table& rows, DriftWindow& window) {
  SKERRY_ASSIGN_OR_RETURN(window.fields, DriftOf(package.schema, package.reference, rows));
  for (FieldDrift& field : window.fields) {
    if (!window.judged()) field.level = DriftLevel::kQuiet;
  }
  return {};
}

Status AddSite(std::string_view site, const Table& summaries, ModelShelf& shelf, Packages& packages,
               DriftReport& report) {
  std::map<WindowKey, Table> windows;
  for (std::size_t row = 0; row < summaries.rows(); ++row) {
    const WindowKey key{TextAt(summaries, "model", row), IntAt(summaries, "first_event_time", row),
                        IntAt(summaries, "window", row)};
    auto found = windows.find(key);
    if (found == windows.end()) found = windows.emplace(key, EmptyLike(summaries)).first;
    AppendRow(found->second, summaries, row);
  }
  std::map<std::string, std::pair<DriftWindow, Table>> overall;
  for (const auto& [key, rows] : windows) {
    SKERRY_ASSIGN_OR_RETURN(const Package* package, FindPackage(shelf, packages, key.model));
    if (package == nullptr) continue;
    DriftWindow window = DescribeWindow(site, key, rows);
    SKERRY_RETURN_IF_ERROR(Judge(*package, rows, window));
    auto all = overall.find(key.model);
    if (all == overall.end())
      all = overall.emplace(key.model, std::pair(window, EmptyLike(summaries))).first;
    else
      all->second.first.rows += window.rows;
    all->second.first.window = window.window;
    all->second.first.last_event_us =
        std::max(all->second.first.last_event_us, window.last_event_us);
    for (std::size_t row = 0; row < rows.rows(); ++row) AppendRow(all->second.second, rows, row);
    report.windows.push_back(std::move(window));
  }
  for (auto& [model, all] : overall) {
    SKERRY_ASSIGN_OR_RETURN(const Package* package, FindPackage(shelf, packages, model));
    SKERRY_RETURN_IF_ERROR(Judge(*package, all.second, all.first));
    report.overall.push_back(std::move(all.first));
  }
  return {};
}

Json WindowJson(const DriftWindow& window) {
  Json fields = Json::array();
  for (const FieldDrift& field : window.fields)
    fields.push_back({{"field", field.field.empty() ? "score" : field.field},
                      {"kind", field.field.empty() ? "score" : "feature"},
                      {"psi", field.psi},
                      {"rows", field.rows},
                      {"level", DriftLevelName(field.level)}});
  return {{"site", window.site},
          {"model", window.model},
          {"window", window.window},
          {"first_event_us", window.first_event_us},
          {"last_event_us", window.last_event_us},
          {"rows", window.rows},
          {"judged", window.judged()},
          {"fields", std::move(fields)}};
}

}  // namespace

Json DriftReport::ToJson() const {
  Json list = Json::array();
  for (const DriftWindow& window : windows) list.push_back(WindowJson(window));
  Json all = Json::array();
  for (const DriftWindow& window : overall) all.push_back(WindowJson(window));
  return {{"windows", std::move(list)},
          {"overall", std::move(all)},
          {"unknown_models", unknown_models},
          {"quiet_below", kPsiQuiet},
          {"alarm_from", kPsiAlarm}};
}

Result<DriftReport> MakeDriftReport(HubStore& store, LakeReader& lake, ModelShelf& shelf,
                                    std::string_view site) {
  std::map<std::string, std::vector<std::string>> files;
  const Status read = store.Read([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(const auto sites, SiteDirectory(db).List());
    for (const SiteRecord& one : sites) {
      if (!site.empty() && one.site != site) continue;
      SKERRY_ASSIGN_OR_RETURN(files[one.site],
                              Ledger(db).FilesOfClass(RecordClass::kSummary, one.site, "", 0));
    }
    return {};
  });
  if (!read) return tl::make_unexpected(read.error());
  DriftReport report;
  Packages packages;
  for (const auto& [name, paths] : files) {
    SKERRY_ASSIGN_OR_RETURN(const Table summaries,
                            lake.Query("SELECT * FROM {files} ORDER BY filename, seq", paths));
    SKERRY_RETURN_IF_ERROR(AddSite(name, summaries, shelf, packages, report));
  }
  for (const auto& [model, package] : packages) {
    if (!package) report.unknown_models.push_back(model);
  }
  return report;
}

}  // namespace skerry
