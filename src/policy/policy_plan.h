// How a compiled policy is laid out: what each field becomes, what conditions read, and the columns
// of a record in order. Internal to the module.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "policy/combined_policy.h"
#include "policy/compiled_policy.h"
#include "policy/transform.h"

namespace skerry {

// One field of the schema with its rule.
struct FieldPlan {
  Field field;
  FieldRule rule;
  bool is_feature = false;
  std::size_t index = 0;  // into RowBatch::Row() for features, into RowBatch::texts otherwise
  std::string column;     // "" when dropped

  bool dropped() const { return rule.action == FieldAction::kDrop; }
  bool is_number() const { return field.type == FieldType::kNumber; }
};

// What a name of a condition means.
struct ConditionBinding {
  enum class Kind { kField, kPrediction, kScore, kAnomalyScore, kAnomaly };
  // What is known of the value that the condition's own policy would show it.
  enum class Sight {
    kWhole,    // it leaves in that form
    kRange,    // the other policy makes it coarser
    kAllowed,  // it is known when the other policy allows it
    kNothing,  // the other policy hides it
  };
  Kind kind = Kind::kField;
  const FieldPlan* plan = nullptr;
  Sight sight = Sight::kWhole;
  FieldRule own = {};  // of the condition's own policy
};
struct BoundCondition {
  Condition condition;
  std::vector<ConditionBinding> bindings;  // one a name of the condition
  std::string rule;
  std::string reason;  // told to the hub
};

// One record under way.
struct RecordContext {
  const RowBatch* batch = nullptr;
  std::size_t row = 0;
  bool primary = false;
  double sample_prob = 1;
  const std::string* select_reason = nullptr;
  const std::string* instance = nullptr;
  const std::string* model = nullptr;
};
struct OutColumn {
  using Writer = std::function<void(const RecordContext&, Column&)>;
  std::string name;
  ColumnType type;
  Writer write;
};

// A class that may select a row, in the order that decides which one is primary.
struct Choice {
  RecordClass cls;
  RowDisposition disposition;
  double probability;
  std::string reason;
};

struct CompiledPolicy::Impl {
  CombinedPolicy policy;
  std::optional<Digest> digest;
  DerivedRules derived;
  bool deny_all = false;
  ModelSchema schema;
  std::vector<FieldPlan> fields;            // in schema order; not changed after Compile
  std::vector<const FieldPlan*> features;   // in feature order
  std::vector<const FieldPlan*> detecting;  // withhold the row when they find an identifier
  bool drops_a_feature = false;
  std::optional<Pseudonyms> pseudonyms;
  std::vector<BoundCondition> withhold;
  std::vector<BoundCondition> anomaly;  // all have to hold
  std::vector<Choice> choices;
  std::vector<OutColumn> columns;
  std::vector<std::string> warnings;

  // The field's value as it leaves: absent values are none.
  std::optional<double> Number(const FieldPlan& plan, const RowBatch& batch, std::size_t row) const;
  std::optional<std::string> Text(const FieldPlan& plan, const RowBatch& batch,
                                  std::size_t row) const;
  // As it came.
  std::optional<double> RawNumber(const FieldPlan& plan, const RowBatch& batch,
                                  std::size_t row) const;
  std::string_view RawText(const FieldPlan& plan, const RowBatch& batch, std::size_t row) const;

  bool IsAnomaly(const RowBatch& batch, std::size_t row) const;
  // Lines; "" when nothing stands out. AllReasons is for the explanation on the site alone.
  std::string Reasons(const RowBatch& batch, std::size_t row) const;
  std::string AllReasons(const RowBatch& batch, std::size_t row) const;
  bool ReleasesHistogram(std::string_view kind, std::string_view field) const;
  Truth Evaluate(const BoundCondition& bound, const RowBatch& batch, std::size_t row) const;
  bool SelectsAnomaly(const RowBatch& batch, std::size_t row) const;
  // Rule and reason of the first that withholds the row, or none.
  std::optional<std::pair<std::string, std::string>> Withholding(const RowBatch& batch,
                                                                 std::size_t row) const;
  bool Accepts(const RowBatch& batch) const;
  void ReleaseRow(RecordContext context, ReleaseResult& into) const;

  void BuildChoices();
  void BuildColumns();

 private:
  void AddIdentityColumns();
  void AddDerivedColumns();
  void AddSelectionColumns();
  void AddFieldColumn(const FieldPlan& plan);
  void Add(std::string column, ColumnType type, OutColumn::Writer write);
};

// A JSON array of the probabilities of all classes, or of a regression's value; "" where nothing is
// predicted.
std::string OutputsText(const FieldRule& rule, const RowBatch& batch, std::size_t row);

// Down to the policy's time unit, also before 1970.
std::int64_t CutTime(const FieldRule& rule, std::int64_t us);

}  // namespace skerry
