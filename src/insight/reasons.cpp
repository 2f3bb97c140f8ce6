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
    // Every digit that tells two numbers apart, as they were compared: rounded ones could be equal.
    const auto least = static_cast<float>(range.min);
    const auto most = static_cast<float>(range.max);
    const bool above = value > most;
    reasons.push_back({above ? ReasonKind::kAboveRange : ReasonKind::kBelowRange, field.name,
                       fmt::format("{} {} is {} the range seen in training {} - {}", field.name,
                                   value, above ? "above" : "below", least, most)});
  }
  const auto threshold = static_cast<float>(reference.anomaly_threshold);
  if (row < batch.anomaly_score.size() && batch.anomaly_score[row] >= threshold)
    reasons.push_back({ReasonKind::kAnomalyScore, "",
                       fmt::format("anomaly score {:.4f} reaches the threshold {:.4f}",
                                   batch.anomaly_score[row], threshold)});
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
