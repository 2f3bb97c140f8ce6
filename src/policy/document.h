// A policy as a person wrote it: the YAML file, read and checked in itself, not yet against a
// model's schema. Format: docs/formats/policy.md ("skerry: policy/1").
//
// Plain values, safe to read from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/digest.h"
#include "policy/condition.h"

namespace skerry {

enum class FieldAction : std::uint8_t {
  kKeep,          // as it is
  kDrop,          // nothing
  kHash,          // HMAC-SHA-256 with the site's key: "<key id>:<32 hex digits>"
  kBucket,        // the lower edge of the bucket of `step` width
  kRound,         // the nearest multiple of `step`
  kTruncateTime,  // event_time alone: cut to `time_unit_us`
  kMask,          // "****" and the last `keep_last` characters
  kAllow,         // the value if it is one of `allowed`, else nothing
};
std::string_view FieldActionName(FieldAction action);  // "keep", "drop", "hash", ...

struct FieldRule {
  FieldAction action = FieldAction::kDrop;
  std::string rule;  // the name by which people and decisions speak of it
  double step = 0;
  std::int64_t time_unit_us = 0;
  std::size_t keep_last = 0;
  std::vector<std::string> allowed;
  std::string where;  // "line 7, column 3"; empty when nobody wrote it
};

// The rule of everything that no rule names.
constexpr std::string_view kDefaultDeny = "default-deny";

// Columns that are made of a row rather than given with it. Each is dropped unless named.
struct DerivedRules {
  FieldRule prediction, score, outputs, anomaly_score, reasons, event_time, status;
};

struct WithholdRule {
  Condition when;
  std::string rule;
  std::string where;
};

// What leaves, by class; an absent class does not.
struct ClassRules {
  struct Anomaly {
    Condition when;
    std::string where;
  };
  struct Summary {
    std::uint64_t every_rows = 0;
    std::uint64_t min_group = 0;
  };
  std::optional<Anomaly> anomaly;
  std::optional<double> insight_rate;  // 0..1
  std::optional<double> sample_rate;   // 0..1
  std::optional<Summary> summary;
  bool decision = false;
};

struct PolicyDocument {
  std::string name;
  std::string version;
  Digest digest;                            // of the YAML's bytes
  std::map<std::string, FieldRule> fields;  // by schema field name
  DerivedRules derived;
  std::vector<WithholdRule> withhold;  // in order; the first that holds withholds the row
  ClassRules classes;

  // kInvalidArgument: "line 7, column 3: fields.torque_nm: ..., write ... instead". kUnimplemented
  // for another major version of the format. kTooLarge over limits::kYamlBytes, kPolicyRules.
  static Result<PolicyDocument> Parse(std::string_view yaml);
};

}  // namespace skerry
