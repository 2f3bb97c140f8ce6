#include "site/policy_replay.h"

#include <array>
#include <map>

namespace skerry {
namespace {

// What one policy made of the rows so far.
struct Tally {
  std::map<std::string, std::uint64_t> classes, dispositions, withheld, columns;
  std::map<std::string, std::string> rules;  // column -> the rule that let it leave

  void Add(const CompiledPolicy& policy, const RowBatch& batch) {
    const ReleaseResult result = policy.Release(batch);
    for (const RowDisposition disposition : result.disposition)
      ++dispositions[std::string(RowDispositionName(disposition))];
    for (const auto& [why, rows] : result.withheld) withheld[why.first] += rows;
    for (const ReleasedRecords& records : result.records) {
      classes[std::string(RecordClassName(records.cls))] += records.table.rows();
      for (const Column& column : records.table.columns)
        for (std::size_t row = 0; row < column.rows(); ++row)
          columns[column.name] += column.IsNull(row) ? 0 : 1;
    }
    if (!rules.empty()) return;
    for (const FieldExplanation& field : policy.Explain(batch, 0))
      if (!field.column.empty()) rules[field.column] = field.rule;
  }
};

using Counts = std::map<std::string, std::uint64_t>;

Json SideBySide(const Counts& asked, const Counts& in_force) {
  Json json = Json::object();
  for (const auto& [key, count] : asked) json[key] = {{"asked", count}, {"in_force", 0}};
  for (const auto& [key, count] : in_force) {
    if (!json.contains(key)) json[key]["asked"] = 0;
    json[key]["in_force"] = count;
  }
  return json;
}

Status AddFates(Outbox& outbox, const RowBatch& batch, Counts& was) {
  std::vector<RowId> rows;
  for (std::size_t row = 0; row < batch.rows; ++row) rows.push_back(batch.row_id(row));
  SKERRY_ASSIGN_OR_RETURN(const auto fates, outbox.LookupRows(rows));
  for (const auto& fate : fates)
    ++was[fate ? std::string(RowDispositionName(fate->disposition)) : "not-known"];
  return {};
}

}  // namespace

Result<Json> ReplayPolicy(const ReplayParts& parts, std::int64_t since_us) {
  Tally asked;
  Tally in_force;
  Counts was;
  std::uint64_t rows = 0;
  std::uint64_t skipped = 0;
  SKERRY_RETURN_IF_ERROR(parts.journal->Read(
      parts.package, since_us,
      [&](const RowBatch& batch) -> Status {
        rows += batch.rows;
        asked.Add(*parts.asked, batch);
        in_force.Add(*parts.in_force, batch);
        return AddFates(*parts.outbox, batch, was);
      },
      skipped));
  Json dispositions = SideBySide(asked.dispositions, in_force.dispositions);
  for (auto& [key, counts] : dispositions.items()) counts["was"] = 0;
  for (const auto& [key, count] : was) {
    if (!dispositions.contains(key)) dispositions[key] = {{"asked", 0}, {"in_force", 0}};
    dispositions[key]["was"] = count;
  }
  Json columns = SideBySide(asked.columns, in_force.columns);
  for (auto& [key, counts] : columns.items()) {
    const auto rule = asked.rules.find(key);
    if (rule != asked.rules.end()) counts["rule"] = rule->second;
  }
  return Json{{"rows", rows},
              {"skipped", skipped},
              {"classes", SideBySide(asked.classes, in_force.classes)},
              {"dispositions", std::move(dispositions)},
              {"withheld", SideBySide(asked.withheld, in_force.withheld)},
              {"columns", std::move(columns)}};
}

}  // namespace skerry
