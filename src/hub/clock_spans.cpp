// LakeWriter's view of clocks: what the rows of a file say of theirs, without reading all of them.
#include <algorithm>

#include "base/log.h"
#include "hub/lake.h"

namespace skerry {
namespace {

// Instances and qualities in one file; more are not looked at.
constexpr std::size_t kSpansPerFile = 1'000;

}  // namespace

Result<std::vector<ClockSpan>> LakeWriter::ClockSpans(const std::string& path,
                                                      const LakeColumns& columns) {
  const std::lock_guard lock(mutex_);
  SKERRY_ASSIGN_OR_RETURN(TabularEngine * engine, Engine());
  const std::string source = InspectedOr(directory_ / path);
  // By name and type: `event_time` is absent where policy drops it, and a column of another type is
  // no time.
  const auto has = [&](std::string_view name, std::string_view type) {
    return std::find(columns.begin(), columns.end(),
                     std::pair(std::string(name), std::string(type))) != columns.end();
  };
  if (!has("instance", "VARCHAR") || !has("clock", "VARCHAR") || !has("mono_us", "BIGINT") ||
      !has("event_time", "TIMESTAMP WITH TIME ZONE"))
    return std::vector<ClockSpan>();
  SKERRY_ASSIGN_OR_RETURN(
      const Table table,
      engine->Query(fmt::format(
          "SELECT instance, clock, min(e)::BIGINT, max(e)::BIGINT, min(m), max(m), "
          "min(e::DOUBLE - m), max(e::DOUBLE - m) FROM (SELECT instance, clock, mono_us AS m, "
          "epoch_us(event_time) AS e FROM {} WHERE instance IS NOT NULL AND isfinite(event_time) "
          "AND mono_us IS NOT NULL) GROUP BY 1, 2 ORDER BY 1, 2 LIMIT {}",
          source, kSpansPerFile)));
  std::vector<ClockSpan> spans;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const auto whole = [&](std::size_t column) { return table.columns[column].ints[row]; };
    ClockSpan span;
    span.instance = table.columns[0].texts[row];
    if (!InstanceId::Parse(span.instance)) continue;
    span.clock = ClockQualityOf(table.columns[1].texts[row]);
    span.first_event_us = std::max(whole(2), -kEventMostUs);
    span.last_event_us = std::min(whole(3), kEventMostUs);
    span.first_mono_us = whole(4);
    span.last_mono_us = whole(5);
    const auto rounded = [&](std::size_t column) {
      return static_cast<std::int64_t>(std::clamp(table.columns[column].doubles[row], -4e18, 4e18));
    };
    span.least_ahead_us = rounded(6);
    span.most_ahead_us = rounded(7);
    spans.push_back(std::move(span));
  }
  if (table.rows() == kSpansPerFile)
    LogWarning(
        "a lake file is of very many processes, the clocks of some are not looked at path={}",
        path);
  return spans;
}

}  // namespace skerry
