// What a hub says that it stores durably, per stream: signed, cumulative, and the only thing on
// which a site deletes. Shared by the hub, which signs it, and the site.
//
// A DSSE envelope of type kReceiptType. Format: docs/formats/receipt.md. Plain values.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "codec/json.h"
#include "crypto/key.h"
#include "policy/record_class.h"

namespace skerry {

constexpr std::string_view kReceiptType = "application/vnd.skerry.receipt.v1+json";

// A set of whole numbers from 1 on as sorted, disjoint, non-adjacent closed intervals.
class IntervalSet {
 public:
  using Interval = std::pair<std::uint64_t, std::uint64_t>;  // [first, last]

  void Add(std::uint64_t first, std::uint64_t last);  // requires 1 <= first <= last
  void Add(const IntervalSet& other);
  void Remove(std::uint64_t first, std::uint64_t last);
  bool Contains(std::uint64_t value) const { return Covers(value, value); }
  // Every number of [first, last] is in the set.
  bool Covers(std::uint64_t first, std::uint64_t last) const;
  bool Overlaps(std::uint64_t first, std::uint64_t last) const;
  // The parts of [first, last] that are not in the set.
  std::vector<Interval> Missing(std::uint64_t first, std::uint64_t last) const;
  // How many numbers are in it.
  std::uint64_t count() const;
  bool empty() const { return intervals_.empty(); }
  const std::vector<Interval>& intervals() const { return intervals_; }

  Json ToJson() const;  // [[1,200],[301,400]]
  // kInvalidArgument unless sorted, disjoint and non-adjacent; kTooLarge over
  // limits::kReceiptIntervals. `path` names it in errors.
  static Result<IntervalSet> FromJson(const Json& json, std::string_view path);
  bool operator==(const IntervalSet&) const = default;

 private:
  std::vector<Interval> intervals_;
};

struct StreamReceipt {
  InstanceId epoch;
  RecordClass cls = RecordClass::kSample;
  IntervalSet received;       // stored durably, quarantined ones included
  IntervalSet accepted_gaps;  // known to be missing, with the site's signed reason
  bool operator==(const StreamReceipt&) const = default;
};

struct Receipt {
  std::string hub_incarnation;  // random; another one when the hub was restored from a back-up
  std::uint64_t counter = 0;    // grows within an incarnation
  std::string site;
  std::vector<StreamReceipt> streams;
  std::int64_t issued_at_us = 0;
  // How often the hub has begun another incarnation: that of the higher number is the later one.
  // Two of one number are two hubs from one back-up, and neither is believed beside the other.
  std::uint64_t hub_restores = 0;

  std::string ToJson() const;
  // kInvalidArgument names the member; kUnimplemented for another major version of the format.
  static Result<Receipt> FromJson(std::string_view json);
  bool operator==(const Receipt&) const = default;
};

// The DSSE envelope's JSON.
Result<std::string> SignReceipt(const Receipt& receipt, const PrivateKey& hub_key);
// kPermissionDenied unless one of `hub_keys` signed it.
Result<Receipt> VerifyReceipt(std::string_view envelope_json, std::span<const PublicKey> hub_keys);

}  // namespace skerry
