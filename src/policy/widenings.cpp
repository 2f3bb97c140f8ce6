// What one policy lets leave that another does not.
#include <algorithm>
#include <set>

#include "policy/combined_policy.h"
#include "policy/transform.h"

namespace skerry {
namespace {

bool Has(const ClassRules& rules, RecordClass cls) {
  switch (cls) {
    case RecordClass::kAnomaly: return rules.anomaly.has_value();
    case RecordClass::kSample: return rules.sample_rate.has_value();
    case RecordClass::kInsight: return rules.insight_rate.has_value();
    case RecordClass::kSummary: return rules.summary.has_value();
    case RecordClass::kDecision: return rules.decision;
    case RecordClass::kLabel: return false;
  }
  return false;
}

std::set<std::string> KeptNames(const std::map<std::string, FieldRule>& fields) {
  std::set<std::string> names;
  for (const auto& [name, rule] : fields)
    if (rule.action != FieldAction::kDrop) names.insert(name);
  return names;
}

// The rule under which a condition sees `name`.
FieldRule RuleSeen(const PolicyDocument& document, const std::string& name) {
  for (const DerivedName& derived : kDerivedNames)
    if (derived.name == name) return document.derived.*derived.rule;
  return RuleOf(document.fields, name);
}

class Comparison {
 public:
  Comparison(const CombinedPolicy& from, const CombinedPolicy& to) : from_(from), to_(to) {}

  std::vector<std::string> Run(std::optional<RecordClass> only) {
    bool columns = !only;
    for (const RecordClass cls : kRecordClasses) {
      if ((only && cls != *only) || !Has(to_.classes, cls)) continue;
      CompareClass(cls);
      columns = columns || cls != RecordClass::kDecision;
    }
    if (columns) {
      CompareColumns();
      CompareWithheld();
    }
    return std::move(found_);
  }

 private:
  template <typename... Args>
  void Add(fmt::format_string<Args...> format, Args&&... args) {
    found_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  void CompareClass(RecordClass cls) {
    const std::string_view name = RecordClassName(cls);
    if (!Has(from_.classes, cls)) return Add("class {} leaves, and did not", name);
    if (cls == RecordClass::kSample)
      CompareRates(name, *from_.classes.sample_rate, *to_.classes.sample_rate);
    if (cls == RecordClass::kInsight)
      CompareRates(name, *from_.classes.insight_rate, *to_.classes.insight_rate);
    if (cls == RecordClass::kAnomaly) CompareAnomalies();
    if (cls != RecordClass::kSummary) return;
    const ClassRules::Summary& before = *from_.classes.summary;
    const ClassRules::Summary& after = *to_.classes.summary;
    if (after.every_rows < before.every_rows)
      Add("summaries are made every {} rows, and were every {}", after.every_rows,
          before.every_rows);
    if (after.min_group < before.min_group)
      Add("summaries count groups of {} rows, and did from {} on", after.min_group,
          before.min_group);
  }

  void CompareRates(std::string_view cls, double before, double after) {
    if (after > before) Add("class {} leaves at rate {}, and did at {}", cls, after, before);
  }

  // Each condition that selected before has to be among those that select now.
  void CompareAnomalies() {
    const auto compare = [&](const PolicyDocument& before, const PolicyDocument* after) {
      const Condition& old = before.classes.anomaly->when;
      const bool same = after != nullptr && after->classes.anomaly &&
                        after->classes.anomaly->when.text() == old.text() &&
                        // `anomaly` by itself selects fewer rows the fewer fields leave.
                        (old.text() == "anomaly" || ReadsSame(old, before, *after));
      if (!same)
        Add("class anomaly selects by another condition than \"{}\", which cannot be compared",
            old.text());
    };
    compare(from_.hub, &to_.hub);
    if (from_.local) compare(*from_.local, to_.local ? &*to_.local : nullptr);
  }

  bool ReadsSame(const Condition& condition, const PolicyDocument& before,
                 const PolicyDocument& after) const {
    return std::all_of(condition.names().begin(), condition.names().end(),
                       [&](const std::string& name) {
                         if (name == "anomaly")
                           return KeptNames(before.fields) == KeptNames(after.fields) &&
                                  KeptNames(from_.fields) == KeptNames(to_.fields);
                         return SameForm(RuleSeen(before, name), RuleSeen(after, name));
                       });
  }

  void CompareColumns() {
    for (const auto& [name, rule] : to_.fields) CompareRule(name, RuleOf(from_.fields, name), rule);
    for (const DerivedName& column : kDerivedNames)
      CompareRule(std::string(column.name), from_.derived.*column.rule, to_.derived.*column.rule);
  }

  void CompareRule(const std::string& name, const FieldRule& before, const FieldRule& after) {
    if (!AtMost(after, before))
      Add("{} leaves by {}, and did by {}", name, ActionText(after), ActionText(before));
    else if (before.block == Block::kWithhold && !before.detect.empty() &&
             after.action != FieldAction::kKeep)
      Add("rows with an identifier in {} leave without it, and were withheld", name);
  }

  // Each rule that withheld before has to do so now, of the same values.
  void CompareWithheld() {
    const auto compare = [&](const PolicyDocument& before, const PolicyDocument* after) {
      for (const WithholdRule& rule : before.withhold) {
        const bool there =
            after != nullptr &&
            std::any_of(after->withhold.begin(), after->withhold.end(), [&](const auto& other) {
              return other.when.text() == rule.when.text() && ReadsSame(rule.when, before, *after);
            });
        if (!there) Add("rows with \"{}\" were withheld ({})", rule.when.text(), rule.rule);
      }
    };
    compare(from_.hub, &to_.hub);
    if (from_.local) compare(*from_.local, to_.local ? &*to_.local : nullptr);
  }

  const CombinedPolicy& from_;
  const CombinedPolicy& to_;
  std::vector<std::string> found_;
};

}  // namespace

std::vector<std::string> Widenings(const CombinedPolicy* from, const CombinedPolicy& to,
                                   std::optional<RecordClass> only) {
  if (from != nullptr) return Comparison(*from, to).Run(only);
  std::vector<std::string> found;
  for (const RecordClass cls : kRecordClasses)
    if ((!only || cls == *only) && Has(to.classes, cls))
      found.push_back(fmt::format("class {} leaves, and nothing did", RecordClassName(cls)));
  if (!only && to.derived.status.action == FieldAction::kKeep)
    found.emplace_back("the status names models and alarms, and told counts alone");
  return found;
}

}  // namespace skerry
