// The statement of a shipment: what is in it, what is missing and why, and the site's counters at
// that time. Shared by the site, which signs it, and the hub, which ingests by it.
//
// An in-toto Statement v1 (in-toto/attestation spec v1.0) whose subjects are the segments, in a
// DSSE envelope of type kStatementType. The digest of an envelope's bytes names the statement; each
// one carries that of the statement before it, so that the chain does not depend on any blob.
// Format: docs/formats/statement.md. Plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/ids.h"
#include "crypto/digest.h"
#include "crypto/key.h"
#include "policy/record_class.h"

namespace skerry {

constexpr std::string_view kStatementType = "application/vnd.in-toto+json";
constexpr std::string_view kShipmentPredicateType = "https://skerry.dev/shipment/v1";

// The terms of the reconciliation that the site counts, over the outbox's whole life. They commit
// with the rows. `not_captured` rows are in `scored` too. `shed` and `recalled` count primary rows
// only, and lose again those of a range that a receipt shows as received after all.
struct Counters {
  std::uint64_t scored = 0;
  std::uint64_t withheld = 0;
  std::uint64_t not_selected = 0;
  std::uint64_t shed = 0;
  std::uint64_t recalled = 0;
  std::uint64_t not_captured = 0;
  bool operator==(const Counters&) const = default;
};

// Whether records of this class leave before everything else: they are in shipments of their own,
// so that nothing else has to arrive with them.
constexpr bool IsUrgent(RecordClass cls) { return cls <= RecordClass::kAnomaly; }

// Consecutive records of one stream as one Parquet file.
struct SegmentEntry {
  RecordClass cls = RecordClass::kSample;
  InstanceId epoch;
  std::uint64_t first_seq = 0;
  std::uint64_t last_seq = 0;
  std::uint64_t rows = 0;          // last_seq - first_seq + 1
  std::uint64_t primary_rows = 0;  // rows whose primary record this is; 0 for summary and decision
  std::uint64_t bytes = 0;
  Digest digest;
  bool operator==(const SegmentEntry&) const = default;
};

// Records of a stream that will not come. `primary_rows` are counted by the site as shed (quota) or
// recalled (policy); those of damage the hub counts as quarantined and those that it lost itself as
// lost, once it has accepted the gap, and until then they stand in the status as pending.
struct GapEntry {
  RecordClass cls = RecordClass::kSample;
  InstanceId epoch;
  std::uint64_t first_seq = 0;
  std::uint64_t last_seq = 0;
  std::uint64_t rows = 0;
  std::uint64_t primary_rows = 0;
  std::string reason;  // kGapQuota, kGapPolicy, kGapDamage, kGapLost
  bool operator==(const GapEntry&) const = default;
};
constexpr std::string_view kGapQuota = "quota";
constexpr std::string_view kGapPolicy = "policy";
constexpr std::string_view kGapDamage = "damage";
// A receipt had covered it, a later one of a hub that was restored does not, and it is no more at
// the site.
constexpr std::string_view kGapLost = "lost";

// The same moment on an instance's monotonic clock and in UTC.
struct ClockAnchor {
  InstanceId instance;
  std::int64_t mono_us = 0;
  std::int64_t utc_us = 0;
  ClockQuality clock = ClockQuality::kUnknown;
  bool operator==(const ClockAnchor&) const = default;
};

struct ShipmentStatement {
  std::string site;
  InstanceId epoch;                // of the process that made it
  std::uint64_t number = 0;        // 1, 2, 3, ... over the outbox's life
  std::optional<Digest> previous;  // envelope digest of statement number - 1; none for the first
  std::vector<SegmentEntry> segments;
  std::vector<GapEntry> gaps;
  std::vector<ClockAnchor> anchors;
  Counters counters;
  std::optional<Digest> policy;  // that released these segments
  std::vector<Digest> models;    // manifest digests of the packages that scored, sorted
  std::int64_t sealed_at_us = 0;

  // The payload: one line of JSON, keys sorted; equal statements give equal bytes.
  std::string ToJson() const;
  // kInvalidArgument names the member; kUnimplemented for another predicate version. Unknown
  // members are ignored. Refuses what contradicts itself: empty ranges, rows that do not fit the
  // range, subjects that differ from the segments, over limits::kSegmentsPerShipment.
  static Result<ShipmentStatement> FromJson(std::string_view json);
  bool operator==(const ShipmentStatement&) const = default;
};

// Where a shipment with these segments of the statement stands in the hub's registry:
// "<epoch12>-<number>-<digest12>", the last over the statement and the segments, so that it changes
// when receipts or shedding leave fewer of them to send.
std::string ShipmentTag(const ShipmentStatement& statement, std::string_view envelope_json,
                        std::span<const Digest> segments);

// The DSSE envelope's JSON.
Result<std::string> SignStatement(const ShipmentStatement& statement, const PrivateKey& key);
// kPermissionDenied unless one of `keys` signed it.
Result<ShipmentStatement> VerifyStatement(std::string_view envelope_json,
                                          std::span<const PublicKey> keys);

}  // namespace skerry
