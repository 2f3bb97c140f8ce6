#include "policy/combined_policy.h"

#include <algorithm>
#include <cmath>

#include "policy/transform.h"

namespace skerry {
namespace {

constexpr std::string_view kLocal = "local: ";

// How many times `small` goes into `large`; 0 when that is no whole number.
double WholeTimes(double large, double small) {
  const double times = large / small;
  const double whole = std::round(times);
  return whole >= 1 && std::abs(times - whole) <= 1e-9 * whole ? whole : 0;
}

template <typename T>
bool HasAll(const std::vector<T>& list, const std::vector<T>& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const T& item) {
    return std::find(list.begin(), list.end(), item) != list.end();
  });
}

bool Leaves(const FieldRule& rule) { return rule.action != FieldAction::kDrop; }

FieldRule Local(FieldRule rule) {
  rule.rule.insert(0, kLocal);
  return rule;
}

// What both leave of texts under keep: those in which neither finds anything.
FieldRule KeepBoth(FieldRule hub, const FieldRule& local) {
  for (const Identifier identifier : local.detect)
    if (!HasAll(hub.detect, {identifier})) hub.detect.push_back(identifier);
  if (local.block == Block::kWithhold) hub.block = Block::kWithhold;
  hub.rule = fmt::format("{}, {}{}", hub.rule, kLocal, local.rule);
  return hub;
}

FieldRule AllowBoth(const FieldRule& hub, const FieldRule& local) {
  FieldRule rule = hub;
  std::erase_if(rule.allowed,
                [&](const std::string& value) { return !HasAll(local.allowed, {value}); });
  rule.rule = fmt::format("{}, {}{}", hub.rule, kLocal, local.rule);
  if (rule.allowed.empty()) rule.action = FieldAction::kDrop;
  return rule;
}

FieldRule StricterOf(const std::string& name, const FieldRule& hub, const FieldRule& local,
                     std::vector<std::string>& notes) {
  if (AtMost(hub, local)) return hub;
  if (AtMost(local, hub)) return Local(local);
  if (hub.action == FieldAction::kKeep && local.action == FieldAction::kKeep)
    return KeepBoth(hub, local);
  if (hub.action == FieldAction::kAllow && local.action == FieldAction::kAllow)
    return AllowBoth(hub, local);
  notes.push_back(
      fmt::format("{} is dropped: neither {} (the hub's rule {}) nor {} (the local rule {}) can be "
                  "computed from the other",
                  name, ActionText(hub), hub.rule, ActionText(local), local.rule));
  FieldRule dropped;
  dropped.rule = fmt::format("{}, {}{}", hub.rule, kLocal, local.rule);
  return dropped;
}

template <typename T, typename Choose>
std::optional<T> OfBoth(const std::optional<T>& a, const std::optional<T>& b, Choose choose) {
  return a && b ? std::optional<T>(choose(*a, *b)) : std::nullopt;
}

ClassRules StricterClasses(const ClassRules& hub, const ClassRules& local) {
  ClassRules both;
  if (hub.anomaly && local.anomaly) both.anomaly = hub.anomaly;
  const auto less = [](double a, double b) { return std::min(a, b); };
  both.insight_rate = OfBoth(hub.insight_rate, local.insight_rate, less);
  both.sample_rate = OfBoth(hub.sample_rate, local.sample_rate, less);
  both.summary = OfBoth(hub.summary, local.summary,
                        [](const ClassRules::Summary& a, const ClassRules::Summary& b) {
                          return ClassRules::Summary{std::max(a.every_rows, b.every_rows),
                                                     std::max(a.min_group, b.min_group)};
                        });
  both.decision = hub.decision && local.decision;
  return both;
}

}  // namespace

bool SameForm(const FieldRule& a, const FieldRule& b) {
  return a.action == b.action && a.step == b.step && a.time_unit_us == b.time_unit_us &&
         a.keep_last == b.keep_last && HasAll(a.allowed, b.allowed) &&
         HasAll(b.allowed, a.allowed) && HasAll(a.detect, b.detect) && HasAll(b.detect, a.detect) &&
         (a.detect.empty() || a.block == b.block);
}

bool AtMost(const FieldRule& strict, const FieldRule& lax) {
  if (!Leaves(strict) || SameForm(strict, lax)) return true;
  if (lax.action == FieldAction::kKeep && lax.detect.empty()) return true;
  // Known values that no detector holds back leave as they came.
  if (strict.action == FieldAction::kAllow && lax.action == FieldAction::kKeep)
    return lax.block == Block::kDrop &&
           std::none_of(
               strict.allowed.begin(), strict.allowed.end(), [&](const std::string& value) {
                 return std::any_of(lax.detect.begin(), lax.detect.end(), [&](Identifier sought) {
                   return HoldsIdentifier(sought, value);
                 });
               });
  if (strict.action != lax.action) return false;
  switch (strict.action) {
    case FieldAction::kKeep:
      return HasAll(strict.detect, lax.detect) &&
             (strict.block == Block::kWithhold || lax.block == Block::kDrop);
    case FieldAction::kBucket: return WholeTimes(strict.step, lax.step) > 0;
    // Where the larger step rounds up or down is between two values of the smaller one only when it
    // is an odd multiple.
    case FieldAction::kRound: return std::fmod(WholeTimes(strict.step, lax.step), 2) == 1;
    case FieldAction::kTruncateTime: return strict.time_unit_us % lax.time_unit_us == 0;
    // Short texts are hidden whole: "****" of three characters under keep_last 4 says nothing of
    // the two that keep_last 2 shows.
    case FieldAction::kMask: return strict.keep_last == 0;
    case FieldAction::kAllow: return HasAll(lax.allowed, strict.allowed);
    default: return false;  // hash: the same form, or none
  }
}

FieldRule RuleOf(const std::map<std::string, FieldRule>& fields, const std::string& field) {
  const auto named = fields.find(field);
  if (named != fields.end()) return named->second;
  FieldRule denied;
  denied.rule = kDefaultDeny;
  return denied;
}

CombinedPolicy Combine(PolicyDocument hub, std::optional<PolicyDocument> local) {
  CombinedPolicy both;
  both.digest = hub.digest;
  both.fields = hub.fields;
  both.derived = hub.derived;
  both.classes = hub.classes;
  if (local) {
    both.digest = Digest::Sha256(fmt::format("skerry-policies/1\n{}\n{}\n", hub.digest.ToString(),
                                             local->digest.ToString()));
    for (auto& [name, rule] : both.fields)
      rule = StricterOf(name, rule, RuleOf(local->fields, name), both.notes);
    for (const DerivedName& column : kDerivedNames)
      both.derived.*column.rule = StricterOf(std::string(column.name), hub.derived.*column.rule,
                                             local->derived.*column.rule, both.notes);
    both.classes = StricterClasses(hub.classes, local->classes);
  }
  both.hub = std::move(hub);
  both.local = std::move(local);
  return both;
}

}  // namespace skerry
