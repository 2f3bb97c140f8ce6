// What the operator says of repositories by prefix: whether tags are immutable, and how many bytes
// they may hold. A rule is for its prefix and all that is below it; every rule that covers a
// repository holds.
//
// Tags of sites' outboxes are immutable whatever is said: a shipment is what it was.
// Owned by Hub; borrows the store; thread-safe: what is asked with each request is answered from
// memory. A change is durable, and in force, on return, and stands in the audit log.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "hub/store.h"
#include "oci/registry.h"

namespace skerry {

struct RegistryRule {
  std::string prefix;
  bool immutable_tags = false;
  std::uint64_t quota_bytes = 0;  // 0: none
};

class RegistryRulebook {
 public:
  static Result<std::unique_ptr<RegistryRulebook>> Open(HubStore& store, const Clock& clock);

  // Takes the place of the prefix's rule. kInvalidArgument for a prefix against the grammar of
  // repositories, or a rule that says nothing.
  Status Set(RegistryRule rule);
  Status Remove(std::string_view prefix);  // kNotFound
  std::vector<RegistryRule> List() const;  // by prefix

  RepositoryRules Of(std::string_view repository) const;

 private:
  RegistryRulebook(HubStore& store, const Clock& clock) : store_(&store), clock_(&clock) {}

  HubStore* const store_;
  const Clock* const clock_;
  std::mutex changing_;       // one change at a time
  mutable std::mutex mutex_;  // guards rules_
  std::map<std::string, RegistryRule, std::less<>> rules_;
};

}  // namespace skerry
