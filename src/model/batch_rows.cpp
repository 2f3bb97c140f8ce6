#include "model/batch_rows.h"

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

// Calls `visit` with each member that has the same number of entries for every row.
template <typename Visit>
void ForEachColumn(const Visit& visit) {
  visit(&RowBatch::features);
  visit(&RowBatch::windows);
  visit(&RowBatch::inputs);
  visit(&RowBatch::score);
  visit(&RowBatch::probabilities);
  visit(&RowBatch::anomaly_score);
  visit(&RowBatch::prediction);
  visit(&RowBatch::out_of_range);
}

template <typename Value>
void Append(std::vector<Value>& to, const std::vector<Value>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

void AppendTimes(RowBatch& batch, const RowBatch& next) {
  if (batch.scored_at.empty()) batch.scored_at.assign(batch.rows, batch.ScoredAtOf(0));
  if (next.scored_at.empty())
    batch.scored_at.insert(batch.scored_at.end(), next.rows, next.ScoredAtOf(0));
  else
    Append(batch.scored_at, next.scored_at);
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
  ForEachColumn([&](auto member) { part.*member = Part(batch.*member, batch.rows, first, count); });
  part.scored_at = Part(batch.scored_at, batch.rows, first, count);
  for (const auto& texts : batch.texts) part.texts.push_back(Part(texts, batch.rows, first, count));
  return part;
}

bool FollowsOn(const RowBatch& batch, const RowBatch& next) {
  if (next.first_n != batch.first_n + batch.rows || batch.package != next.package ||
      batch.instance != next.instance || batch.role != next.role ||
      batch.texts.size() != next.texts.size() || batch.rows == 0 || next.rows == 0)
    return false;
  bool same = true;
  ForEachColumn([&](auto member) {
    same &= (batch.*member).size() / batch.rows == (next.*member).size() / next.rows;
  });
  return same;
}

void AppendRows(RowBatch& batch, const RowBatch& next) {
  assert(FollowsOn(batch, next));
  AppendTimes(batch, next);
  ForEachColumn([&](auto member) { Append(batch.*member, next.*member); });
  for (std::size_t i = 0; i < next.texts.size(); ++i) Append(batch.texts[i], next.texts[i]);
  batch.rows += next.rows;
}

std::size_t MemoryOf(const RowBatch& batch) {
  std::size_t bytes =
      (batch.features.size() + batch.windows.size() + batch.inputs.size() + batch.score.size() +
       batch.probabilities.size() + batch.anomaly_score.size()) *
          sizeof(float) +
      batch.prediction.size() + batch.scored_at.size() * sizeof(ScoredAt);
  for (const auto& texts : batch.texts)
    for (const std::string& text : texts) bytes += sizeof(std::string) + text.size();
  for (const auto& indexes : batch.out_of_range)
    bytes += sizeof(std::vector<std::uint16_t>) + indexes.size() * sizeof(std::uint16_t);
  return bytes;
}

}  // namespace skerry
