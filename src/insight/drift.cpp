#include "insight/drift.h"

#include <algorithm>
#include <map>
#include <utility>

#include "insight/histograms.h"

namespace skerry {
namespace {

struct SummaryColumns {
  const Column* kind = nullptr;
  const Column* field = nullptr;
  const Column* bin = nullptr;
  const Column* count = nullptr;
};

Result<const Column*> Require(const Table& summary, std::string_view name, ColumnType type) {
  const Column* column = summary.Find(name);
  if (column == nullptr)
    return Fail(ErrorCode::kInvalidArgument, "the summary has no column \"{}\"", name);
  if (column->type != type)
    return Fail(ErrorCode::kInvalidArgument, "summary column \"{}\" is {}, expected {}", name,
                ColumnTypeName(column->type), ColumnTypeName(type));
  return column;
}

Result<SummaryColumns> RequireAll(const Table& summary) {
  SummaryColumns columns;
  SKERRY_ASSIGN_OR_RETURN(columns.kind, Require(summary, "kind", ColumnType::kText));
  SKERRY_ASSIGN_OR_RETURN(columns.field, Require(summary, "field", ColumnType::kText));
  SKERRY_ASSIGN_OR_RETURN(columns.bin, Require(summary, "bin", ColumnType::kInt64));
  SKERRY_ASSIGN_OR_RETURN(columns.count, Require(summary, "count", ColumnType::kInt64));
  return columns;
}

// What training had in the summary's bins of that feature (see FeatureHistograms::ToSummary).
std::vector<std::uint64_t> ReferenceBins(const Field& field, const FeatureReference& reference) {
  std::vector<std::uint64_t> bins = reference.counts;
  if (field.type == FieldType::kCategory) bins.push_back(0);  // unseen
  bins.push_back(reference.missing);
  return bins;
}

struct Compared {
  std::vector<std::uint64_t> reference;
  std::vector<std::uint64_t> observed;
  bool seen = false;
};

Status AddRow(const SummaryColumns& columns, std::size_t row, Compared& compared) {
  const std::int64_t bin = columns.bin->ints[row];
  const std::int64_t count = columns.count->IsNull(row) ? 0 : columns.count->ints[row];
  if (bin < 0 || static_cast<std::size_t>(bin) >= compared.observed.size() || count < 0)
    return Fail(ErrorCode::kInvalidArgument,
                "summary row {}: bin {} of \"{}\" with count {} does not fit the model's {} bins",
                row, bin, columns.field->texts[row], count, compared.observed.size());
  compared.observed[static_cast<std::size_t>(bin)] += static_cast<std::uint64_t>(count);
  compared.seen = true;
  return {};
}

FieldDrift Measure(std::string field, const Compared& compared) {
  FieldDrift drift;
  drift.field = std::move(field);
  drift.psi = Psi(compared.reference, compared.observed);
  for (const std::uint64_t count : compared.observed) drift.rows += count;
  drift.level = drift.psi >= kPsiAlarm   ? DriftLevel::kAlarm
                : drift.psi >= kPsiQuiet ? DriftLevel::kWatch
                                         : DriftLevel::kQuiet;
  return drift;
}

}  // namespace

std::string_view DriftLevelName(DriftLevel level) {
  switch (level) {
    case DriftLevel::kQuiet: return "quiet";
    case DriftLevel::kWatch: return "watch";
    case DriftLevel::kAlarm: return "alarm";
  }
  return "quiet";
}

Result<std::vector<FieldDrift>> DriftOf(const ModelSchema& schema, const ModelReference& reference,
                                        const Table& summary) {
  SKERRY_ASSIGN_OR_RETURN(const SummaryColumns columns, RequireAll(summary));
  std::map<std::string_view, Compared> features;
  for (const FeatureReference& feature : reference.features)
    if (const Field* field = schema.Find(feature.field)) {
      Compared& compared = features[feature.field];
      compared.reference = ReferenceBins(*field, feature);
      compared.observed.resize(compared.reference.size());
    }
  Compared score{reference.score_counts, {}, false};
  score.observed.resize(score.reference.size());
  for (std::size_t row = 0; row < summary.rows(); ++row) {
    const std::string& kind = columns.kind->texts[row];
    if (kind == kSummaryScore) {
      SKERRY_RETURN_IF_ERROR(AddRow(columns, row, score));
    } else if (kind == kSummaryFeature) {
      const auto found = features.find(columns.field->texts[row]);
      if (found != features.end()) SKERRY_RETURN_IF_ERROR(AddRow(columns, row, found->second));
    }
  }
  std::vector<FieldDrift> drifts;
  for (const FeatureReference& feature : reference.features) {
    const auto found = features.find(feature.field);
    if (found != features.end() && found->second.seen)
      drifts.push_back(Measure(feature.field, found->second));
  }
  if (score.seen) drifts.push_back(Measure("", score));
  return drifts;
}

}  // namespace skerry
