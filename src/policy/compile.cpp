// Compile: a policy document against a schema, with every mismatch found before a row is.
#include <algorithm>

#include "base/limits.h"
#include "policy/policy_plan.h"

namespace skerry {
namespace {

constexpr std::size_t kHmacKeyBytes = 32;

std::string FieldNames(const ModelSchema& schema) {
  std::string names;
  for (const Field& field : schema.fields) {
    if (!names.empty()) names += ", ";
    names += field.name;
  }
  return names;
}

Status CheckAction(const Field& field, const FieldRule& rule) {
  const bool number = field.type == FieldType::kNumber;
  const bool for_numbers =
      rule.action == FieldAction::kBucket || rule.action == FieldAction::kRound;
  const bool for_texts = rule.action == FieldAction::kMask || rule.action == FieldAction::kAllow;
  if (for_numbers && !number)
    return Fail(ErrorCode::kInvalidArgument,
                "{}: fields.{}: {} is for numbers and this is a {}; write keep, drop, hash, mask "
                "or allow",
                rule.where, field.name, FieldActionName(rule.action), FieldTypeName(field.type));
  if (for_texts && number)
    return Fail(ErrorCode::kInvalidArgument,
                "{}: fields.{}: {} is for texts and this is a number; write keep, drop, hash, "
                "bucket or round",
                rule.where, field.name, FieldActionName(rule.action));
  return {};
}

// Binds the names of one condition, refusing what would show a dropped value or compare in vain.
class Binder {
 public:
  Binder(const CompiledPolicy::Impl& impl, std::string where)
      : impl_(impl), where_(std::move(where)) {}

  Result<BoundCondition> Bind(const Condition& condition, std::string rule) const {
    BoundCondition bound{condition, {}, std::move(rule)};
    for (const std::string& name : condition.names()) {
      SKERRY_ASSIGN_OR_RETURN(const ConditionBinding binding, BindName(name));
      bound.bindings.push_back(binding);
    }
    for (const Condition::Use& use : condition.uses())
      SKERRY_RETURN_IF_ERROR(CheckUse(condition.names()[use.name], bound.bindings[use.name], use));
    return bound;
  }

 private:
  template <typename... Args>
  tl::unexpected<Error> Refuse(fmt::format_string<Args...> format, Args&&... args) const {
    return Fail(ErrorCode::kInvalidArgument, "{}: {}", where_,
                fmt::format(format, std::forward<Args>(args)...));
  }

  Result<ConditionBinding> BindName(const std::string& name) const {
    using Kind = ConditionBinding::Kind;
    if (name == "anomaly") return ConditionBinding{Kind::kAnomaly, nullptr};
    if (name == "prediction") return BindDerived(name, Kind::kPrediction, impl_.derived.prediction);
    if (name == "score") return BindDerived(name, Kind::kScore, impl_.derived.score);
    if (name == "anomaly_score")
      return BindDerived(name, Kind::kAnomalyScore, impl_.derived.anomaly_score);
    for (const FieldPlan& plan : impl_.fields) {
      if (plan.field.name != name) continue;
      if (plan.dropped())
        return Refuse(
            "the condition speaks of {}, which is dropped ({}): its value would show in what "
            "leaves; keep it, transform it, or take it out of the condition",
            name, plan.rule.rule);
      return ConditionBinding{Kind::kField, &plan};
    }
    return Refuse(
        "the condition speaks of '{}', which is no field; there are {}, anomaly, prediction, score "
        "and anomaly_score",
        name, FieldNames(impl_.schema));
  }

  Result<ConditionBinding> BindDerived(const std::string& name, ConditionBinding::Kind kind,
                                       const FieldRule& rule) const {
    if (rule.action == FieldAction::kDrop)
      return Refuse(
          "the condition speaks of {}, which is dropped: write 'derived: {{{}: keep}}' or take it "
          "out of the condition",
          name, name);
    return ConditionBinding{kind, nullptr};
  }

  Status CheckUse(const std::string& name, const ConditionBinding& binding,
                  const Condition::Use& use) const {
    const bool truth = binding.kind == ConditionBinding::Kind::kAnomaly;
    if (use.alone != truth)
      return truth ? Refuse("anomaly stands alone; write \"anomaly\" or \"not anomaly\"")
                   : Refuse("{} needs a comparison; write for example \"{} > 60\"", name, name);
    if (truth) return {};
    const bool text = binding.plan != nullptr && !binding.plan->is_number();
    if (text != use.text)
      return text ? Refuse("{} is a text; write its value in quotes, as in \"{} == 'L'\"", name,
                           name)
                  : Refuse("{} is a number; write it without quotes", name);
    const bool hashed = binding.plan != nullptr && binding.plan->rule.action == FieldAction::kHash;
    if (use.ordered && (text || hashed))
      return Refuse("{} has no order here; write == or !=", name);
    return {};
  }

  const CompiledPolicy::Impl& impl_;
  std::string where_;
};

Status PlanFields(const PolicyDocument& document, CompiledPolicy::Impl& impl) {
  for (const auto& [name, rule] : document.fields)
    if (impl.schema.Find(name) == nullptr)
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: fields.{}: model {} has no such field; there are {}", rule.where, name,
                  impl.schema.model, FieldNames(impl.schema));
  std::size_t features = 0;
  std::size_t texts = 0;
  for (const Field& field : impl.schema.fields) {
    FieldPlan plan;
    plan.field = field;
    plan.is_feature = field.role == FieldRole::kFeature;
    plan.index = plan.is_feature ? features++ : texts++;
    const auto named = document.fields.find(field.name);
    if (named == document.fields.end()) {
      plan.rule.rule = kDefaultDeny;
      impl.warnings.push_back(
          fmt::format("no rule names {}: it is dropped by {}", field.name, kDefaultDeny));
    } else {
      plan.rule = named->second;
      SKERRY_RETURN_IF_ERROR(CheckAction(field, plan.rule));
    }
    if (!plan.dropped())
      plan.column = fmt::format("{}_{}{}", plan.is_feature ? "in" : "ctx", field.name,
                                ColumnSuffix(plan.rule.action));
    else if (plan.is_feature)
      impl.drops_a_feature = true;
    impl.fields.push_back(std::move(plan));
  }
  for (const FieldPlan& plan : impl.fields)
    if (plan.is_feature) impl.features.push_back(&plan);
  return {};
}

Status PlanPseudonyms(std::string hmac_key, CompiledPolicy::Impl& impl) {
  const bool hashes = std::any_of(impl.fields.begin(), impl.fields.end(), [](const FieldPlan& p) {
    return p.rule.action == FieldAction::kHash;
  });
  if (!hashes) return {};
  if (hmac_key.size() < kHmacKeyBytes)
    return Fail(ErrorCode::kInvalidArgument,
                "the policy hashes a field and the site's key has {} bytes; it needs {}",
                hmac_key.size(), kHmacKeyBytes);
  impl.pseudonyms.emplace(std::move(hmac_key));
  return {};
}

void WarnOfModelOutputs(CompiledPolicy::Impl& impl) {
  std::string dropped;
  for (const FieldPlan* plan : impl.features)
    if (plan->dropped()) dropped += (dropped.empty() ? "" : ", ") + plan->field.name;
  if (dropped.empty()) return;
  const auto warn = [&](std::string_view what) {
    impl.warnings.push_back(fmt::format(
        "{} leaves, and the model computes it from all features, the dropped ones ({}) too", what,
        dropped));
  };
  const auto leaves = [](const FieldRule& rule) { return rule.action != FieldAction::kDrop; };
  if (leaves(impl.derived.prediction)) warn("prediction");
  if (leaves(impl.derived.score)) warn("score");
  if (leaves(impl.derived.outputs)) warn("outputs");
  if (leaves(impl.derived.anomaly_score)) warn("anomaly_score");
  if (impl.anomaly) warn("which rows are in class anomaly");
}

}  // namespace

Result<std::shared_ptr<const CompiledPolicy>> CompiledPolicy::Compile(
    const PolicyDocument& document, const ModelSchema& schema, std::string hmac_key) {
  auto impl = std::make_unique<Impl>();
  impl->name = document.name;
  impl->version = document.version;
  impl->digest = document.digest;
  impl->classes = document.classes;
  impl->derived = document.derived;
  impl->schema = schema;
  SKERRY_RETURN_IF_ERROR(PlanFields(document, *impl));
  SKERRY_RETURN_IF_ERROR(PlanPseudonyms(std::move(hmac_key), *impl));
  for (const WithholdRule& rule : document.withhold) {
    SKERRY_ASSIGN_OR_RETURN(auto bound, Binder(*impl, rule.where).Bind(rule.when, rule.rule));
    impl->withhold.push_back(std::move(bound));
  }
  if (document.classes.anomaly) {
    const ClassRules::Anomaly& anomaly = *document.classes.anomaly;
    SKERRY_ASSIGN_OR_RETURN(
        impl->anomaly, Binder(*impl, anomaly.where)
                           .Bind(anomaly.when, fmt::format("anomaly: {}", anomaly.when.text())));
  }
  WarnOfModelOutputs(*impl);
  impl->BuildChoices();
  impl->BuildColumns();
  return std::shared_ptr<const CompiledPolicy>(new CompiledPolicy(std::move(impl)));
}

std::shared_ptr<const CompiledPolicy> DenyAll() {
  auto impl = std::make_unique<CompiledPolicy::Impl>();
  impl->deny_all = true;
  return std::shared_ptr<const CompiledPolicy>(new CompiledPolicy(std::move(impl)));
}

}  // namespace skerry
