// `when` expressions of a policy: comparisons joined by and, or, not.
//
//   condition  := conjunction { "or" conjunction }
//   conjunction := term { "and" term }
//   term       := "not" term | "(" condition ")" | NAME [ OP value ]
//   OP         := "==" | "!=" | "<" | "<=" | ">" | ">="
//   value      := number | 'text' | "text" | true | false
//
// A NAME alone is true when its value is: it is meant for `anomaly`. A comparison with an absent
// value is false, and so is one between a number and a text (`not` turns either into true).
//
// Where a value is known in part, or not at all, so may be the condition's truth: Kleene's logic of
// three values, with a comparison unknown when some of the possible values make it true and others
// do not.
// Immutable after Parse; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"

namespace skerry {

// A number from `low` to `high`, both included.
struct ConditionRange {
  double low = 0;
  double high = 0;
};
// Any value, or none.
struct ConditionUnknown {};
// monostate = absent.
using ConditionValue =
    std::variant<std::monostate, bool, double, std::string_view, ConditionRange, ConditionUnknown>;

// In this order `and` is the smaller of two, `or` the larger.
enum class Truth : std::uint8_t { kFalse = 0, kUnknown = 1, kTrue = 2 };

// Where the values come from. `name` is an index into Condition::names().
class ConditionInput {
 public:
  virtual ~ConditionInput() = default;
  virtual ConditionValue Value(std::size_t name) const = 0;
};

class Condition {
 public:
  // How a name is used, so that the compiler of a policy can refuse what makes no sense.
  struct Use {
    std::size_t name = 0;  // index into names()
    bool alone = false;    // no comparison: has to be a truth value
    bool ordered = false;  // <, <=, >, >=
    bool text = false;     // compared with a text
  };

  // kInvalidArgument gives the position in `text` and what was expected there. Bounded by
  // limits::kConditionChars, kConditionTerms and kConditionDepth (kTooLarge).
  static Result<Condition> Parse(std::string_view text);

  const std::string& text() const { return text_; }
  const std::vector<std::string>& names() const { return names_; }
  const std::vector<Use>& uses() const { return uses_; }
  Truth Evaluate(const ConditionInput& input) const;

 private:
  friend class ConditionParser;
  enum class Op : std::uint8_t { kAnd, kOr, kNot, kTrue, kEq, kNe, kLt, kLe, kGt, kGe };
  struct Node {
    Op op;
    std::size_t left = 0;   // node, or name for the leaves
    std::size_t right = 0;  // node
    std::variant<bool, double, std::string> value = false;
  };
  Truth EvaluateNode(const Node& node, const ConditionInput& input) const;
  static Truth Compare(const Node& node, const ConditionValue& found);

  std::string text_;
  std::vector<std::string> names_;
  std::vector<Use> uses_;
  std::vector<Node> nodes_;  // children before their parents; the last is the root
};

}  // namespace skerry
