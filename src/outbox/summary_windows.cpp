#include "outbox/summary_windows.h"

#include <algorithm>

namespace skerry {

void SummaryWindows::Add(const std::shared_ptr<const RowBatch>& batch,
                         const std::shared_ptr<const CompiledPolicy>& policy) {
  const std::shared_ptr<const RowBatch> rows = policy->RowsForSummary(batch);
  Window* window = nullptr;
  for (const auto& known : windows_) {
    if (known->histograms.package() != batch->package) continue;
    if (known->policy == policy)
      window = known.get();
    else
      // What was counted under one policy never leaves under another.
      known->ended = true;
  }
  if (rows == nullptr) return;
  if (window == nullptr)
    window = windows_
                 .emplace_back(std::make_unique<Window>(
                     Window{policy, FeatureHistograms(batch->package), false}))
                 .get();
  window->ended = false;
  window->histograms.Add(*rows);
}

std::vector<SummaryWindows::Window*> SummaryWindows::Due(Which which) {
  std::vector<Window*> due;
  for (const auto& window : windows_) {
    const std::uint64_t rows = window->histograms.rows();
    const bool full = rows >= window->policy->classes().summary->every_rows;
    if (rows > 0 && (full || window->ended || which == Which::kAll)) due.push_back(window.get());
  }
  return due;
}

void SummaryWindows::Finish(const std::vector<Window*>& windows) {
  for (Window* window : windows) window->histograms.Clear();
  std::erase_if(windows_,
                [](const auto& window) { return window->ended && window->histograms.rows() == 0; });
}

}  // namespace skerry
