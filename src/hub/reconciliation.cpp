#include "hub/reconciliation.h"

#include <map>

namespace skerry {
namespace {

using Holdings = std::map<StreamKey, const StreamHoldings*>;

// How many primary rows of a pending segment the hub does not have yet.
Result<std::uint64_t> StillPending(const ReconciliationInput& input, const Holdings& holdings,
                                   const PendingSegment& segment) {
  const StreamKey stream{segment.epoch, segment.cls};
  const auto found = holdings.find(stream);
  if (found == holdings.end()) return segment.primary_rows;
  const StreamHoldings& here = *found->second;
  if (here.held.Covers(segment.first_seq, segment.last_seq) ||
      here.gaps.Covers(segment.first_seq, segment.last_seq))
    return std::uint64_t{0};
  if (!here.held.Overlaps(segment.first_seq, segment.last_seq) || !input.held_primary_rows)
    return segment.primary_rows;
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t held,
                          input.held_primary_rows(stream, segment.first_seq, segment.last_seq));
  return segment.primary_rows > held ? segment.primary_rows - held : 0;
}

std::uint64_t Unexplained(const StreamHoldings& holdings, const std::optional<SiteStatus>& status) {
  if (holdings.sealed_through == 0) return 0;
  IntervalSet explained = holdings.held;
  explained.Add(holdings.gaps);
  if (status) {
    for (const PendingSegment& segment : status->pending) {
      if (segment.epoch == holdings.stream.epoch && segment.cls == holdings.stream.cls)
        explained.Add(segment.first_seq, segment.last_seq);
    }
  }
  std::uint64_t seqs = 0;
  for (const auto& [first, last] : explained.Missing(1, holdings.sealed_through))
    seqs += last - first + 1;
  return seqs;
}

Json StreamJson(const Reconciliation::Stream& stream) {
  const StreamHoldings& holdings = stream.holdings;
  return {{"epoch", holdings.stream.epoch.ToString()},
          {"class", RecordClassName(holdings.stream.cls)},
          {"sealed_through", holdings.sealed_through},
          {"received", holdings.held.ToJson()},
          {"gaps", holdings.gaps.ToJson()},
          {"lost", holdings.lost.ToJson()},
          {"rows", holdings.rows},
          {"primary_rows", holdings.primary_rows},
          {"quarantined_primary_rows", holdings.quarantined_primary_rows},
          {"lost_primary_rows", holdings.lost_primary_rows},
          {"unexplained", stream.unexplained}};
}

}  // namespace

Result<Reconciliation> Reconcile(const ReconciliationInput& input) {
  Reconciliation out;
  out.site = input.site;
  out.duplicates_ignored = input.duplicate_rows;
  out.conflicting_rows = input.conflicting_rows;
  out.missing_statements = input.missing_statements;
  Holdings holdings;
  for (const StreamHoldings& stream : input.streams) {
    holdings[stream.stream] = &stream;
    out.received += stream.primary_rows;
    out.quarantined += stream.quarantined_primary_rows;
    out.lost += stream.lost_primary_rows;
    out.streams.push_back({stream, Unexplained(stream, input.status)});
    out.unexplained_gaps += out.streams.back().unexplained;
  }
  if (input.status) {
    const Counters& counters = input.status->counters;
    out.scored = counters.scored;
    out.withheld = counters.withheld;
    out.not_selected = counters.not_selected;
    out.shed = counters.shed;
    out.recalled = counters.recalled;
    out.not_captured = counters.not_captured;
    out.pending = input.status->unsealed_primary_rows;
    for (const PendingSegment& segment : input.status->pending) {
      SKERRY_ASSIGN_OR_RETURN(const std::uint64_t rows, StillPending(input, holdings, segment));
      out.pending += rows;
    }
    out.status_counter = input.status->counter;
    out.status_age_us = input.status_age_us;
  }
  const std::uint64_t sum = out.received + out.withheld + out.not_selected + out.shed +
                            out.recalled + out.not_captured + out.quarantined + out.lost +
                            out.pending;
  out.difference = static_cast<std::int64_t>(out.scored - sum);
  return out;
}

Json Reconciliation::ToJson() const {
  Json list = Json::array();
  for (const Stream& stream : streams) list.push_back(StreamJson(stream));
  constexpr double kMicros = 1e6;
  return {{"site", site},
          {"terms",
           {{"scored", scored},
            {"received", received},
            {"withheld", withheld},
            {"not_selected", not_selected},
            {"shed", shed},
            {"recalled", recalled},
            {"not_captured", not_captured},
            {"quarantined", quarantined},
            {"lost", lost},
            {"pending", pending}}},
          {"balanced", balanced()},
          {"difference", difference},
          {"duplicates_ignored", duplicates_ignored},
          {"conflicting_rows", conflicting_rows},
          {"unexplained_gaps", unexplained_gaps},
          {"missing_statements", missing_statements},
          {"streams", std::move(list)},
          {"status_counter", status_counter},
          {"status_age_s",
           status_counter == 0 ? Json() : Json(static_cast<double>(status_age_us) / kMicros)}};
}

}  // namespace skerry
