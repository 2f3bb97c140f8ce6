#include "insight/reasons.h"

namespace skerry {

std::vector<Reason> ReasonsOf(const RowBatch& batch, std::size_t row) {
  std::vector<Reason> reasons;
  const ModelReference& reference = batch.package->reference;
  const std::vector<const Field*> features = batch.package->schema.features();
  for (const std::uint16_t index : batch.out_of_range[row]) {
    const Field& field = *features[index];
    const FeatureReference& range = reference.features[index];
    const float value = batch.Row(row)[index];
    if (field.type == FieldType::kCategory) {
      reasons.push_back({ReasonKind::kUnseenCategory, field.name,
                         fmt::format("{} has a value never seen in training", field.name)});
      continue;
    }
    const bool above = value > static_cast<float>(range.max);
    reasons.push_back(
        {above ? ReasonKind::kAboveRange : ReasonKind::kBelowRange, field.name,
         fmt::format("{} {:g} is {} the range seen in training {:g} - {:g}", field.name, value,
                     above ? "above" : "below", range.min, range.max)});
  }
  if (row < batch.anomaly_score.size() &&
      batch.anomaly_score[row] >= static_cast<float>(reference.anomaly_threshold))
    reasons.push_back({ReasonKind::kAnomalyScore, "",
                       fmt::format("anomaly score {:.4f} reaches the threshold {:.4f}",
                                   batch.anomaly_score[row], reference.anomaly_threshold)});
  return reasons;
}

std::string_view ReasonKindName(ReasonKind kind) {
  switch (kind) {
    case ReasonKind::kAboveRange: return "above_range";
    case ReasonKind::kBelowRange: return "below_range";
    case ReasonKind::kUnseenCategory: return "unseen_category";
    case ReasonKind::kAnomalyScore: return "anomaly_score";
  }
  return "";
}

}  // namespace skerry
