// The site's control API: what a person at the site, or `skerry` with --data, asks a running site.
//
//   GET  /v1/site            identity, release, model, desired state, policy, exchange, counters,
//                            alarms
//   POST /v1/site/check      scores rows with the model in use, of which nobody is told ->
//   {"model"} GET  /v1/outbox          backlog by stream, sizes, counters, withheld by rule POST
//   /v1/rows/lookup     {"rows":["<row id>",...]} -> {"found","missing":[...],"fates":[...]} GET
//   /v1/bundles         which bundle was exported and imported by whom, when (sync/custody.h);
//                            "receiver": to whom bundles for this site may be encrypted
//   POST /v1/bundles/export  {"path","receiver"?} -> what was written (sync/bundle.h BundleReport)
//   POST /v1/bundles/import  {"path"} -> what came of each part
//   GET  /v1/bundles/progress  how far the one under way is
//   POST /v1/outbox/seal     every committed row into segments, and a round of the exchange
//   GET  /v1/policy          what is in force, the local policy, what waits for approval and why
//   POST /v1/policy/approve  {"policy":"<name>:<version>"} the one that waits comes into force
//   POST /v1/policy/refuse   {"policy":"<name>:<version>"} the one that waits does not
//   POST /v1/policy/reload   the local policy's file is read again and holds from now on
//   POST /v1/policy/replay   {"policy":"<YAML>","days"} what it would have let leave of the journal
//   POST /v1/policy/rotate-key  a new key for pseudonyms
//   POST /v1/policy/pseudonyms  {"field","value"} -> what it leaves as under each key there was
//   POST /v1/policy/explain  {"row":{"<field>":value,...}} -> each field before and after, the rule
//
// On loopback only, and only to `Authorization: Bearer <control.token>`; anything else gets 403 or
// 401. The handlers run on the server's pool. Everything is borrowed and outlives the server.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "codec/json.h"
#include "crypto/age.h"
#include "http/server.h"
#include "outbox/outbox.h"
#include "site/active_model.h"
#include "site/journal.h"
#include "site/policy_desk.h"
#include "sync/exchange.h"
#include "sync/site_bundle.h"

namespace skerry {

struct ControlParts {
  std::string token;
  InstanceId instance;
  const Clock* clock = nullptr;
  SiteIdentity* identity = nullptr;
  Outbox* outbox = nullptr;
  ActiveModel* active = nullptr;
  PolicyDesk* desk = nullptr;
  const Journal* journal = nullptr;  // null when it is off
  Deployer* deployer = nullptr;
  ReleaseInstaller* releases = nullptr;
  // Set once before the server starts; null without a hub URL.
  Exchange* exchange = nullptr;
  BundleProgress* bundle_progress = nullptr;
  CustodyList* custody = nullptr;
  AgeIdentity bundle_key{};
  SiteRegistry* registry = nullptr;  // null when it keeps no images
  std::filesystem::path data;
  std::string capture;
  std::function<Result<std::string>()> make_status;
  std::function<std::vector<std::string>()> alarms;
};

std::vector<Route> ControlRoutes(const ControlParts& parts);

}  // namespace skerry
