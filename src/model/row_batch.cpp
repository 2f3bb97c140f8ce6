#include "model/row_batch.h"

namespace skerry {

bool RowBatch::IsAnomaly(std::size_t row) const {
  if (row < out_of_range.size() && !out_of_range[row].empty()) return true;
  return row < anomaly_score.size() &&
         anomaly_score[row] >= static_cast<float>(package->reference.anomaly_threshold);
}

}  // namespace skerry
