// The site's signed report of itself (latest wins): the counters, what is pending, and what it
// runs. Shared by the site, which signs it, and the hub, which reconciles by it.
//
// A DSSE envelope of type kStatusType. Format: docs/formats/status.md. Plain values.
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
#include "outbox/statement.h"
#include "policy/record_class.h"

namespace skerry {

constexpr std::string_view kStatusType = "application/vnd.skerry.status.v1+json";

// A sealed segment, or a damage gap, that no receipt covers yet. The hub leaves out of the pending
// rows those whose range it has received or whose gap it has accepted.
struct PendingSegment {
  InstanceId epoch;
  RecordClass cls = RecordClass::kSample;
  std::uint64_t first_seq = 0;
  std::uint64_t last_seq = 0;
  std::uint64_t primary_rows = 0;
  bool operator==(const PendingSegment&) const = default;
};

// Which skerry the site runs, and how it was put there: "unmanaged" (a package manager, a
// container), "installed", "slot", "trial".
struct ReportedRelease {
  std::string version;
  std::string standing;
  std::optional<Digest> digest;  // of a release in a slot
  bool operator==(const ReportedRelease&) const = default;
};

// Counters, `pending`, `unsealed_primary_rows` and `backlog_bytes` are of one moment: scored =
// withheld + not_selected + shed + recalled + not_captured + (pending and unsealed primary rows)
// + the primary rows that receipts have covered.
struct SiteStatus {
  std::string site;
  InstanceId instance;
  std::uint64_t counter = 0;  // grows with every status of this site
  std::int64_t utc_us = 0;
  ClockQuality clock = ClockQuality::kUnknown;
  Counters counters;
  std::vector<PendingSegment> pending;
  std::uint64_t unsealed_primary_rows = 0;
  std::string active_model;  // name:version; "" before the first
  std::optional<Digest> active_digest;
  // Manifests of the packages that the site holds whole, the likeliest base of another one first
  // (oci/delta_artifact.h); at most limits::kDeltaHolds.
  std::vector<Digest> packages;
  std::uint64_t desired_version = 0;  // the one applied last; 0 before the first
  std::optional<ReportedRelease> release;
  std::vector<std::string> alarms;
  std::uint64_t backlog_bytes = 0;
  std::string certificate_request;  // PEM, when the certificate is to be renewed; else ""

  std::string ToJson() const;
  // kInvalidArgument names the member; kUnimplemented for another major version of the format;
  // kTooLarge over limits::kStatusPending.
  static Result<SiteStatus> FromJson(std::string_view json);
  bool operator==(const SiteStatus&) const = default;
};

// The DSSE envelope's JSON.
Result<std::string> SignStatus(const SiteStatus& status, const PrivateKey& key);
// kPermissionDenied unless one of `keys` signed it.
Result<SiteStatus> VerifyStatus(std::string_view envelope_json, std::span<const PublicKey> keys);

}  // namespace skerry
