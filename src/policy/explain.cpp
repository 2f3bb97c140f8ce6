// What people ask of a policy, and what it lets through of summaries.
#include <algorithm>

#include "insight/histograms.h"
#include "insight/reasons.h"
#include "policy/policy_plan.h"

namespace skerry {
namespace {

using Impl = CompiledPolicy::Impl;

FieldExplanation ExplainField(const Impl& impl, const FieldPlan& plan, const RowBatch& batch,
                              std::size_t row) {
  FieldExplanation explained{plan.field.name,       plan.column, plan.rule.rule,
                             ActionText(plan.rule), "",          ""};
  if (plan.is_number()) {
    if (const auto raw = impl.RawNumber(plan, batch, row)) explained.before = NumberText(*raw);
  } else {
    explained.before = impl.RawText(plan, batch, row);
  }
  if (plan.dropped()) return explained;
  if (plan.is_number() && plan.rule.action != FieldAction::kHash) {
    if (const auto number = impl.Number(plan, batch, row)) explained.after = NumberText(*number);
  } else {
    explained.after = impl.Text(plan, batch, row).value_or("");
  }
  return explained;
}

// `before` under keep, `after` as the record's own column would hold it.
FieldExplanation ExplainDerived(const Impl& impl, const std::string& name, const FieldRule& rule,
                                std::string before, const RecordContext& context) {
  FieldExplanation explained{name, "", rule.rule, ActionText(rule), std::move(before), ""};
  for (const OutColumn& column : impl.columns) {
    if (column.name != name) continue;
    Column out{.name = name, .type = column.type};
    column.write(context, out);
    explained.column = name;
    if (out.IsNull(0)) continue;
    if (column.type == ColumnType::kTimestamp)
      explained.after = FormatUtc(out.ints[0]);
    else if (column.type == ColumnType::kInt64)
      explained.after = fmt::format("{}", out.ints[0]);
    else
      explained.after =
          column.type == ColumnType::kText ? out.texts[0] : NumberText(out.doubles[0]);
  }
  return explained;
}

std::shared_ptr<RowBatch> RowsOf(const RowBatch& batch, const std::vector<std::size_t>& rows) {
  auto part = std::make_shared<RowBatch>(batch);
  part->rows = rows.size();
  // Row-major, some values a row; none where the model has none.
  const auto pick_rows = [&](std::vector<float>& list, const std::vector<float>& from) {
    const auto columns = static_cast<std::ptrdiff_t>(from.size() / batch.rows);
    list.clear();
    for (const std::size_t row : rows) {
      const auto first = from.begin() + static_cast<std::ptrdiff_t>(row) * columns;
      list.insert(list.end(), first, first + columns);
    }
  };
  pick_rows(part->features, batch.features);
  pick_rows(part->windows, batch.windows);
  pick_rows(part->inputs, batch.inputs);
  pick_rows(part->probabilities, batch.probabilities);
  const auto pick = [&rows](auto& list, const auto& from) {
    if (from.empty()) return;
    list.clear();
    for (const std::size_t row : rows) list.push_back(from[row]);
  };
  for (std::size_t i = 0; i < batch.texts.size(); ++i) pick(part->texts[i], batch.texts[i]);
  pick(part->score, batch.score);
  pick(part->anomaly_score, batch.anomaly_score);
  pick(part->prediction, batch.prediction);
  pick(part->out_of_range, batch.out_of_range);
  pick(part->scored_at, batch.scored_at);
  return part;
}

}  // namespace

std::vector<FieldExplanation> CompiledPolicy::Explain(const RowBatch& batch,
                                                      std::size_t row) const {
  std::vector<FieldExplanation> list;
  if (!impl_->Accepts(batch)) return list;
  for (const FieldPlan& plan : impl_->fields)
    list.push_back(ExplainField(*impl_, plan, batch, row));

  const std::string instance = batch.instance.ToString();
  const std::string empty;
  const RecordContext context{
      .batch = &batch, .row = row, .select_reason = &empty, .instance = &instance, .model = &empty};
  const auto add = [&](const char* name, const FieldRule& rule, std::string before) {
    list.push_back(ExplainDerived(*impl_, name, rule, std::move(before), context));
  };
  const DerivedRules& derived = impl_->derived;
  const auto number = [row](const std::vector<float>& values) {
    return values.empty() ? std::string() : NumberText(Decimal(values[row]));
  };
  add("prediction", derived.prediction,
      batch.prediction.empty() ? "" : fmt::format("{}", batch.prediction[row]));
  add("score", derived.score, number(batch.score));
  add("outputs", derived.outputs, OutputsText(FieldRule(), batch, row));
  add("anomaly_score", derived.anomaly_score, number(batch.anomaly_score));
  add("reasons", derived.reasons, impl_->AllReasons(batch, row));
  add("event_time", derived.event_time, FormatUtc(batch.ScoredAtOf(row).event_time_us));
  return list;
}

std::optional<Table> CompiledPolicy::ReleaseSummary(const Table& summary) const {
  const Column* kind = summary.Find("kind");
  const Column* field = summary.Find("field");
  const Column* rows = summary.Find("rows");
  if (impl_->deny_all || !impl_->policy.classes.summary || kind == nullptr || field == nullptr ||
      rows == nullptr || summary.rows() == 0)
    return std::nullopt;
  // The window's row count is itself a cell.
  if (static_cast<std::uint64_t>(rows->ints[0]) < impl_->policy.classes.summary->min_group)
    return std::nullopt;

  Table released;
  const bool has_time = impl_->derived.event_time.action != FieldAction::kDrop;
  for (const Column& column : summary.columns)
    if (has_time || column.type != ColumnType::kTimestamp)
      released.columns.push_back({.name = column.name, .type = column.type});
  for (std::size_t row = 0; row < summary.rows(); ++row) {
    if (!impl_->ReleasesHistogram(kind->texts[row], field->texts[row])) continue;
    for (Column& column : released.columns) column.AppendFrom(*summary.Find(column.name), row);
  }
  for (Column& column : released.columns)
    if (column.type == ColumnType::kTimestamp)
      for (std::int64_t& us : column.ints) us = CutTime(impl_->derived.event_time, us);
  return released.rows() == 0 ? std::nullopt : std::optional(std::move(released));
}

std::shared_ptr<const RowBatch> CompiledPolicy::RowsForSummary(
    std::shared_ptr<const RowBatch> batch) const {
  if (!impl_->policy.classes.summary || !impl_->Accepts(*batch)) return nullptr;
  std::vector<std::size_t> rows;
  for (std::size_t row = 0; row < batch->rows; ++row)
    if (!impl_->Withholding(*batch, row)) rows.push_back(row);
  if (rows.empty()) return nullptr;
  return rows.size() == batch->rows ? std::move(batch) : RowsOf(*batch, rows);
}

std::string CompiledPolicy::Impl::AllReasons(const RowBatch& batch, std::size_t row) const {
  std::string text;
  for (const Reason& reason : ReasonsOf(batch, row)) {
    if (!text.empty()) text += '\n';
    text += reason.text;
  }
  return text;
}

bool CompiledPolicy::Impl::ReleasesHistogram(std::string_view kind, std::string_view field) const {
  const auto leaves = [](const FieldRule& rule) { return rule.action != FieldAction::kDrop; };
  if (kind == kSummaryScore) return leaves(derived.score);
  if (kind == kSummaryPrediction) return leaves(derived.prediction);
  // A dropped value out of range makes an anomaly too, and would show in this count.
  if (kind == kSummaryAnomaly) return leaves(derived.anomaly_score) && !drops_a_feature;
  if (kind != kSummaryFeature) return false;
  const auto plan = std::find_if(features.begin(), features.end(),
                                 [&](const FieldPlan* p) { return p->field.name == field; });
  if (plan == features.end()) return false;
  const FieldAction action = (*plan)->rule.action;
  return action == FieldAction::kKeep || action == FieldAction::kBucket ||
         action == FieldAction::kRound;
}

}  // namespace skerry
