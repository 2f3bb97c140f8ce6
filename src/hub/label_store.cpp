#include "hub/label_store.h"

namespace skerry {

Status LabelStore::Put(std::string_view set, const std::vector<Label>& labels,
                       std::int64_t now_us) {
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement insert,
      db_->Prepare("INSERT OR REPLACE INTO labels(set_name, instance, n, label, at_us) "
                   "VALUES(?, ?, ?, ?, ?)"));
  for (const Label& label : labels) {
    SKERRY_RETURN_IF_ERROR(insert.Bind(1, set)
                               .Bind(2, label.row.instance.ToString())
                               .Bind(3, label.row.n)
                               .Bind(4, label.label)
                               .Bind(5, now_us)
                               .Run());
  }
  return {};
}

Result<std::vector<Label>> LabelStore::List(std::string_view set, std::uint64_t limit) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select,
                          db_->Prepare("SELECT instance, n, label FROM labels WHERE set_name = ? "
                                       "ORDER BY instance, n LIMIT ?"));
  select.Bind(1, set).Bind(2, limit);
  std::vector<Label> labels;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return labels;
    SKERRY_ASSIGN_OR_RETURN(const InstanceId instance, InstanceId::Parse(select.Text(0)));
    labels.push_back(
        {{instance, static_cast<std::uint64_t>(select.Int(1))}, std::string(select.Text(2))});
  }
}

Result<std::vector<LabelSetFacts>> LabelStore::Sets() {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select,
                          db_->Prepare("SELECT set_name, count(*), max(at_us) FROM labels "
                                       "GROUP BY set_name ORDER BY set_name"));
  std::vector<LabelSetFacts> sets;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return sets;
    sets.push_back(
        {std::string(select.Text(0)), static_cast<std::uint64_t>(select.Int(1)), select.Int(2)});
  }
}

}  // namespace skerry
