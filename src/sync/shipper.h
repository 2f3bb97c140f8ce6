// Sends the outbox's pending shipments to the hub's registry and takes the receipts.
//
// Role: one pass over what is pending, urgent shipments (label, anomaly) or the rest; a site has
// one Shipper for each. What is small is embedded in the manifest, so that a small shipment is one
// request. Other blobs go first, several at once on the lanes it is given, resumed at the byte (the
// state file keeps where each large upload stands, so that a restart resumes too); then the
// manifest, whose PUT is the commit and whose answer is the receipt. One pass at a time; borrowed:
// the outbox and the identity.
//
// A shipment that the hub refuses is put aside for limits::kRefusedShipmentRetry and the next one
// goes on. So is one whose commit went unanswered limits::kShipmentCommitAttempts times in a row
// (it may be what kills the hub): it goes last from then on. A segment that is not what its digest
// says is quarantined by the outbox.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "oci/registry_client.h"
#include "outbox/outbox.h"
#include "trust/identity.h"

namespace skerry {

struct ShipReport {
  std::uint64_t shipped = 0;
  std::uint64_t refused = 0;        // put aside now, or earlier and not yet due again
  std::uint64_t bytes = 0;          // of blobs that went over the link
  std::uint64_t resumed_bytes = 0;  // of blobs that the hub still had of an upload that was cut
};

enum class ShipWhich { kUrgent, kRest };

class Shipper {
 public:
  Shipper(ShipWhich which, std::filesystem::path states_file, Outbox& outbox,
          SiteIdentity& identity, const Clock& clock);

  // Every pending shipment that is due. An error is the link's or the outbox's: the pass ended
  // there, what was done stays done. `lanes` (one at least) each have a connection of their own;
  // blobs are spread over them, on threads beside the caller's. `progress` runs after every chunk,
  // on any of these threads, and may end the pass. Adds to `report`, also when it ends with an
  // error.
  Status ShipPending(std::span<RegistryClient* const> lanes, const TransferProgress& progress,
                     ShipReport& report);
  // "shipment <tag>: <why the hub refuses it>"
  std::vector<std::string> alarms() const;

 private:
  struct Trouble {
    std::string reason;
    std::int64_t retry_mono_us = 0;
    int unanswered = 0;  // commits in a row
  };

  Result<std::vector<Shipment>> Pending();
  Status ShipOne(std::span<RegistryClient* const> lanes, const Shipment& shipment,
                 const TransferProgress& progress, ShipReport& report);
  Status PushBlobs(std::span<RegistryClient* const> lanes, const Artifact& artifact,
                   const TransferProgress& progress, ShipReport& report);
  Status PushBlob(RegistryClient& client, const BlobSource& blob, const TransferProgress& progress,
                  ShipReport& report);
  Status TakeReceipt(const Shipment& shipment, const std::string& body);
  // Whether the pass goes on after this error.
  Status Judge(RegistryClient& client, const Shipment& shipment, Error error, ShipReport& report);
  void Forget(const std::vector<Shipment>& pending);
  void LoadStates();
  Status SaveStates() const;  // requires mutex_

  const ShipWhich which_;
  const std::filesystem::path states_file_;
  Outbox* outbox_;
  SiteIdentity* identity_;
  const Clock* clock_;
  std::map<std::string, Trouble> troubles_;  // by tag

  mutable std::mutex mutex_;               // of the lanes: guards what follows, and a pass' report
  std::map<Digest, UploadState> uploads_;  // of blobs under way
};

}  // namespace skerry
