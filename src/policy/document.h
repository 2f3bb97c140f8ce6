// A policy as a person wrote it: the YAML file, read and checked in itself, not yet against a
// model's schema. Format: docs/formats/policy.md ("skerry: policy/1").
//
// Plain values, safe to read from any thread.
#pragma once

#include <array>
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
#include "policy/identifiers.h"
#include "policy/record_class.h"

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

// What happens when a detector finds an identifier.
enum class Block : std::uint8_t { kDrop, kWithhold };

struct FieldRule {
  FieldAction action = FieldAction::kDrop;
  std::string rule;  // the name by which people and decisions speak of it
  double step = 0;
  std::int64_t time_unit_us = 0;
  std::size_t keep_last = 0;
  std::vector<std::string> allowed;
  // Of keep, for texts: sought in the value. A value that holds one stays here, or its whole row.
  std::vector<Identifier> detect;
  Block block = Block::kDrop;
  std::string where;  // "line 7, column 3"; empty when nobody wrote it
};

// The rule of everything that no rule names.
constexpr std::string_view kDefaultDeny = "default-deny";

// Columns that are made of a row rather than given with it. Each is dropped unless named.
struct DerivedRules {
  FieldRule prediction, score, outputs, anomaly_score, reasons, event_time, status;
};

struct DerivedName {
  std::string_view name;
  FieldRule DerivedRules::* rule;
};
// In the order of a record's columns; `status`, which is none, last.
constexpr std::array<DerivedName, 7> kDerivedNames = {{
    {"prediction", &DerivedRules::prediction},
    {"score", &DerivedRules::score},
    {"outputs", &DerivedRules::outputs},
    {"anomaly_score", &DerivedRules::anomaly_score},
    {"reasons", &DerivedRules::reasons},
    {"event_time", &DerivedRules::event_time},
    {"status", &DerivedRules::status},
}};

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

// A row and what its author says becomes of it; run by `skerry policy test`.
struct PolicyCase {
  std::string name;
  std::string where;
  std::string row;  // a JSON object of named fields
  // As if the model had said so; what it says where absent.
  std::optional<double> prediction, score, anomaly_score;
  std::optional<std::string> withheld;              // the rule
  std::optional<std::vector<RecordClass>> classes;  // all that the row makes a record in
  std::map<std::string, std::string> out;           // column -> its value as JSON
};

struct PolicyDocument {
  std::string name;
  std::string version;
  std::string text;                         // the YAML's bytes
  Digest digest;                            // of `text`
  std::map<std::string, FieldRule> fields;  // by schema field name
  DerivedRules derived;
  std::vector<WithholdRule> withhold;  // in order; the first that holds withholds the row
  ClassRules classes;
  std::vector<PolicyCase> cases;

  // kInvalidArgument: "line 7, column 3: fields.torque_nm: ..., write ... instead". kUnimplemented
  // for another major version of the format. kTooLarge over limits::kYamlBytes, kPolicyRules.
  static Result<PolicyDocument> Parse(std::string_view yaml);
};

}  // namespace skerry
