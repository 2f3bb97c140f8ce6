#include "hub/desired_desk.h"

#include <chrono>

#include "hub/audit_log.h"
#include "hub/site_directory.h"

namespace skerry {
namespace {

// A site that hears nothing for this long raises an alarm, and runs on.
constexpr std::chrono::microseconds kLifetime = std::chrono::hours(24 * 90);

struct StoredState {
  std::string json;
  std::string envelope;
};

Result<std::optional<StoredState>> Load(Database& db, std::string_view site) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement select,
                          db.Prepare("SELECT json, envelope FROM desired WHERE site = ?"));
  SKERRY_ASSIGN_OR_RETURN(const bool found, select.Bind(1, site).Step());
  if (!found) return std::optional<StoredState>();
  return std::optional<StoredState>(
      StoredState{std::string(select.Text(0)), std::string(select.Text(1))});
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
    SKERRY_ASSIGN_OR_RETURN(const auto stored, Load(db, request.site));
    if (stored) {
      SKERRY_ASSIGN_OR_RETURN(const DesiredState before, DesiredState::FromJson(stored->json));
      state.version = before.version;
    }
    ++state.version;
    state.issued_at_us = clock_->UtcMicros();
    state.expires_us = state.issued_at_us + kLifetime.count();
    SKERRY_ASSIGN_OR_RETURN(const std::string envelope, SignDesiredState(state, *hub_key_));
    SKERRY_ASSIGN_OR_RETURN(
        SqlStatement put,
        db.Prepare("INSERT OR REPLACE INTO desired(site, version, json, envelope) "
                   "VALUES(?, ?, ?, ?)"));
    put.Bind(1, request.site).Bind(2, state.version).Bind(3, state.ToJson()).Bind(4, envelope);
    SKERRY_RETURN_IF_ERROR(put.Run());
    return AuditLog(db).Append(state.issued_at_us, "admin", "desired.set", request.site,
                               {{"version", state.version},
                                {"model", request.model},
                                {"fallback", request.fallback},
                                {"policy", request.policy}});
  });
  SKERRY_RETURN_IF_ERROR(std::move(written));
  return state;
}

Result<std::string> DesiredDesk::Envelope(std::string_view site) {
  SKERRY_ASSIGN_OR_RETURN(auto stored, store_->Read([&](Database& db) { return Load(db, site); }));
  if (!stored)
    return Fail(ErrorCode::kNotFound,
                "no desired state is set for the site {}; PUT /v1/sites/{}/desired sets it", site,
                site);
  return std::move(stored->envelope);
}

Result<std::optional<DesiredState>> DesiredDesk::Current(std::string_view site) {
  SKERRY_ASSIGN_OR_RETURN(const auto stored,
                          store_->Read([&](Database& db) { return Load(db, site); }));
  if (!stored) return std::optional<DesiredState>();
  SKERRY_ASSIGN_OR_RETURN(DesiredState state, DesiredState::FromJson(stored->json));
  return std::optional<DesiredState>(std::move(state));
}

}  // namespace skerry
