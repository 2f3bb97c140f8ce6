// A policy bound to one model's schema: decides for every row what leaves, before anything is
// stored. Default deny: what no rule names is dropped, and without a policy every row is withheld.
//
// Non-interference: the released tables are a function of the released inputs alone. Changing the
// value of a dropped field changes no released byte:
// - a `when` condition sees a field in the form in which it leaves (the bucket, the pseudonym, the
//   allowed value); one that speaks of a dropped field is refused by Compile;
// - `anomaly` means anomaly_score >= the package's threshold, or a value out of range in a field
//   that is not dropped;
// - reasons that speak of a dropped field are left out, those of a transformed one give its name
//   alone; mono_us is cut as event_time is;
// - summaries count fields under keep, bucket and round alone, and never a withheld row.
// What the model computed (prediction, score, outputs, anomaly_score) is a function of all
// features, dropped ones too. These are columns of their own under their own rule, dropped unless
// named; warnings() says when one is released beside a dropped feature.
//
// Of two policies the stricter of both holds (policy/combined_policy.h). A condition of one that
// reads what the other makes coarser or drops is evaluated over what is left: it withholds a row
// for which it may hold, and selects one as anomaly when it holds for certain.
//
// Ownership: shared by the site, the rows in the outbox's queue and whoever explains, hence
// shared_ptr<const CompiledPolicy>. Immutable; every const function is thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "model/row_batch.h"
#include "model/schema.h"
#include "policy/combined_policy.h"
#include "policy/document.h"
#include "policy/record_class.h"

namespace skerry {

// The primary disposition of a row as policy decides it. Stored in the outbox's ledger (3 bits);
// never renumber.
enum class RowDisposition : std::uint8_t {
  kReleasedAnomaly = 0,
  kReleasedInsight = 1,
  kReleasedSample = 2,
  kWithheld = 3,
  kNotSelected = 4,
};
// "anomaly", "insight", "sample", "withheld", "not-selected".
std::string_view RowDispositionName(RowDisposition disposition);
// The class of a released row's primary record; none for the others.
std::optional<RecordClass> ClassOf(RowDisposition disposition);

// The records of one class, a row each. Columns, in this order, absent where policy drops them:
//   instance TEXT | n INT64 | event_time TIMESTAMP | clock TEXT | mono_us INT64 | model TEXT
//   (name:version) | role TEXT | prediction INT64 | score DOUBLE | outputs TEXT (JSON array) |
//   anomaly_score DOUBLE | reasons TEXT (lines) | select_reason TEXT | sample_prob DOUBLE |
//   primary BOOL, then in_<field> for features and ctx_<field> for context and ids, with __hash,
//   __bucket, __round, __mask or __allow appended where the value is not the original.
// Numbers are DOUBLE, everything else TEXT. The outbox puts `seq` in front.
struct ReleasedRecords {
  RecordClass cls = RecordClass::kSample;
  Table table;
  std::uint64_t primary_rows = 0;
};

// Everything decided over some rows; ReleaseInto appends to it.
struct ReleaseResult {
  std::vector<RowDisposition> disposition;  // one a row
  std::vector<std::uint8_t> classes;        // one a row: bit 1 << RecordClass for each record made
  std::vector<ReleasedRecords> records;     // one for each class with any record; rows in row order
  std::map<std::pair<std::string, std::string>, std::uint64_t> withheld;  // (rule, reason) -> rows
};

// One field of one row, before and after; for people.
struct FieldExplanation {
  std::string field;   // schema name, or the derived column's
  std::string column;  // in the segment; "" when dropped
  std::string rule;
  std::string action;  // "bucket(10)"
  std::string before;
  std::string after;  // "" when nothing is left
};

class CompiledPolicy {
 public:
  struct Impl;  // policy_plan.h, for the module alone

  // kInvalidArgument with the line and column: a rule for a field that the schema does not have
  // (lists those that there are), an action that does not fit the field's type, a condition on a
  // dropped or unknown field. `hmac_key` is the site's (32 bytes); kInvalidArgument when it is
  // shorter and a field is hashed.
  static Result<std::shared_ptr<const CompiledPolicy>> Compile(CombinedPolicy policy,
                                                               const ModelSchema& schema,
                                                               std::string hmac_key);
  // Of one policy.
  static Result<std::shared_ptr<const CompiledPolicy>> Compile(const PolicyDocument& document,
                                                               const ModelSchema& schema,
                                                               std::string hmac_key);
  ~CompiledPolicy();
  CompiledPolicy(const CompiledPolicy&) = delete;
  CompiledPolicy& operator=(const CompiledPolicy&) = delete;

  // Requires a scored batch. One of another schema, or of a bare model, is withheld as a whole by
  // default-deny.
  ReleaseResult Release(const RowBatch& batch) const;
  // As Release, appended. `into` is empty or was filled by this policy alone.
  void ReleaseInto(const RowBatch& batch, ReleaseResult& into) const;
  // Every field of the schema, then the derived columns. Requires row < batch.rows.
  std::vector<FieldExplanation> Explain(const RowBatch& batch, std::size_t row) const;

  // What of a summary (insight/histograms.h ToSummary) leaves; none when the class does not.
  std::optional<Table> ReleaseSummary(const Table& summary) const;
  // Rows of the batch that a summary may count: those not withheld. `batch` itself when it is all
  // of them; null when it is none, or when the summary does not leave. Requires a scored batch.
  std::shared_ptr<const RowBatch> RowsForSummary(std::shared_ptr<const RowBatch> batch) const;

  const std::string& name() const;     // the hub's; "" for DenyAll
  const std::string& version() const;  // the hub's; "" for DenyAll
  const std::optional<Digest>& digest() const;
  const ClassRules& classes() const;
  // Whether the status may name models and alarms beside the counters (derived.status: keep).
  bool releases_status() const;
  // Sentences for `policy check`: fields that no rule names, model outputs beside dropped features.
  const std::vector<std::string>& warnings() const;

 private:
  friend std::shared_ptr<const CompiledPolicy> DenyAll();
  explicit CompiledPolicy(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// A site without a policy: every row withheld by rule "default-deny".
std::shared_ptr<const CompiledPolicy> DenyAll();

}  // namespace skerry
