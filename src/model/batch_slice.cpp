#include "model/batch_slice.h"

#include <algorithm>
#include <cassert>

namespace skerry {
namespace {

// Of what has `size / rows` entries a row; nothing of what is not filled.
template <typename Value>
std::vector<Value> Part(const std::vector<Value>& all, std::size_t rows, std::size_t first,
                        std::size_t count) {
  const std::size_t width = all.size() / rows;
  const auto begin = all.begin() + static_cast<std::ptrdiff_t>(first * width);
  return {begin, begin + static_cast<std::ptrdiff_t>(count * width)};
}

}  // namespace

RowBatch SliceOf(const RowBatch& batch, std::size_t first, std::size_t count) {
  assert(first <= batch.rows && count <= batch.rows - first);
  RowBatch part;
  part.package = batch.package;
  part.instance = batch.instance;
  part.first_n = batch.first_n + first;
  part.event_time_us = batch.event_time_us;
  part.mono_us = batch.mono_us;
  part.infer_us = batch.infer_us;
  part.clock = batch.clock;
  part.role = batch.role;
  part.rows = count;
  if (batch.rows == 0) return part;
  const auto take = [&](auto member) {
    part.*member = Part(batch.*member, batch.rows, first, count);
  };
  take(&RowBatch::features);
  take(&RowBatch::windows);
  take(&RowBatch::inputs);
  take(&RowBatch::score);
  take(&RowBatch::probabilities);
  take(&RowBatch::anomaly_score);
  take(&RowBatch::prediction);
  take(&RowBatch::out_of_range);
  for (const auto& texts : batch.texts) part.texts.push_back(Part(texts, batch.rows, first, count));
  return part;
}

std::size_t MemoryOf(const RowBatch& batch) {
  std::size_t bytes =
      (batch.features.size() + batch.windows.size() + batch.inputs.size() + batch.score.size() +
       batch.probabilities.size() + batch.anomaly_score.size()) *
          sizeof(float) +
      batch.prediction.size();
  for (const auto& texts : batch.texts)
    for (const std::string& text : texts) bytes += sizeof(std::string) + text.size();
  for (const auto& indexes : batch.out_of_range)
    bytes += sizeof(std::vector<std::uint16_t>) + indexes.size() * sizeof(std::uint16_t);
  return bytes;
}

}  // namespace skerry
