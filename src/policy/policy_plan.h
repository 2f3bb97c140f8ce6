// How a compiled policy is laid out: what each field becomes, what conditions read, and the columns
// of a record in order. Internal to the module.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

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
  Kind kind = Kind::kField;
  const FieldPlan* plan = nullptr;
};
struct BoundCondition {
  Condition condition;
  std::vector<ConditionBinding> bindings;  // one a name of the condition
  std::string rule;
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
  std::string name;
  std::string version;
  std::optional<Digest> digest;
  ClassRules classes;
  DerivedRules derived;
  bool deny_all = false;
  ModelSchema schema;
  std::vector<FieldPlan> fields;           // in schema order; not changed after Compile
  std::vector<const FieldPlan*> features;  // in feature order
  bool drops_a_feature = false;
  std::optional<Pseudonyms> pseudonyms;
  std::vector<BoundCondition> withhold;
  std::optional<BoundCondition> anomaly;
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
  bool Holds(const BoundCondition& bound, const RowBatch& batch, std::size_t row) const;
  // The first rule that withholds the row, or null.
  const BoundCondition* Withholding(const RowBatch& batch, std::size_t row) const;
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

// Down to the policy's time unit, also before 1970.
std::int64_t CutTime(const FieldRule& rule, std::int64_t us);

}  // namespace skerry
