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
    SKERRY_ASSIGN_OR_RETURN(const std::uint64_t floor, TrustDesk::VersionFloor(db));
    state.version = std::max(before ? before->version : 0, floor) + 1;
    state.issued_at_us = clock_->UtcMicros();
    SKERRY_ASSIGN_OR_RETURN(
        SqlStatement put,
        db.Prepare("INSERT OR REPLACE INTO desired(site, version, json) VALUES(?, ?, ?)"));
    put.Bind(1, request.site).Bind(2, state.version).Bind(3, state.ToJson());
    SKERRY_RETURN_IF_ERROR(put.Run());
    SKERRY_RETURN_IF_ERROR(trust_->Publish(db, DesiredStatePath(request.site), state.ToJson()));
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
