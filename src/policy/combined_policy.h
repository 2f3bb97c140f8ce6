// The policies that hold at a site together: the hub's, and where the site has one of its own, the
// stricter of both, field by field. Docs: docs/formats/policy.md "Two policies", ADR 0018.
//
// One rule is at most another when what it lets leave of any value can be computed from what the
// other does. The combination lets leave of a row what can be computed from what either policy
// alone would have let leave; where two rules have no order, the field stays.
//
// Plain values; the functions are pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "policy/document.h"
#include "policy/record_class.h"

namespace skerry {

struct CombinedPolicy {
  PolicyDocument hub;
  std::optional<PolicyDocument> local;

  // What holds. A rule that is the local policy's has "local: " before its name.
  std::map<std::string, FieldRule> fields;
  DerivedRules derived;
  ClassRules classes;  // the anomaly's condition is the hub's; the local one has to hold too
  // Of the hub's policy alone its own; of two, of "skerry-policies/1", and the digests of both, a
  // line each.
  Digest digest;
  std::vector<std::string> notes;  // sentences: what stays because two rules have no order
};

// Whether `strict` lets no more leave of a value than `lax`.
bool AtMost(const FieldRule& strict, const FieldRule& lax);
// Whether both let the same leave of every value.
bool SameForm(const FieldRule& a, const FieldRule& b);
// The rule of `field`; one that nobody named is dropped by kDefaultDeny.
FieldRule RuleOf(const std::map<std::string, FieldRule>& fields, const std::string& field);

CombinedPolicy Combine(PolicyDocument hub, std::optional<PolicyDocument> local);

// What may leave under `to` that did not under `from` (null: nothing did), a sentence each; none
// when `to` is no wider. With `only`, in records of that class. What cannot be shown to be narrower
// counts as wider.
std::vector<std::string> Widenings(const CombinedPolicy* from, const CombinedPolicy& to,
                                   std::optional<RecordClass> only = std::nullopt);

}  // namespace skerry
