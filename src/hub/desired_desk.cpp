#include "hub/desired_desk.h"

#include <algorithm>

#include "hub/audit_log.h"
#include "hub/site_directory.h"

namespace skerry {
namespace {

Result<std::optional<DesiredState>> Load(Database& db, std::string_view site) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select,
                          db.Prepare("SELECT json FROM desired WHERE site = ?"));
  SKERRY_ASSIGN_OR_RETURN(const bool found, select.Bind(1, site).Step());
  if (!found) return std::optional<DesiredState>();
  SKERRY_ASSIGN_OR_RETURN(DesiredState state, DesiredState::FromJson(select.Text(0)));
  return std::optional(std::move(state));
}

}  // namespace

Result<std::uint64_t> DesiredDesk::NextVersion(Database& db, std::uint64_t before) {
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t floor, TrustDesk::VersionFloor(db));
  return std::max(before, floor) + 1;
}

Status DesiredDesk::Put(Database& db, DesiredState& state) {
  state.issued_at_us = clock_->UtcMicros();
  SKERRY_ASSIGN_OR_RETURN(
      SqlStatement put,
      db.Prepare("INSERT OR REPLACE INTO desired(site, version, json) VALUES(?, ?, ?)"));
  put.Bind(1, state.site).Bind(2, state.version).Bind(3, state.ToJson());
  SKERRY_RETURN_IF_ERROR(put.Run());
  return trust_->Publish(db, DesiredStatePath(state.site), state.ToJson());
}

Result<DesiredState> DesiredDesk::SetRelease(const ReleaseRequest& request) {
  std::optional<ReleaseRef> release;
  if (!request.release.empty()) {
    SKERRY_ASSIGN_OR_RETURN(release, shelf_->FindRelease(request.release));
    release->may_be_older = request.may_be_older;
  }
  DesiredState state;
  Status written = store_->Write([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const SiteRecord known,
                            SiteDirectory(db).Find(request.site));
    SKERRY_ASSIGN_OR_RETURN(auto before, Load(db, request.site));
    if (!before)
      return Fail(ErrorCode::kFailedPrecondition,
                  "the site {} has no desired state yet: name its model and policy first "
                  "(skerry deploy)",
                  request.site);
    state = *std::move(before);
    SKERRY_ASSIGN_OR_RETURN(state.version, NextVersion(db, state.version));
    state.release = release;
    if (state.release) state.release->since = state.version;
    state.model_key_pems = {model_key_->public_key().ToPem()};
    SKERRY_RETURN_IF_ERROR(Put(db, state));
    return AuditLog(db).Append(state.issued_at_us, "admin", "release.set", request.site,
                               {{"version", state.version},
                                {"release", request.release},
                                {"may_be_older", request.may_be_older}});
  });
  SKERRY_RETURN_IF_ERROR(std::move(written));
  return state;
}

Result<DesiredState> DesiredDesk::Set(const DesiredRequest& request) {
  DesiredState state;
  state.site = request.site;
  SKERRY_ASSIGN_OR_RETURN(state.active, shelf_->FindModel(request.model));
  if (!request.fallback.empty()) {
    SKERRY_ASSIGN_OR_RETURN(state.fallback, shelf_->FindModel(request.fallback));
  }
  if (!request.policy.empty()) {
    SKERRY_ASSIGN_OR_RETURN(state.policy, shelf_->FindPolicy(request.policy));
  }
  state.model_key_pems = {model_key_->public_key().ToPem()};
  Status written = store_->Write([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const SiteRecord known,
                            SiteDirectory(db).Find(request.site));
    SKERRY_ASSIGN_OR_RETURN(const auto before, Load(db, request.site));
    if (before) state.release = before->release;
    SKERRY_ASSIGN_OR_RETURN(state.version, NextVersion(db, before ? before->version : 0));
    SKERRY_RETURN_IF_ERROR(Put(db, state));
    return AuditLog(db).Append(state.issued_at_us, "admin", "desired.set", request.site,
                               {{"version", state.version},
                                {"model", request.model},
                                {"fallback", request.fallback},
                                {"policy", request.policy}});
  });
  SKERRY_RETURN_IF_ERROR(std::move(written));
  return state;
}

Result<std::optional<DesiredState>> DesiredDesk::Current(std::string_view site) {
  return store_->Read([&](Database& db) { return Load(db, site); });
}

}  // namespace skerry
