// The columns of a record, in order; each writes its own value.
#include "policy/policy_plan.h"

namespace skerry {
namespace {

bool Leaves(const FieldRule& rule) { return rule.action != FieldAction::kDrop; }

}  // namespace

std::string OutputsText(const FieldRule& rule, const RowBatch& batch, std::size_t row) {
  std::vector<float> outputs;
  const std::size_t classes = batch.probabilities.size() / batch.rows;
  if (classes > 0) {
    const auto first = batch.probabilities.begin() + static_cast<std::ptrdiff_t>(row * classes);
    outputs.assign(first, first + static_cast<std::ptrdiff_t>(classes));
  } else if (!batch.score.empty()) {
    if (!batch.prediction.empty()) outputs.push_back(1.0F - batch.score[row]);
    outputs.push_back(batch.score[row]);
  }
  std::string text;
  for (const float output : outputs)
    text += fmt::format("{}{}", text.empty() ? "[" : ",", TransformNumber(rule, Decimal(output)));
  return text.empty() ? text : text + "]";
}

std::int64_t CutTime(const FieldRule& rule, std::int64_t us) {
  if (rule.action != FieldAction::kTruncateTime) return us;
  const std::int64_t over = us % rule.time_unit_us;
  return us - (over < 0 ? over + rule.time_unit_us : over);
}

void CompiledPolicy::Impl::BuildColumns() {
  AddIdentityColumns();
  AddDerivedColumns();
  AddSelectionColumns();
  for (const FieldPlan& plan : fields)
    if (!plan.dropped()) AddFieldColumn(plan);
}

void CompiledPolicy::Impl::Add(std::string column, ColumnType type, OutColumn::Writer write) {
  columns.push_back({std::move(column), type, std::move(write)});
}

void CompiledPolicy::Impl::AddIdentityColumns() {
  Add("instance", ColumnType::kText,
      [](const RecordContext& c, Column& o) { o.AppendText(*c.instance); });
  Add("n", ColumnType::kInt64, [](const RecordContext& c, Column& o) {
    o.AppendInt(static_cast<std::int64_t>(c.batch->first_n + c.row));
  });
  if (Leaves(derived.event_time))
    Add("event_time", ColumnType::kTimestamp, [this](const RecordContext& c, Column& o) {
      o.AppendInt(CutTime(derived.event_time, c.batch->ScoredAtOf(c.row).event_time_us));
    });
  Add("clock", ColumnType::kText, [](const RecordContext& c, Column& o) {
    o.AppendText(std::string(ClockQualityName(c.batch->ScoredAtOf(c.row).clock)));
  });
  // The monotonic clock gives the time away through an anchor, so it is cut alike.
  if (Leaves(derived.event_time))
    Add("mono_us", ColumnType::kInt64, [this](const RecordContext& c, Column& o) {
      o.AppendInt(CutTime(derived.event_time, c.batch->ScoredAtOf(c.row).mono_us));
    });
  Add("model", ColumnType::kText,
      [](const RecordContext& c, Column& o) { o.AppendText(*c.model); });
  Add("role", ColumnType::kText,
      [](const RecordContext& c, Column& o) { o.AppendText(c.batch->role); });
}

void CompiledPolicy::Impl::AddDerivedColumns() {
  if (Leaves(derived.prediction))
    Add("prediction", ColumnType::kInt64, [](const RecordContext& c, Column& o) {
      if (c.batch->prediction.empty()) return o.AppendNull();
      o.AppendInt(c.batch->prediction[c.row]);
    });
  if (Leaves(derived.score))
    Add("score", ColumnType::kDouble, [this](const RecordContext& c, Column& o) {
      if (c.batch->score.empty()) return o.AppendNull();
      o.AppendDouble(TransformNumber(derived.score, Decimal(c.batch->score[c.row])));
    });
  if (Leaves(derived.outputs))
    Add("outputs", ColumnType::kText, [this](const RecordContext& c, Column& o) {
      std::string text = OutputsText(derived.outputs, *c.batch, c.row);
      text.empty() ? o.AppendNull() : o.AppendText(std::move(text));
    });
  if (Leaves(derived.anomaly_score))
    Add("anomaly_score", ColumnType::kDouble, [this](const RecordContext& c, Column& o) {
      if (c.batch->anomaly_score.empty()) return o.AppendNull();
      o.AppendDouble(
          TransformNumber(derived.anomaly_score, Decimal(c.batch->anomaly_score[c.row])));
    });
  if (Leaves(derived.reasons))
    Add("reasons", ColumnType::kText, [this](const RecordContext& c, Column& o) {
      std::string text = Reasons(*c.batch, c.row);
      text.empty() ? o.AppendNull() : o.AppendText(std::move(text));
    });
}

void CompiledPolicy::Impl::AddSelectionColumns() {
  Add("select_reason", ColumnType::kText,
      [](const RecordContext& c, Column& o) { o.AppendText(*c.select_reason); });
  Add("sample_prob", ColumnType::kDouble,
      [](const RecordContext& c, Column& o) { o.AppendDouble(c.sample_prob); });
  Add("primary", ColumnType::kBool,
      [](const RecordContext& c, Column& o) { o.AppendInt(c.primary ? 1 : 0); });
}

void CompiledPolicy::Impl::AddFieldColumn(const FieldPlan& plan) {
  if (plan.is_number() && plan.rule.action != FieldAction::kHash)
    Add(plan.column, ColumnType::kDouble, [this, &plan](const RecordContext& c, Column& o) {
      const auto value = Number(plan, *c.batch, c.row);
      value ? o.AppendDouble(*value) : o.AppendNull();
    });
  else
    Add(plan.column, ColumnType::kText, [this, &plan](const RecordContext& c, Column& o) {
      auto value = Text(plan, *c.batch, c.row);
      value ? o.AppendText(std::move(*value)) : o.AppendNull();
    });
}

}  // namespace skerry
