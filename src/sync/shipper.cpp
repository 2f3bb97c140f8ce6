#include "sync/shipper.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <set>
#include <thread>

#include "base/limits.h"
#include "base/log.h"
#include "codec/json.h"
#include "oci/media_types.h"
#include "storage/file.h"
#include "sync/shipment_artifact.h"

namespace skerry {
namespace {

// Whether its statement is of urgent segments: these are in no statement with others.
bool IsUrgent(const Shipment& shipment) {
  const auto& segments = shipment.statement.segments;
  return !segments.empty() && IsUrgent(segments.front().cls);
}

bool SegmentsAreThere(const Shipment& shipment) {
  std::error_code error;
  return std::ranges::all_of(shipment.segments, [&](const auto& segment) {
    return std::filesystem::exists(segment.second, error);
  });
}

}  // namespace

Shipper::Shipper(ShipWhich which, std::filesystem::path states_file, Outbox& outbox,
                 SiteIdentity& identity, const Clock& clock)
    : which_(which),
      states_file_(std::move(states_file)),
      outbox_(&outbox),
      identity_(&identity),
      clock_(&clock) {
  LoadStates();
}

Result<std::vector<Shipment>> Shipper::Pending() {
  const bool urgent = which_ == ShipWhich::kUrgent;
  SKERRY_ASSIGN_OR_RETURN(
      std::vector<Shipment> pending,
      outbox_->PendingShipments(urgent ? ShipmentPick::kUrgent : ShipmentPick::kAll));
  std::erase_if(pending, [&](const Shipment& shipment) { return IsUrgent(shipment) != urgent; });
  return pending;
}

Status Shipper::ShipPending(std::span<RegistryClient* const> lanes,
                            const TransferProgress& progress, ShipReport& report) {
  SKERRY_ASSIGN_OR_RETURN(std::vector<Shipment> pending, Pending());
  Forget(pending);
  // Whatever made trouble goes behind everything that did not.
  std::ranges::stable_partition(pending, [&](const Shipment& shipment) {
    const auto trouble = troubles_.find(shipment.tag);
    return trouble == troubles_.end() || trouble->second.retry_mono_us == 0;
  });
  for (const Shipment& shipment : pending) {
    const auto trouble = troubles_.find(shipment.tag);
    if (trouble != troubles_.end() && clock_->MonotonicMicros() < trouble->second.retry_mono_us) {
      ++report.refused;
      continue;
    }
    Status shipped = ShipOne(lanes, shipment, progress, report);
    if (shipped) {
      troubles_.erase(shipment.tag);
      ++report.shipped;
      continue;
    }
    SKERRY_RETURN_IF_ERROR(Judge(*lanes[0], shipment, std::move(shipped).error(), report));
  }
  return {};
}

Status Shipper::ShipOne(std::span<RegistryClient* const> lanes, const Shipment& shipment,
                        const TransferProgress& progress, ShipReport& report) {
  SKERRY_ASSIGN_OR_RETURN(const Artifact artifact, MakeShipmentArtifact(shipment));
  SKERRY_RETURN_IF_ERROR(PushBlobs(lanes, artifact, progress, report));
  const auto reply = lanes[0]->PutManifest(ShipmentRepository(identity_->site()), shipment.tag,
                                           artifact.manifest_bytes, artifact.manifest.media_type);
  if (!reply) {
    const ErrorCode code = reply.error().code();
    if (code == ErrorCode::kUnavailable || code == ErrorCode::kDeadlineExceeded) {
      Trouble& trouble = troubles_[shipment.tag];
      trouble.reason = reply.error().message();
      ++trouble.unanswered;
    }
    return tl::make_unexpected(reply.error());
  }
  for (const BlobSource& blob : artifact.blobs)
    if (blob.descriptor.data) report.bytes += blob.descriptor.size;
  return TakeReceipt(shipment, reply->body);
}

Status Shipper::PushBlobs(std::span<RegistryClient* const> lanes, const Artifact& artifact,
                          const TransferProgress& progress, ShipReport& report) {
  std::vector<const BlobSource*> blobs;
  for (const BlobSource& blob : artifact.blobs)
    if (!blob.descriptor.data) blobs.push_back(&blob);
  std::atomic<std::size_t> next{0};
  std::mutex first_mutex;
  Status first;
  const auto run = [&](RegistryClient& client) {
    for (std::size_t i = next++; i < blobs.size(); i = next++) {
      Status pushed = PushBlob(client, *blobs[i], progress, report);
      if (pushed) continue;
      // A damaged blob is out of the way now; any other error would meet the rest too. What the
      // other lanes have under way, they finish.
      if (pushed.error().code() != ErrorCode::kDataLoss) next = blobs.size();
      const std::lock_guard lock(first_mutex);
      if (first || first.error().code() == ErrorCode::kDataLoss) first = std::move(pushed);
    }
  };
  std::vector<std::thread> beside;
  for (std::size_t lane = 1; lane < std::min(lanes.size(), blobs.size()); ++lane)
    beside.emplace_back([&run, client = lanes[lane]] {
      ::pthread_setname_np(::pthread_self(), "exchange-lane");
      run(*client);
    });
  run(*lanes[0]);
  for (std::thread& thread : beside) thread.join();
  return first;
}

Status Shipper::PushBlob(RegistryClient& client, const BlobSource& blob,
                         const TransferProgress& progress, ShipReport& report) {
  const Digest& digest = blob.descriptor.digest;
  UploadState state;
  {
    const std::lock_guard lock(mutex_);
    state = uploads_[digest];
  }
  std::string saved_location = state.location;
  const bool cut_before = !state.location.empty();
  std::optional<std::uint64_t> before;  // none until the client says where the upload stands
  const Status pushed =
      client.PushBlob(ShipmentRepository(identity_->site()), blob, &state,
                      [&](std::uint64_t done_bytes, std::uint64_t all_bytes) -> Status {
                        {
                          const std::lock_guard lock(mutex_);
                          if (!before && cut_before && !state.location.empty())
                            report.resumed_bytes += done_bytes;
                          report.bytes += done_bytes - before.value_or(done_bytes);
                          before = done_bytes;
                          // The hub knows the offset best; what a restart needs is where the upload
                          // lives.
                          if (state.location != saved_location) {
                            saved_location = state.location;
                            uploads_[digest] = state;
                            SKERRY_RETURN_IF_ERROR(SaveStates());
                          }
                        }
                        return progress ? progress(done_bytes, all_bytes) : Status();
                      });
  {
    const std::lock_guard lock(mutex_);
    const bool under_way = !pushed && !state.location.empty();
    if (under_way)
      uploads_[digest] = state;
    else
      uploads_.erase(digest);
    if (under_way || !saved_location.empty()) SKERRY_RETURN_IF_ERROR(SaveStates());
  }
  if (!pushed && pushed.error().code() == ErrorCode::kDataLoss) {
    LogError("a segment is damaged and set aside digest={}", digest.ToString());
    SKERRY_RETURN_IF_ERROR(outbox_->QuarantineSegment(digest, pushed.error().message()));
  }
  return pushed;
}

Status Shipper::TakeReceipt(const Shipment& shipment, const std::string& body) {
  if (body.empty()) return {};  // it is stored; the receipt is asked for with the status
  const auto outcome = outbox_->ApplyReceipt(body, identity_->hub_keys());
  if (outcome) {
    identity_->RaiseTimeFloor(outcome->issued_at_us);
    return {};
  }
  return Fail(outcome.error().code() == ErrorCode::kPermissionDenied ? ErrorCode::kInvalidArgument
                                                                     : outcome.error().code(),
              "the receipt for shipment {} is not to be believed: {}", shipment.tag,
              outcome.error().message());
}

Status Shipper::Judge(RegistryClient& client, const Shipment& shipment, Error error,
                      ShipReport& report) {
  const ErrorCode code = error.code();
  // Shed, receipted by another road, or set aside a moment ago: the next pass sees it as it is.
  if (code == ErrorCode::kDataLoss || !SegmentsAreThere(shipment)) return {};
  const auto trouble = troubles_.find(shipment.tag);
  const bool kills_the_hub =
      trouble != troubles_.end() && trouble->second.unanswered >= limits::kShipmentCommitAttempts;
  const bool link = code == ErrorCode::kUnavailable || code == ErrorCode::kDeadlineExceeded ||
                    code == ErrorCode::kResourceExhausted;
  if (link && !kills_the_hub) return tl::make_unexpected(std::move(error));
  // 401 and 403 may be about this shipment or about us: the hub tells which.
  if (!link) SKERRY_RETURN_IF_ERROR(client.Ping());
  Trouble& entry = troubles_[shipment.tag];
  entry.reason = error.message();
  entry.retry_mono_us =
      clock_->MonotonicMicros() + std::chrono::microseconds(limits::kRefusedShipmentRetry).count();
  ++report.refused;
  LogWarning("shipment put aside tag={} reason={}", shipment.tag, entry.reason);
  if (link) return tl::make_unexpected(std::move(error));
  return {};
}

void Shipper::Forget(const std::vector<Shipment>& pending) {
  std::set<std::string> tags;
  std::set<Digest> digests;
  for (const Shipment& shipment : pending) {
    tags.insert(shipment.tag);
    digests.insert(Digest::Sha256(shipment.statement_envelope));
    for (const auto& [digest, path] : shipment.segments) digests.insert(digest);
  }
  const std::lock_guard lock(mutex_);
  std::erase_if(troubles_, [&](const auto& entry) { return !tags.contains(entry.first); });
  std::erase_if(uploads_, [&](const auto& entry) { return !digests.contains(entry.first); });
}

std::vector<std::string> Shipper::alarms() const {
  std::vector<std::string> alarms;
  for (const auto& [tag, trouble] : troubles_)
    if (trouble.retry_mono_us != 0) alarms.push_back("shipment " + tag + ": " + trouble.reason);
  return alarms;
}

void Shipper::LoadStates() {
  const auto text = ReadFile(states_file_, limits::kUploadStatesBytes);
  if (!text) return;
  const auto json = ParseJson(*text);
  // A lost list costs sending the bytes again, nothing else.
  if (!json || !json->is_object()) return;
  for (const auto& [key, value] : json->items()) {
    const auto digest = Digest::Parse(key);
    const JsonObject object(value, key);
    const auto location = object.String("location");
    const auto offset = object.Uint("offset");
    if (digest && location && offset)
      uploads_.insert_or_assign(*digest, UploadState{*location, *offset});
  }
}

Status Shipper::SaveStates() const {
  Json json = Json::object();
  for (const auto& [digest, state] : uploads_)
    if (!state.location.empty())
      json[digest.ToString()] = Json{{"location", state.location}, {"offset", state.offset}};
  return WriteFileDurably(states_file_, DumpJson(json), 0600);
}

}  // namespace skerry
