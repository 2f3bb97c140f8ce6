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
  if (!rule.detect.empty() && number)
    return Fail(ErrorCode::kInvalidArgument,
                "{}: fields.{}: detect is for texts and this is a number; take it out, or write "
                "hash, bucket, round or drop",
                rule.where, field.name);
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

// Binds the names of one condition of `document`, one of the policies that hold, refusing what
// would show a dropped value or compare in vain.
class Binder {
 public:
  Binder(const CompiledPolicy::Impl& impl, const PolicyDocument& document, std::string where)
      : impl_(impl), document_(document), where_(std::move(where)) {}

  Result<BoundCondition> Bind(const Condition& condition, std::string rule,
                              std::string reason) const {
    BoundCondition bound{condition, {}, std::move(rule), std::move(reason)};
    for (const std::string& name : condition.names()) {
      SKERRY_ASSIGN_OR_RETURN(ConditionBinding binding, BindName(name));
      bound.bindings.push_back(std::move(binding));
    }
    for (const Condition::Use& use : condition.uses()) {
      ConditionBinding& binding = bound.bindings[use.name];
      SKERRY_RETURN_IF_ERROR(CheckUse(condition.names()[use.name], binding, use));
      // Pseudonyms have no order.
      if (use.ordered && binding.plan != nullptr && binding.plan->rule.action == FieldAction::kHash)
        binding.sight = ConditionBinding::Sight::kNothing;
    }
    return bound;
  }

 private:
  using Kind = ConditionBinding::Kind;
  using Sight = ConditionBinding::Sight;

  template <typename... Args>
  tl::unexpected<Error> Refuse(fmt::format_string<Args...> format, Args&&... args) const {
    return Fail(ErrorCode::kInvalidArgument, "{}: {}", where_,
                fmt::format(format, std::forward<Args>(args)...));
  }

  static Sight SightOf(const FieldRule& own, const FieldRule& holds) {
    if (SameForm(own, holds)) return Sight::kWhole;
    switch (holds.action) {
      case FieldAction::kBucket:
      case FieldAction::kRound: return Sight::kRange;
      case FieldAction::kAllow:
      case FieldAction::kKeep:  // unless an identifier is found in it
        return Sight::kAllowed;
      case FieldAction::kHash: return Sight::kWhole;
      default: return Sight::kNothing;
    }
  }

  Result<ConditionBinding> BindName(const std::string& name) const {
    if (name == "anomaly") return BindAnomaly();
    for (const auto& [derived, kind] :
         {std::pair("prediction", Kind::kPrediction), std::pair("score", Kind::kScore),
          std::pair("anomaly_score", Kind::kAnomalyScore)})
      if (name == derived) return BindDerived(name, kind);
    for (const FieldPlan& plan : impl_.fields) {
      if (plan.field.name != name) continue;
      FieldRule own = RuleOf(document_.fields, name);
      if (own.action == FieldAction::kDrop)
        return Refuse(
            "the condition speaks of {}, which is dropped ({}): its value would show in what "
            "leaves; keep it, transform it, or take it out of the condition",
            name, own.rule);
      const Sight sight = SightOf(own, plan.rule);
      return ConditionBinding{Kind::kField, &plan, sight, std::move(own)};
    }
    return Refuse(
        "the condition speaks of '{}', which is no field; there are {}, anomaly, prediction, score "
        "and anomaly_score",
        name, FieldNames(impl_.schema));
  }

  // Under its own policy a row may be one by a field that the other policy drops.
  ConditionBinding BindAnomaly() const {
    const bool hidden =
        std::any_of(impl_.features.begin(), impl_.features.end(), [&](const FieldPlan* plan) {
          return plan->dropped() &&
                 RuleOf(document_.fields, plan->field.name).action != FieldAction::kDrop;
        });
    return {Kind::kAnomaly, nullptr, hidden ? Sight::kNothing : Sight::kWhole, {}};
  }

  Result<ConditionBinding> BindDerived(const std::string& name, Kind kind) const {
    for (const DerivedName& derived : kDerivedNames) {
      if (derived.name != name) continue;
      const FieldRule& own = document_.derived.*derived.rule;
      if (own.action == FieldAction::kDrop) break;
      return ConditionBinding{kind, nullptr, SightOf(own, impl_.derived.*derived.rule), own};
    }
    return Refuse(
        "the condition speaks of {}, which is dropped: write 'derived: {{{}: keep}}' or take it "
        "out of the condition",
        name, name);
  }

  Status CheckUse(const std::string& name, const ConditionBinding& binding,
                  const Condition::Use& use) const {
    const bool truth = binding.kind == Kind::kAnomaly;
    if (use.alone != truth)
      return truth ? Refuse("anomaly stands alone; write \"anomaly\" or \"not anomaly\"")
                   : Refuse("{} needs a comparison; write for example \"{} > 60\"", name, name);
    if (truth) return {};
    const bool text = binding.plan != nullptr && !binding.plan->is_number();
    if (text != use.text)
      return text ? Refuse("{} is a text; write its value in quotes, as in \"{} == 'L'\"", name,
                           name)
                  : Refuse("{} is a number; write it without quotes", name);
    if (use.ordered && (text || binding.own.action == FieldAction::kHash))
      return Refuse("{} has no order here; write == or !=", name);
    return {};
  }

  const CompiledPolicy::Impl& impl_;
  const PolicyDocument& document_;
  std::string where_;
};

// The rules of one policy against the schema. A local policy may outlive a model, so a field of its
// that this model does not have is told and no more.
Status CheckFields(const PolicyDocument& document, CompiledPolicy::Impl& impl) {
  const bool local = &document != &impl.policy.hub;
  for (const auto& [name, rule] : document.fields) {
    const Field* field = impl.schema.Find(name);
    if (field != nullptr) {
      SKERRY_RETURN_IF_ERROR(CheckAction(*field, rule));
      continue;
    }
    auto text = fmt::format("{}: fields.{}: model {} has no such field; there are {}", rule.where,
                            name, impl.schema.model, FieldNames(impl.schema));
    if (!local) return Fail(ErrorCode::kInvalidArgument, "{}", text);
    impl.warnings.push_back("local policy, " + std::move(text));
  }
  return {};
}

Status PlanFields(CompiledPolicy::Impl& impl) {
  SKERRY_RETURN_IF_ERROR(CheckFields(impl.policy.hub, impl));
  if (impl.policy.local)
    SKERRY_RETURN_IF_ERROR(CheckFields(*impl.policy.local, impl), "local policy");
  std::size_t features = 0;
  std::size_t texts = 0;
  for (const Field& field : impl.schema.fields) {
    FieldPlan plan;
    plan.field = field;
    plan.is_feature = field.role == FieldRole::kFeature;
    plan.index = plan.is_feature ? features++ : texts++;
    plan.rule = RuleOf(impl.policy.fields, field.name);
    if (!impl.policy.hub.fields.contains(field.name))
      impl.warnings.push_back(
          fmt::format("no rule names {}: it is dropped by {}", field.name, kDefaultDeny));
    else if (impl.policy.local && !impl.policy.local->fields.contains(field.name))
      impl.warnings.push_back(fmt::format(
          "no rule of the local policy names {}: it is dropped by {}", field.name, kDefaultDeny));
    if (!plan.dropped())
      plan.column = fmt::format("{}_{}{}", plan.is_feature ? "in" : "ctx", field.name,
                                ColumnSuffix(plan.rule.action));
    else if (plan.is_feature)
      impl.drops_a_feature = true;
    impl.fields.push_back(std::move(plan));
  }
  for (const FieldPlan& plan : impl.fields) {
    if (plan.is_feature) impl.features.push_back(&plan);
    if (!plan.rule.detect.empty() && plan.rule.block == Block::kWithhold)
      impl.detecting.push_back(&plan);
  }
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
  if (impl.policy.classes.anomaly) warn("which rows are in class anomaly");
}

void WarnOfFreeTextAndSmallGroups(CompiledPolicy::Impl& impl) {
  for (const FieldPlan& plan : impl.fields)
    if (plan.field.type == FieldType::kText && plan.rule.action == FieldAction::kKeep &&
        plan.rule.detect.empty())
      impl.warnings.push_back(fmt::format(
          "{} is free text and leaves as it came ({}): people write names and numbers into such "
          "fields; write allow, hash, mask or drop, or {{action: keep, detect: [email, phone, "
          "iban, "
          "card]}}",
          plan.field.name, plan.rule.rule));
  if (impl.policy.classes.summary && impl.policy.classes.summary->min_group < 2)
    impl.warnings.emplace_back(
        "summaries have no smallest group: with min_group 1 a count may speak of one row; write "
        "for example min_group: 5");
}

// Says where a condition can only be judged by what the other policy leaves of the values.
void WarnOfBlindness(const BoundCondition& bound, std::string_view result,
                     CompiledPolicy::Impl& impl) {
  std::string names;
  for (std::size_t i = 0; i < bound.bindings.size(); ++i)
    if (bound.bindings[i].sight != ConditionBinding::Sight::kWhole)
      names += (names.empty() ? "" : ", ") + bound.condition.names()[i];
  if (names.empty()) return;
  impl.warnings.push_back(
      fmt::format("\"{}\" ({}) reads {}, of which the other policy leaves less: {}",
                  bound.condition.text(), bound.rule, names, result));
}

Status BindConditions(const PolicyDocument& document, CompiledPolicy::Impl& impl) {
  const bool local = &document != &impl.policy.hub;
  const auto told = [&](const Condition& condition) {
    // What a local policy says is not the hub's to read.
    return local ? std::string("local policy") : condition.text();
  };
  for (const WithholdRule& rule : document.withhold) {
    SKERRY_ASSIGN_OR_RETURN(
        auto bound, Binder(impl, document, rule.where)
                        .Bind(rule.when, (local ? "local: " : "") + rule.rule, told(rule.when)));
    WarnOfBlindness(bound, "rows for which it may hold are withheld", impl);
    impl.withhold.push_back(std::move(bound));
  }
  if (!document.classes.anomaly || !impl.policy.classes.anomaly) return {};
  const ClassRules::Anomaly& anomaly = *document.classes.anomaly;
  SKERRY_ASSIGN_OR_RETURN(
      auto bound,
      Binder(impl, document, anomaly.where)
          .Bind(anomaly.when, fmt::format("anomaly: {}", told(anomaly.when)), told(anomaly.when)));
  WarnOfBlindness(bound, "rows for which it is certain to hold are selected", impl);
  impl.anomaly.push_back(std::move(bound));
  return {};
}

}  // namespace

Result<std::shared_ptr<const CompiledPolicy>> CompiledPolicy::Compile(
    const PolicyDocument& document, const ModelSchema& schema, std::string hmac_key) {
  return Compile(Combine(document, std::nullopt), schema, std::move(hmac_key));
}

Result<std::shared_ptr<const CompiledPolicy>> CompiledPolicy::Compile(CombinedPolicy policy,
                                                                      const ModelSchema& schema,
                                                                      std::string hmac_key) {
  auto impl = std::make_unique<Impl>();
  impl->policy = std::move(policy);
  impl->digest = impl->policy.digest;
  impl->derived = impl->policy.derived;
  impl->schema = schema;
  impl->warnings = impl->policy.notes;
  SKERRY_RETURN_IF_ERROR(PlanFields(*impl));
  SKERRY_RETURN_IF_ERROR(PlanPseudonyms(std::move(hmac_key), *impl));
  SKERRY_RETURN_IF_ERROR(BindConditions(impl->policy.hub, *impl));
  if (impl->policy.local)
    SKERRY_RETURN_IF_ERROR(BindConditions(*impl->policy.local, *impl), "local policy");
  WarnOfModelOutputs(*impl);
  WarnOfFreeTextAndSmallGroups(*impl);
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
