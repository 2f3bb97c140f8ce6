// Drift a feature: summaries from a site against the reference of the package that scored.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "insight/psi.h"
#include "model/reference.h"
#include "model/schema.h"

namespace skerry {

enum class DriftLevel : std::uint8_t { kQuiet, kWatch, kAlarm };
std::string_view DriftLevelName(DriftLevel level);  // "quiet", "watch", "alarm"

struct FieldDrift {
  std::string field;  // "" for the score
  double psi = 0;
  std::uint64_t rows = 0;  // observed rows that the PSI stands on
  DriftLevel level = DriftLevel::kQuiet;
};

// PSI of every feature present in `summary` (FeatureHistograms::ToSummary's form, of one or many
// windows, rows in any order; features that policy withheld are simply absent), then of the score
// if it is there. Bins with a null count are taken as 0. Features without a reference are left out.
// kInvalidArgument when a column is missing or of the wrong type, or a bin number does not fit the
// reference.
Result<std::vector<FieldDrift>> DriftOf(const ModelSchema& schema, const ModelReference& reference,
                                        const Table& summary);

}  // namespace skerry
