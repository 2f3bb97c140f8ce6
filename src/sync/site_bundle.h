// The site's side of a bundle: what a courier takes to the hub, and what one brings back.
//
// Everything ends in the functions that the link uses as well, so what comes by both roads is taken
// once and a bundle may be brought any number of times. Thread-safe, since the parts are.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/error.h"
#include "crypto/age.h"
#include "outbox/outbox.h"
#include "sync/bundle.h"
#include "sync/custody.h"
#include "sync/deployer.h"
#include "sync/supply.h"
#include "trust/identity.h"

namespace skerry {

struct SiteBundleParts {  // borrowed
  SiteIdentity* identity = nullptr;
  Outbox* outbox = nullptr;
  Deployer* deployer = nullptr;
  std::function<Result<std::string>()> make_status;  // a new signed status envelope
  BundleProgress* progress = nullptr;
  std::filesystem::path scratch;  // exists; for blobs that stand in archives
  CustodyList* custody = nullptr;
  const Clock* clock = nullptr;
  AgeIdentity bundle_key{};          // opens bundles that are encrypted to this site
  SiteRegistry* registry = nullptr;  // null: this site keeps no images
};

// Writes to `path` (sync/bundle.h BundleWriter::Create): the join request until this site has
// joined, the status, every pending shipment, the newest receipt, and who had which bundle. A
// shipment that cannot be read is listed with its reason and the others go on.
Result<BundleReport> ExportSiteBundle(const SiteBundleParts& parts,
                                      const std::filesystem::path& path,
                                      const std::optional<AgeRecipient>& receiver = std::nullopt);

// Applies, in this order: join grant, receipts, desired state, then the policy and the packages
// that it names, the release of skerry, and then what the hub supplies for the site's registry.
// Each part is applied or refused by itself. kPermissionDenied for another site's bundle,
// kInvalidArgument for one to the hub; nothing is applied then.
Result<BundleReport> ImportSiteBundle(const SiteBundleParts& parts,
                                      const std::filesystem::path& path);

}  // namespace skerry
