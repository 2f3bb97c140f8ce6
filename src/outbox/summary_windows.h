// The summaries under way: histograms for each policy and package, since the last summary of each.
// Internal; used by the writer thread alone. What it holds is lost with the process; a summary is
// an aggregate, and no row's fate depends on it.
#pragma once

#include <memory>
#include <vector>

#include "insight/histograms.h"
#include "policy/compiled_policy.h"

namespace skerry {

class SummaryWindows {
 public:
  struct Window {
    std::shared_ptr<const CompiledPolicy> policy;
    FeatureHistograms histograms;
    bool ended = false;  // another policy has come for the package: nothing more is added
  };

  // Counts what `policy` lets a summary count.
  void Add(const std::shared_ptr<const RowBatch>& batch,
           const std::shared_ptr<const CompiledPolicy>& policy);
  // Windows that are full or have ended, or all that hold rows.
  enum class Which { kDue, kAll };
  std::vector<Window*> Due(Which which);
  // After their summaries have been committed (or cannot be made).
  void Finish(const std::vector<Window*>& windows);

 private:
  std::vector<std::unique_ptr<Window>> windows_;
};

}  // namespace skerry
