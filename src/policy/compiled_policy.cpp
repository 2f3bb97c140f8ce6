#include "policy/compiled_policy.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "insight/reasons.h"
#include "policy/policy_plan.h"
#include "policy/sampling.h"

namespace skerry {
namespace {

// A number that travels as text; none when it is absent or no number.
std::optional<double> ParseNumber(std::string_view text) {
  double number = 0;
  const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || status != std::errc() || stop != text.data() + text.size() ||
      !std::isfinite(number))
    return std::nullopt;
  return number;
}

// The values of one row as conditions see them: in the form in which they leave.
class RowConditionInput final : public ConditionInput {
 public:
  RowConditionInput(const CompiledPolicy::Impl& impl, const BoundCondition& bound,
                    const RowBatch& batch, std::size_t row)
      : impl_(impl), bound_(bound), batch_(batch), row_(row) {}

  ConditionValue Value(std::size_t name) const override {
    const ConditionBinding& binding = bound_.bindings[name];
    if (binding.kind == ConditionBinding::Kind::kAnomaly) {
      if (impl_.IsAnomaly(batch_, row_)) return true;
      // A field that the other policy hides may make it one.
      if (binding.sight == ConditionBinding::Sight::kNothing) return ConditionUnknown{};
      return false;
    }
    if (binding.sight == ConditionBinding::Sight::kNothing) return ConditionUnknown{};
    switch (binding.kind) {
      case ConditionBinding::Kind::kPrediction:
        if (batch_.prediction.empty()) return {};
        return static_cast<double>(batch_.prediction[row_]);
      case ConditionBinding::Kind::kScore:
        if (batch_.score.empty()) return {};
        return Seen(binding, impl_.derived.score,
                    TransformNumber(impl_.derived.score, Decimal(batch_.score[row_])));
      case ConditionBinding::Kind::kAnomalyScore:
        if (batch_.anomaly_score.empty()) return {};
        return Seen(
            binding, impl_.derived.anomaly_score,
            TransformNumber(impl_.derived.anomaly_score, Decimal(batch_.anomaly_score[row_])));
      default: return FieldValue(binding);
    }
  }

 private:
  // What the condition's own policy would have made of a value of which `number` leaves.
  static ConditionValue Seen(const ConditionBinding& binding, const FieldRule& rule,
                             double number) {
    if (binding.sight != ConditionBinding::Sight::kRange) return number;
    // The edges belong to it, and a little more: they were computed in floating point.
    const double slack = 1e-9 * std::max(std::abs(number), rule.step);
    const bool bucket = rule.action == FieldAction::kBucket;
    const double low = number - (bucket ? 0 : rule.step / 2) - slack;
    const double high = number + (bucket ? rule.step : rule.step / 2) + slack;
    return ConditionRange{TransformNumber(binding.own, low), TransformNumber(binding.own, high)};
  }

  ConditionValue FieldValue(const ConditionBinding& binding) const {
    const FieldPlan& plan = *binding.plan;
    // Equality of pseudonyms is equality of values, so a hashed field compares as it came.
    const bool hashed = plan.rule.action == FieldAction::kHash;
    if (plan.is_number()) {
      const auto number =
          hashed ? impl_.RawNumber(plan, batch_, row_) : impl_.Number(plan, batch_, row_);
      return number ? Seen(binding, plan.rule, *number) : ConditionValue();
    }
    if (hashed) {
      const std::string_view text = impl_.RawText(plan, batch_, row_);
      return text.empty() ? ConditionValue() : ConditionValue(text);
    }
    auto text = impl_.Text(plan, batch_, row_);
    if (!text && binding.sight == ConditionBinding::Sight::kAllowed) return ConditionUnknown{};
    if (!text) return {};
    text_ = std::move(*text);
    return std::string_view(text_);
  }

  const CompiledPolicy::Impl& impl_;
  const BoundCondition& bound_;
  const RowBatch& batch_;
  std::size_t row_;
  mutable std::string text_;  // of the value asked for last
};

ReleasedRecords& RecordsOf(ReleaseResult& result, RecordClass cls,
                           const std::vector<OutColumn>& columns) {
  for (ReleasedRecords& records : result.records)
    if (records.cls == cls) return records;
  ReleasedRecords& records = result.records.emplace_back();
  records.cls = cls;
  for (const OutColumn& column : columns)
    records.table.columns.push_back({.name = column.name, .type = column.type});
  return records;
}

std::uint8_t Bit(RecordClass cls) {
  return static_cast<std::uint8_t>(1U << static_cast<unsigned>(cls));
}

}  // namespace

std::string_view RowDispositionName(RowDisposition disposition) {
  switch (disposition) {
    case RowDisposition::kReleasedAnomaly: return "anomaly";
    case RowDisposition::kReleasedInsight: return "insight";
    case RowDisposition::kReleasedSample: return "sample";
    case RowDisposition::kWithheld: return "withheld";
    case RowDisposition::kNotSelected: return "not-selected";
  }
  return "unknown";
}

std::optional<RecordClass> ClassOf(RowDisposition disposition) {
  switch (disposition) {
    case RowDisposition::kReleasedAnomaly: return RecordClass::kAnomaly;
    case RowDisposition::kReleasedInsight: return RecordClass::kInsight;
    case RowDisposition::kReleasedSample: return RecordClass::kSample;
    default: return std::nullopt;
  }
}

std::optional<double> CompiledPolicy::Impl::RawNumber(const FieldPlan& plan, const RowBatch& batch,
                                                      std::size_t row) const {
  if (!plan.is_feature) return ParseNumber(batch.texts[plan.index][row]);
  const float value = batch.Row(row)[plan.index];
  return std::isnan(value) ? std::nullopt : std::optional(Decimal(value));
}

std::string_view CompiledPolicy::Impl::RawText(const FieldPlan& plan, const RowBatch& batch,
                                               std::size_t row) const {
  if (!plan.is_feature) return batch.texts[plan.index][row];
  const float code = batch.Row(row)[plan.index];
  const std::vector<std::string>& categories = plan.field.categories;
  if (!(code >= 0) || code >= static_cast<float>(categories.size())) return {};
  return categories[static_cast<std::size_t>(code)];
}

std::optional<double> CompiledPolicy::Impl::Number(const FieldPlan& plan, const RowBatch& batch,
                                                   std::size_t row) const {
  const auto raw = RawNumber(plan, batch, row);
  return raw ? std::optional(TransformNumber(plan.rule, *raw)) : std::nullopt;
}

std::optional<std::string> CompiledPolicy::Impl::Text(const FieldPlan& plan, const RowBatch& batch,
                                                      std::size_t row) const {
  const bool hashed = plan.rule.action == FieldAction::kHash;
  if (plan.is_number()) {
    const auto number = RawNumber(plan, batch, row);
    if (!number) return std::nullopt;
    const std::string text = NumberText(*number);
    return hashed ? pseudonyms->Of(plan.field.name, text) : text;
  }
  const std::string_view raw = RawText(plan, batch, row);
  if (raw.empty()) return std::nullopt;
  if (hashed) return pseudonyms->Of(plan.field.name, raw);
  return TransformText(plan.rule, raw);
}

bool CompiledPolicy::Impl::IsAnomaly(const RowBatch& batch, std::size_t row) const {
  if (!batch.anomaly_score.empty() &&
      batch.anomaly_score[row] >= batch.package->reference.anomaly_threshold)
    return true;
  // Not RowBatch::IsAnomaly: a dropped value out of range must not show by the row's selection.
  const std::vector<std::uint16_t>& outside = batch.out_of_range[row];
  return std::any_of(outside.begin(), outside.end(),
                     [&](std::uint16_t feature) { return !features[feature]->dropped(); });
}

std::string CompiledPolicy::Impl::Reasons(const RowBatch& batch, std::size_t row) const {
  std::string text;
  for (const Reason& reason : ReasonsOf(batch, row)) {
    const FieldRule* rule = &derived.anomaly_score;
    std::string_view speaks_of = "anomaly_score";
    if (reason.kind != ReasonKind::kAnomalyScore) {
      const auto plan = std::find_if(features.begin(), features.end(), [&](const FieldPlan* p) {
        return p->field.name == reason.field;
      });
      if (plan == features.end()) continue;
      rule = &(*plan)->rule;
      speaks_of = reason.field;
    }
    if (rule->action == FieldAction::kDrop) continue;
    if (!text.empty()) text += '\n';
    text += rule->action == FieldAction::kKeep ? std::string_view(reason.text) : speaks_of;
  }
  return text;
}

Truth CompiledPolicy::Impl::Evaluate(const BoundCondition& bound, const RowBatch& batch,
                                     std::size_t row) const {
  return bound.condition.Evaluate(RowConditionInput(*this, bound, batch, row));
}

bool CompiledPolicy::Impl::SelectsAnomaly(const RowBatch& batch, std::size_t row) const {
  return std::all_of(anomaly.begin(), anomaly.end(), [&](const BoundCondition& bound) {
    return Evaluate(bound, batch, row) == Truth::kTrue;
  });
}

std::optional<std::pair<std::string, std::string>> CompiledPolicy::Impl::Withholding(
    const RowBatch& batch, std::size_t row) const {
  for (const BoundCondition& bound : withhold)
    if (Evaluate(bound, batch, row) != Truth::kFalse) return std::pair(bound.rule, bound.reason);
  for (const FieldPlan* plan : detecting) {
    const auto found = FindBlocked(plan->rule, RawText(*plan, batch, row));
    if (found)
      return std::pair(plan->rule.rule,
                       fmt::format("{} in {}", IdentifierName(*found), plan->field.name));
  }
  return std::nullopt;
}

bool CompiledPolicy::Impl::Accepts(const RowBatch& batch) const {
  return !deny_all && batch.package != nullptr && !batch.package->bare &&
         batch.package->schema == schema;
}

void CompiledPolicy::Impl::BuildChoices() {
  const ClassRules& classes = policy.classes;
  if (classes.anomaly)
    choices.push_back(
        {RecordClass::kAnomaly, RowDisposition::kReleasedAnomaly, 1, anomaly.front().rule});
  const auto add = [this](RecordClass cls, RowDisposition disposition, std::optional<double> rate) {
    if (rate)
      choices.push_back(
          {cls, disposition, *rate, fmt::format("{}: rate {}", RecordClassName(cls), *rate)});
  };
  add(RecordClass::kSample, RowDisposition::kReleasedSample, classes.sample_rate);
  add(RecordClass::kInsight, RowDisposition::kReleasedInsight, classes.insight_rate);
}

void CompiledPolicy::Impl::ReleaseRow(RecordContext context, ReleaseResult& into) const {
  RowDisposition disposition = RowDisposition::kNotSelected;
  std::uint8_t selected = 0;
  for (const Choice& choice : choices) {
    const bool chosen =
        choice.cls == RecordClass::kAnomaly
            ? SelectsAnomaly(*context.batch, context.row)
            : SampleDraw(context.batch->row_id(context.row), choice.cls) < choice.probability;
    if (!chosen) continue;
    context.primary = selected == 0;
    context.sample_prob = choice.probability;
    context.select_reason = &choice.reason;
    if (context.primary) disposition = choice.disposition;
    selected = static_cast<std::uint8_t>(selected | Bit(choice.cls));
    ReleasedRecords& records = RecordsOf(into, choice.cls, columns);
    for (std::size_t i = 0; i < columns.size(); ++i)
      columns[i].write(context, records.table.columns[i]);
    if (context.primary) ++records.primary_rows;
  }
  into.disposition.push_back(disposition);
  into.classes.push_back(selected);
}

CompiledPolicy::CompiledPolicy(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CompiledPolicy::~CompiledPolicy() = default;

const std::string& CompiledPolicy::name() const { return impl_->policy.hub.name; }
const std::string& CompiledPolicy::version() const { return impl_->policy.hub.version; }
const std::optional<Digest>& CompiledPolicy::digest() const { return impl_->digest; }
const ClassRules& CompiledPolicy::classes() const { return impl_->policy.classes; }
const std::vector<std::string>& CompiledPolicy::warnings() const { return impl_->warnings; }
bool CompiledPolicy::releases_status() const {
  return impl_->derived.status.action == FieldAction::kKeep;
}

ReleaseResult CompiledPolicy::Release(const RowBatch& batch) const {
  ReleaseResult result;
  ReleaseInto(batch, result);
  return result;
}

void CompiledPolicy::ReleaseInto(const RowBatch& batch, ReleaseResult& into) const {
  if (batch.rows == 0) return;
  if (!impl_->Accepts(batch)) {
    into.disposition.insert(into.disposition.end(), batch.rows, RowDisposition::kWithheld);
    into.classes.insert(into.classes.end(), batch.rows, 0);
    const char* reason = impl_->deny_all ? "no policy" : "rows of another schema";
    into.withheld[{std::string(kDefaultDeny), reason}] += batch.rows;
    return;
  }
  const std::string instance = batch.instance.ToString();
  const std::string model = fmt::format("{}:{}", batch.package->name, batch.package->version);
  for (std::size_t row = 0; row < batch.rows; ++row) {
    if (auto withheld = impl_->Withholding(batch, row)) {
      into.disposition.push_back(RowDisposition::kWithheld);
      into.classes.push_back(0);
      ++into.withheld[std::move(*withheld)];
      continue;
    }
    impl_->ReleaseRow({.batch = &batch, .row = row, .instance = &instance, .model = &model}, into);
  }
}

}  // namespace skerry
