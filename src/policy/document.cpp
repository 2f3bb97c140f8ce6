#include "policy/document.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "base/ids.h"
#include "base/limits.h"
#include "codec/yaml.h"
#include "policy/policy_cases.h"
#include "policy/time_units.h"
#include "policy/yaml_reader.h"

namespace skerry {
namespace {

constexpr std::string_view kFormat = "policy/1";

struct ActionForm {
  FieldAction action;
  std::string_view name;
  std::string_view key;  // the parameter that it needs; "" for none
  std::string_view example;
};
constexpr std::array<ActionForm, 8> kActions = {{
    {FieldAction::kKeep, "keep", "", "{action: keep}"},
    {FieldAction::kDrop, "drop", "", "{action: drop}"},
    {FieldAction::kHash, "hash", "", "{action: hash}"},
    {FieldAction::kBucket, "bucket", "width", "{action: bucket, width: 10}"},
    {FieldAction::kRound, "round", "to", "{action: round, to: 0.01}"},
    {FieldAction::kTruncateTime, "truncate_time", "to", "{action: truncate_time, to: minute}"},
    {FieldAction::kMask, "mask", "keep_last", "{action: mask, keep_last: 4}"},
    {FieldAction::kAllow, "allow", "list", "{action: allow, list: [A, B]}"},
}};

struct TimeUnit {
  std::string_view name;
  std::int64_t us;
};
constexpr std::array<TimeUnit, 4> kTimeUnits = {{{"second", 1'000'000},
                                                 {"minute", 60'000'000},
                                                 {"hour", 3'600'000'000},
                                                 {"day", 86'400'000'000}}};

// What may be done with the derived columns, in the order of kDerivedNames.
const std::array<std::initializer_list<FieldAction>, kDerivedNames.size()>& DerivedActions() {
  using A = FieldAction;
  static const std::array<std::initializer_list<FieldAction>, kDerivedNames.size()> actions = {{
      {A::kKeep, A::kDrop},
      {A::kKeep, A::kDrop, A::kRound},
      {A::kKeep, A::kDrop, A::kRound},
      {A::kKeep, A::kDrop, A::kRound},
      {A::kKeep, A::kDrop},
      {A::kKeep, A::kDrop, A::kTruncateTime},
      {A::kKeep, A::kDrop},
  }};
  return actions;
}

std::string ActionNames(std::initializer_list<FieldAction> allowed) {
  std::string names;
  for (const FieldAction action : allowed) {
    if (!names.empty()) names += ", ";
    names += FieldActionName(action);
  }
  return names;
}

Result<const ActionForm*> ReadAction(const YamlNode& node,
                                     std::initializer_list<FieldAction> allowed) {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, node.Text("one of " + ActionNames(allowed)));
  for (const ActionForm& form : kActions)
    if (form.name == name &&
        std::find(allowed.begin(), allowed.end(), form.action) != allowed.end())
      return &form;
  return node.Fail("'{}' is no action here; write {}", name, ActionNames(allowed));
}

Status ReadParameter(const YamlNode& node, const ActionForm& form, FieldRule& rule) {
  SKERRY_ASSIGN_OR_RETURN(const YamlNode value,
                          node.Member(form.key, fmt::format("{} needs '{}'; write {}", form.name,
                                                            form.key, form.example)));
  switch (form.action) {
    case FieldAction::kBucket:
    case FieldAction::kRound: {
      SKERRY_ASSIGN_OR_RETURN(rule.step, value.Number(1e-12, 1e12));
      return {};
    }
    case FieldAction::kMask: {
      SKERRY_ASSIGN_OR_RETURN(rule.keep_last, value.Whole(0, 64));
      return {};
    }
    case FieldAction::kTruncateTime: {
      SKERRY_ASSIGN_OR_RETURN(const std::string unit, value.Text("second, minute, hour or day"));
      for (const TimeUnit& known : kTimeUnits)
        if (known.name == unit) rule.time_unit_us = known.us;
      if (rule.time_unit_us == 0)
        return value.Fail("'{}' is no unit; write second, minute, hour or day", unit);
      return {};
    }
    default: {
      SKERRY_ASSIGN_OR_RETURN(const std::vector<YamlNode> items, value.List("[A, B]"));
      for (const YamlNode& item : items) {
        SKERRY_ASSIGN_OR_RETURN(rule.allowed.emplace_back(), item.Text("a value"));
      }
      return {};
    }
  }
}

constexpr std::string_view kDetectExample =
    "{action: keep, detect: [email, phone, iban, card], block: withhold}";

// The identifiers that are sought in a kept text, and what happens when one is found.
Status ReadDetect(const YamlNode& node, FieldRule& rule) {
  const auto detect = node.Find("detect");
  const auto block = node.Find("block");
  if (!detect) {
    if (block)
      return block->Fail("there is nothing to block without 'detect'; write {}", kDetectExample);
    return {};
  }
  SKERRY_ASSIGN_OR_RETURN(const std::vector<YamlNode> items, detect->List(kDetectExample));
  if (items.empty()) return detect->Fail("this list is empty; write {}", kDetectExample);
  for (const YamlNode& item : items) {
    SKERRY_ASSIGN_OR_RETURN(const std::string name, item.Text("email, phone, iban or card"));
    const std::optional<Identifier> identifier = FindIdentifier(name);
    if (!identifier)
      return item.Fail("'{}' is no identifier that is known here; write email, phone, iban or card",
                       name);
    if (std::find(rule.detect.begin(), rule.detect.end(), *identifier) == rule.detect.end())
      rule.detect.push_back(*identifier);
  }
  if (!block) return {};
  SKERRY_ASSIGN_OR_RETURN(const std::string name, block->Text("drop or withhold"));
  if (name != "drop" && name != "withhold")
    return block->Fail(
        "'{}' is no way to block; write drop (the value stays here) or withhold (the "
        "whole row does)",
        name);
  rule.block = name == "drop" ? Block::kDrop : Block::kWithhold;
  return {};
}

// The keys that a rule of this action may have.
Status ForbidOthers(const YamlNode& node, const ActionForm& form,
                    std::initializer_list<FieldAction> allowed) {
  if (!form.key.empty()) return node.ForbidOthers({"action", "rule", form.key});
  const bool is_field =
      std::find(allowed.begin(), allowed.end(), FieldAction::kHash) != allowed.end();
  if (form.action == FieldAction::kKeep && is_field)
    return node.ForbidOthers({"action", "rule", "detect", "block"});
  return node.ForbidOthers({"action", "rule"});
}

// "keep" alone, or {action: ..., rule: ..., and the action's parameter}.
Result<FieldRule> ReadRule(const YamlNode& node, std::initializer_list<FieldAction> allowed) {
  FieldRule rule;
  rule.where = node.where();
  rule.rule = node.path();
  if (node.is_scalar()) {
    SKERRY_ASSIGN_OR_RETURN(const ActionForm* form, ReadAction(node, allowed));
    if (!form->key.empty())
      return node.Fail("{} needs '{}'; write {}", form->name, form->key, form->example);
    rule.action = form->action;
    return rule;
  }
  SKERRY_ASSIGN_OR_RETURN(const YamlNode action,
                          node.Member("action", "write for example {action: keep, rule: name}"));
  SKERRY_ASSIGN_OR_RETURN(const ActionForm* form, ReadAction(action, allowed));
  rule.action = form->action;
  SKERRY_RETURN_IF_ERROR(ForbidOthers(node, *form, allowed));
  if (!form->key.empty()) SKERRY_RETURN_IF_ERROR(ReadParameter(node, *form, rule));
  SKERRY_RETURN_IF_ERROR(ReadDetect(node, rule));
  if (const auto name = node.Find("rule")) {
    SKERRY_ASSIGN_OR_RETURN(rule.rule, name->RuleName());
  }
  return rule;
}

Status ReadHead(const YamlNode& root, PolicyDocument& policy) {
  SKERRY_ASSIGN_OR_RETURN(const YamlNode format,
                          root.Member("skerry", "write 'skerry: policy/1' as the first line"));
  SKERRY_ASSIGN_OR_RETURN(const std::string version, format.Text("policy/1"));
  if (version != kFormat)
    return format.FailAs(ErrorCode::kUnimplemented,
                         "'{}' is no format of this version; write policy/1", version);
  SKERRY_RETURN_IF_ERROR(root.ForbidOthers({"skerry", "name", "version", "default", "fields",
                                            "derived", "withhold", "classes", "tests"}));
  SKERRY_ASSIGN_OR_RETURN(const YamlNode name, root.Member("name", "write 'name: milling'"));
  SKERRY_ASSIGN_OR_RETURN(policy.name, name.Text("a name such as milling"));
  if (const Status checked = CheckName("policy name", policy.name); !checked)
    return name.Fail("{}", checked.error().message());
  SKERRY_ASSIGN_OR_RETURN(const YamlNode number, root.Member("version", "write 'version: 1'"));
  SKERRY_ASSIGN_OR_RETURN(policy.version, number.Text("a version such as 1"));
  if (const Status checked = CheckVersion("policy version", policy.version); !checked)
    return number.Fail("{}", checked.error().message());
  if (const auto fallback = root.Find("default")) {
    SKERRY_ASSIGN_OR_RETURN(const std::string action, fallback->Text("drop"));
    if (action != "drop")
      return fallback->Fail("'{}': the only default is 'default: drop'; name the fields to keep",
                            action);
  }
  return {};
}

Status ReadFields(const YamlNode& root, PolicyDocument& policy) {
  using A = FieldAction;
  const auto fields = root.Find("fields");
  if (!fields) return {};
  SKERRY_ASSIGN_OR_RETURN(const auto members,
                          fields->Members("a rule a line, such as 'torque_nm: {action: keep}'"));
  for (const auto& [name, node] : members) {
    SKERRY_ASSIGN_OR_RETURN(
        policy.fields[name],
        ReadRule(node, {A::kKeep, A::kDrop, A::kHash, A::kBucket, A::kRound, A::kMask, A::kAllow}));
  }
  return {};
}

Status ReadDerived(const YamlNode& root, PolicyDocument& policy) {
  for (const DerivedName& column : kDerivedNames) (policy.derived.*column.rule).rule = kDefaultDeny;
  const auto derived = root.Find("derived");
  if (!derived) return {};
  SKERRY_RETURN_IF_ERROR(derived->ForbidOthers(
      {"prediction", "score", "outputs", "anomaly_score", "reasons", "event_time", "status"}));
  for (std::size_t i = 0; i < kDerivedNames.size(); ++i)
    if (const auto node = derived->Find(kDerivedNames[i].name)) {
      SKERRY_ASSIGN_OR_RETURN(policy.derived.*kDerivedNames[i].rule,
                              ReadRule(*node, DerivedActions()[i]));
    }
  return {};
}

Result<Condition> ReadCondition(const YamlNode& node) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, node.Text("a condition in quotes"));
  auto condition = Condition::Parse(text);
  if (!condition) return node.FailAs(condition.error().code(), "{}", condition.error().message());
  return condition;
}

Status ReadWithhold(const YamlNode& root, PolicyDocument& policy) {
  const auto list = root.Find("withhold");
  if (!list) return {};
  const std::string_view example = "[{when: \"type == 'X'\", rule: legal-hold}]";
  SKERRY_ASSIGN_OR_RETURN(const std::vector<YamlNode> items, list->List(example));
  for (const YamlNode& item : items) {
    SKERRY_RETURN_IF_ERROR(item.ForbidOthers({"when", "rule"}));
    const std::string hint = fmt::format("write {}", example);
    SKERRY_ASSIGN_OR_RETURN(const YamlNode when, item.Member("when", hint));
    SKERRY_ASSIGN_OR_RETURN(const YamlNode rule, item.Member("rule", hint));
    SKERRY_ASSIGN_OR_RETURN(Condition condition, ReadCondition(when));
    SKERRY_ASSIGN_OR_RETURN(std::string name, rule.RuleName());
    policy.withhold.push_back({std::move(condition), std::move(name), when.where()});
  }
  return {};
}

Result<std::optional<double>> ReadRate(const YamlNode& classes, const char* cls) {
  const auto node = classes.Find(cls);
  if (!node) return std::nullopt;
  SKERRY_RETURN_IF_ERROR(node->ForbidOthers({"rate"}));
  SKERRY_ASSIGN_OR_RETURN(const YamlNode rate,
                          node->Member("rate", fmt::format("write '{}: {{rate: 0.1}}'", cls)));
  SKERRY_ASSIGN_OR_RETURN(const double value, rate.Number(0, 1));
  return value;
}

Status ReadSummary(const YamlNode& node, ClassRules& rules) {
  SKERRY_RETURN_IF_ERROR(node.ForbidOthers({"every_rows", "min_group"}));
  const std::string_view hint = "write 'summary: {every_rows: 2000, min_group: 5}'";
  SKERRY_ASSIGN_OR_RETURN(const YamlNode rows, node.Member("every_rows", hint));
  SKERRY_ASSIGN_OR_RETURN(const YamlNode group, node.Member("min_group", hint));
  ClassRules::Summary summary;
  SKERRY_ASSIGN_OR_RETURN(summary.every_rows, rows.Whole(1, 1'000'000'000));
  SKERRY_ASSIGN_OR_RETURN(summary.min_group, group.Whole(1, 1'000'000));
  rules.summary = summary;
  return {};
}

Status ReadClasses(const YamlNode& root, PolicyDocument& policy) {
  const auto classes = root.Find("classes");
  if (!classes) return {};
  SKERRY_RETURN_IF_ERROR(
      classes->ForbidOthers({"anomaly", "insight", "sample", "summary", "decision"}));
  if (const auto anomaly = classes->Find("anomaly")) {
    SKERRY_RETURN_IF_ERROR(anomaly->ForbidOthers({"when"}));
    SKERRY_ASSIGN_OR_RETURN(const YamlNode when,
                            anomaly->Member("when", "write 'anomaly: {when: \"anomaly\"}'"));
    SKERRY_ASSIGN_OR_RETURN(Condition condition, ReadCondition(when));
    policy.classes.anomaly = ClassRules::Anomaly{std::move(condition), when.where()};
  }
  SKERRY_ASSIGN_OR_RETURN(policy.classes.insight_rate, ReadRate(*classes, "insight"));
  SKERRY_ASSIGN_OR_RETURN(policy.classes.sample_rate, ReadRate(*classes, "sample"));
  if (const auto summary = classes->Find("summary"))
    SKERRY_RETURN_IF_ERROR(ReadSummary(*summary, policy.classes));
  if (const auto decision = classes->Find("decision")) {
    SKERRY_RETURN_IF_ERROR(decision->ForbidOthers({}));
    policy.classes.decision = true;
  }
  return {};
}

Status CheckRuleCount(const PolicyDocument& policy) {
  std::size_t rules = policy.fields.size() + policy.withhold.size();
  for (const auto& [name, rule] : policy.fields) rules += rule.allowed.size();
  if (rules > limits::kPolicyRules)
    return Fail(ErrorCode::kTooLarge,
                "a policy of {} rules and allowed values; the limit is {} together", rules,
                limits::kPolicyRules);
  return {};
}

}  // namespace

std::string_view FieldActionName(FieldAction action) {
  return kActions[static_cast<std::size_t>(action)].name;
}

std::int64_t LargestTimeUnit(std::int64_t us) {
  std::int64_t largest = 1;
  for (const TimeUnit& unit : kTimeUnits)
    if (us % unit.us == 0) largest = unit.us;
  return largest;
}

Result<PolicyDocument> PolicyDocument::Parse(std::string_view yaml) {
  SKERRY_ASSIGN_OR_RETURN(const YamlDocument document, ParseYaml(yaml));
  const YamlNode root(document);
  PolicyDocument policy;
  policy.text = yaml;
  policy.digest = Digest::Sha256(yaml);
  SKERRY_RETURN_IF_ERROR(ReadHead(root, policy));
  SKERRY_RETURN_IF_ERROR(ReadFields(root, policy));
  SKERRY_RETURN_IF_ERROR(ReadDerived(root, policy));
  SKERRY_RETURN_IF_ERROR(ReadWithhold(root, policy));
  SKERRY_RETURN_IF_ERROR(ReadClasses(root, policy));
  SKERRY_RETURN_IF_ERROR(CheckRuleCount(policy));
  SKERRY_ASSIGN_OR_RETURN(policy.cases, ReadCases(root));
  return policy;
}

}  // namespace skerry
