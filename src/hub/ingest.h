// Takes shipments: each record into the lake exactly once, whatever road, order or grouping it
// comes in, and a signed receipt for what is durable.
//
// The life of a shipment (its blobs are durable in the registry's store when Take is called):
//   1 the statement's signature is verified with the site's keys; a false one is set aside, refused
//   2 each segment that is here: marked as being read, its digest and content compared with the
//     statement, its seq range with what the stream holds already
//   3 new rows become durable files of the lake; what does not fit goes to quarantine
//   4 one transaction of the store: segments, intervals, gaps, statement, what was set aside, the
//     receipt's counter. This is the commit: after it the shipment counts, before it nothing does
//   5 the receipt is made from the ledger and signed; ClockCorrector looks at wrong times meanwhile
// A crash before 4 leaves files that LakeWriter::Sweep removes, and the site offers the shipment
// again; after 4 the repeat finds every identity known and changes nothing.
//
// A segment is set aside (kept in quarantine/, receipted as received, counted as quarantined) when
// its content is not what its own signed statement says, or when the hub died limits::kReadAttempts
// times while it read it and a process that reads it alone dies too (segment_trial.h). Rows under a
// known identity with other content are conflicts: the file is kept in quarantine, the first
// content stays, an alarm is raised.
//
// Borrows what it is given. Thread-safe; one shipment at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/metrics.h"
#include "crypto/key.h"
#include "hub/clock_corrector.h"
#include "hub/lake.h"
#include "hub/ledger.h"
#include "hub/site_directory.h"
#include "hub/store.h"
#include "oci/blob_store.h"
#include "oci/manifest.h"
#include "outbox/statement.h"

namespace skerry {

struct ArrivedShipment {
  std::string site;  // whose outbox it was put into
  Manifest manifest;
  Digest digest;  // of the manifest's bytes
  Road road = Road::kLink;
  bool compared = false;  // its segments with their digests, just now, by this process
};

// Who shows the hub a receipt of its own.
enum class ReceiptFrom : std::uint8_t { kSite, kRegistry };

struct IngestOutcome {
  std::uint64_t new_rows = 0;
  std::uint64_t duplicate_rows = 0;    // known with the same content, ignored
  std::uint64_t quarantined_rows = 0;  // of segments that were set aside
  std::uint64_t conflicting_rows = 0;  // known with other content
  std::uint64_t new_gaps = 0;
  bool changed = false;  // the receipt says more than before
};

// The DSSE envelope of a receipt and what orders it.
struct IssuedReceipt {
  std::string incarnation;  // the hub's
  std::uint64_t counter = 0;
  std::string envelope;
};

struct IngestParts {
  HubStore* store = nullptr;
  LakeWriter* lake = nullptr;
  ClockCorrector* clocks = nullptr;  // told of new files; null: nobody is
  BlobStore* blobs = nullptr;
  std::filesystem::path quarantine;       // exists
  std::filesystem::path trial_program{};  // TryReading's; empty: this executable
  PrivateKey hub_key;
  const Clock* clock = nullptr;
  MetricRegistry* metrics = nullptr;
};

class Ingest {
 public:
  explicit Ingest(IngestParts parts);

  // kPermissionDenied: no key of the site signed it, or another site did; kInvalidArgument: no
  // shipment; both set aside by name. kDataLoss: a stored blob is damaged (it is removed, so that
  // the site sends it again). Durable on success.
  Result<IngestOutcome> Take(const ArrivedShipment& shipment);

  // The statement, when its signature holds, without taking anything: what may be put into the
  // registry from a medium. Errors as Take.
  Result<ShipmentStatement> Check(const ArrivedShipment& shipment, std::string_view envelope);

  // Verifies and stores a status; returns whether it was newer than the known one (others change
  // nothing). kPermissionDenied.
  Result<bool> TakeStatus(std::string_view site, std::string_view envelope, Road road);

  // A receipt of this hub that the site holds, or the hub's own registry. When it says more than
  // the hub knows, the hub was restored from a back-up: another incarnation begins, durably, and
  // true is returned. kPermissionDenied: no receipt of this hub, or another site's.
  Result<bool> TakeReceipt(std::string_view site, std::string_view envelope,
                           ReceiptFrom from = ReceiptFrom::kSite);

  // The site's receipt as of now (ReceiptShelf keeps it). kNotFound for an unknown site.
  Result<IssuedReceipt> MakeReceipt(std::string_view site);

 private:
  // What is to be written about a shipment in its one transaction.
  struct Plan {
    ShipmentStatement statement;
    std::string envelope;
    Digest statement_digest;
    std::vector<SegmentRecord> segments;
    std::map<std::string, std::vector<ClockSpan>> clocks;  // of their files, by path
    std::vector<SetAside> set_aside;
    std::vector<Digest> read;  // marked; to be unmarked
    IngestOutcome outcome;
  };

  Result<Plan> Open(const ArrivedShipment& shipment);
  Result<ShipmentStatement> ReadStatement(const ArrivedShipment& shipment,
                                          std::string_view envelope);
  Status PlanSegments(const ArrivedShipment& shipment, Plan& plan);
  static Status Unmark(Database& db, const Plan& plan);
  Status PlanSegment(const ArrivedShipment& shipment, const SegmentEntry& entry, Plan& plan);
  Status PlanRows(const ArrivedShipment& shipment, const SegmentEntry& entry, Plan& plan);
  Status PlanConflict(const ArrivedShipment& shipment, const SegmentEntry& entry,
                      const IntervalSet& conflicting, Plan& plan);
  Status Quarantine(const ArrivedShipment& shipment, const SegmentEntry& entry,
                    std::string_view reason, Plan& plan);
  Status LookAtClocks(const SegmentRecord& record, const LakeColumns& columns, Plan& plan);
  Status KeepInQuarantine(std::string_view site, const SegmentEntry& entry);
  Status Commit(const ArrivedShipment& shipment, Plan& plan);
  // Records the whole shipment as set aside and returns the error that refuses it.
  Error Refuse(const ArrivedShipment& shipment, std::string_view kind, Error error);

  IngestParts parts_;
  std::mutex mutex_;
  Counter& shipments_;
  Counter& rows_;
  Counter& duplicates_;
  Counter& set_aside_;
};

}  // namespace skerry
