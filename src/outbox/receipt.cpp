#include "outbox/receipt.h"

#include <algorithm>
#include <cassert>

#include "base/limits.h"
#include "crypto/dsse.h"
#include "outbox/stream_json.h"

namespace skerry {
namespace {

constexpr std::string_view kReceiptFormat = "skerry-receipt/1";

Result<IntervalSet> ReadIntervals(const JsonObject& object, const char* key) {
  SKERRY_ASSIGN_OR_RETURN(const Json* json, object.Member(key));
  return IntervalSet::FromJson(*json, fmt::format("{}.{}", object.path(), key));
}

Result<StreamReceipt> StreamFromJson(const JsonObject& object) {
  StreamReceipt stream;
  SKERRY_ASSIGN_OR_RETURN(stream.epoch, InstanceFromJson(object, "epoch"));
  SKERRY_ASSIGN_OR_RETURN(stream.cls, ClassFromJson(object));
  SKERRY_ASSIGN_OR_RETURN(stream.received, ReadIntervals(object, "received"));
  SKERRY_ASSIGN_OR_RETURN(stream.accepted_gaps, ReadIntervals(object, "accepted_gaps"));
  return stream;
}

}  // namespace

void IntervalSet::Add(std::uint64_t first, std::uint64_t last) {
  assert(first >= 1 && first <= last);
  // The first interval that touches or follows [first, last]; adjacent ones are merged. Written
  // with differences, so that nothing wraps at either end.
  const auto from = std::lower_bound(
      intervals_.begin(), intervals_.end(), first,
      [](const Interval& interval, std::uint64_t value) { return interval.second < value - 1; });
  auto to = from;
  while (to != intervals_.end() && to->first - 1 <= last) {
    first = std::min(first, to->first);
    last = std::max(last, to->second);
    ++to;
  }
  intervals_.insert(intervals_.erase(from, to), {first, last});
}

void IntervalSet::Add(const IntervalSet& other) {
  for (const auto& [first, last] : other.intervals_) Add(first, last);
}

void IntervalSet::Remove(std::uint64_t first, std::uint64_t last) {
  std::vector<Interval> left;
  for (const auto& [from, to] : intervals_) {
    if (from < first) left.emplace_back(from, std::min(to, first - 1));
    if (to > last) left.emplace_back(std::max(from, last + 1), to);
  }
  intervals_ = std::move(left);
}

bool IntervalSet::Covers(std::uint64_t first, std::uint64_t last) const {
  const auto found = std::lower_bound(
      intervals_.begin(), intervals_.end(), first,
      [](const Interval& interval, std::uint64_t value) { return interval.second < value; });
  return found != intervals_.end() && found->first <= first && last <= found->second;
}

bool IntervalSet::Overlaps(std::uint64_t first, std::uint64_t last) const {
  const auto found = std::lower_bound(
      intervals_.begin(), intervals_.end(), first,
      [](const Interval& interval, std::uint64_t value) { return interval.second < value; });
  return found != intervals_.end() && found->first <= last;
}

std::vector<IntervalSet::Interval> IntervalSet::Missing(std::uint64_t first,
                                                        std::uint64_t last) const {
  std::vector<Interval> missing;
  auto at = std::lower_bound(
      intervals_.begin(), intervals_.end(), first,
      [](const Interval& interval, std::uint64_t value) { return interval.second < value; });
  for (; at != intervals_.end() && at->first <= last; ++at) {
    if (first < at->first) missing.emplace_back(first, at->first - 1);
    if (at->second >= last) return missing;
    first = at->second + 1;
  }
  missing.emplace_back(first, last);
  return missing;
}

std::uint64_t IntervalSet::count() const {
  std::uint64_t total = 0;
  for (const auto& [first, last] : intervals_) total += last - first + 1;
  return total;
}

Json IntervalSet::ToJson() const {
  Json list = Json::array();
  for (const auto& [first, last] : intervals_) list.push_back({first, last});
  return list;
}

Result<IntervalSet> IntervalSet::FromJson(const Json& json, std::string_view path) {
  if (!json.is_array())
    return Fail(ErrorCode::kInvalidArgument, "{} is no list of intervals [first, last]", path);
  if (json.size() > limits::kReceiptIntervals)
    return Fail(ErrorCode::kTooLarge, "{} has {} intervals, the limit is {}", path, json.size(),
                limits::kReceiptIntervals);
  IntervalSet set;
  for (const Json& item : json) {
    if (!item.is_array() || item.size() != 2 || !item[0].is_number_unsigned() ||
        !item[1].is_number_unsigned())
      return Fail(ErrorCode::kInvalidArgument, "{}: {} is no interval [first, last]", path,
                  DumpJson(item));
    const auto first = item[0].get<std::uint64_t>();
    const auto last = item[1].get<std::uint64_t>();
    const std::uint64_t before = set.empty() ? 0 : set.intervals_.back().second;
    const bool apart = set.empty() ? first >= 1 : first > before && first - before > 1;
    if (!apart || last < first)
      return Fail(ErrorCode::kInvalidArgument, "{}: [{}, {}] after {} is out of order", path, first,
                  last, before);
    set.intervals_.emplace_back(first, last);
  }
  return set;
}

std::string Receipt::ToJson() const {
  Json list = Json::array();
  for (const StreamReceipt& stream : streams)
    list.push_back({{"epoch", stream.epoch.ToString()},
                    {"class", RecordClassName(stream.cls)},
                    {"received", stream.received.ToJson()},
                    {"accepted_gaps", stream.accepted_gaps.ToJson()}});
  Json document = {{"format", kReceiptFormat},   {"hub_incarnation", hub_incarnation},
                   {"counter", counter},         {"site", site},
                   {"streams", std::move(list)}, {"issued_at_us", issued_at_us}};
  if (hub_restores != 0) document["hub_restores"] = hub_restores;
  return DumpJson(document);
}

Result<Receipt> Receipt::FromJson(std::string_view json) {
  SKERRY_ASSIGN_OR_RETURN(const Json document, ParseJson(json, limits::kReceiptBytes), "receipt");
  const JsonObject object(document, "receipt");
  SKERRY_RETURN_IF_ERROR(CheckFormat(object, kReceiptFormat));
  Receipt receipt;
  SKERRY_ASSIGN_OR_RETURN(receipt.hub_incarnation, object.String("hub_incarnation"));
  if (receipt.hub_incarnation.empty())
    return Fail(ErrorCode::kInvalidArgument, "receipt.hub_incarnation is empty");
  SKERRY_ASSIGN_OR_RETURN(receipt.counter, object.Uint("counter"));
  SKERRY_ASSIGN_OR_RETURN(receipt.site, object.String("site"));
  SKERRY_RETURN_IF_ERROR(CheckName("site name", receipt.site), "receipt.site");
  SKERRY_ASSIGN_OR_RETURN(const Json* streams, object.Array("streams"));
  if (streams->size() > limits::kReceiptStreams)
    return Fail(ErrorCode::kTooLarge, "receipt.streams has {} entries, the limit is {}",
                streams->size(), limits::kReceiptStreams);
  for (std::size_t i = 0; i < streams->size(); ++i) {
    SKERRY_ASSIGN_OR_RETURN(
        StreamReceipt stream,
        StreamFromJson(JsonObject((*streams)[i], object.ElementPath("streams", i))));
    receipt.streams.push_back(std::move(stream));
  }
  SKERRY_ASSIGN_OR_RETURN(receipt.issued_at_us, object.Int("issued_at_us"));
  SKERRY_ASSIGN_OR_RETURN(receipt.hub_restores, object.UintOr("hub_restores", 0));
  return receipt;
}

Result<std::string> SignReceipt(const Receipt& receipt, const PrivateKey& hub_key) {
  SKERRY_ASSIGN_OR_RETURN(const DsseEnvelope envelope,
                          SignDsse(kReceiptType, receipt.ToJson(), hub_key));
  return envelope.ToJson();
}

Result<Receipt> VerifyReceipt(std::string_view envelope_json, std::span<const PublicKey> hub_keys) {
  SKERRY_ASSIGN_OR_RETURN(const std::string payload,
                          VerifyDsse(envelope_json, kReceiptType, hub_keys, limits::kReceiptBytes));
  return Receipt::FromJson(payload);
}

}  // namespace skerry
