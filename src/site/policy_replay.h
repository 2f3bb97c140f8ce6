// What another policy would have let leave of the rows in the journal, beside what the one in force
// does and what became of the rows. For people at the site; nothing of it leaves.
#pragma once

#include <memory>
#include <string>

#include "codec/json.h"
#include "outbox/outbox.h"
#include "policy/compiled_policy.h"
#include "site/journal.h"

namespace skerry {

struct ReplayParts {
  const Journal* journal = nullptr;
  Outbox* outbox = nullptr;
  std::shared_ptr<const ModelPackage> package;
  std::shared_ptr<const CompiledPolicy> asked;
  std::shared_ptr<const CompiledPolicy> in_force;
};

// Rows scored at or after `since_us` by the package. {"rows","skipped" (of other packages),
// "classes","dispositions","withheld","columns"}, in the last four each with "asked", "in_force"
// and, of dispositions, "was" (by the outbox' ledger).
Result<Json> ReplayPolicy(const ReplayParts& parts, std::int64_t since_us);

}  // namespace skerry
