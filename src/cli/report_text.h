// What hubs and sites answer in JSON, said to a person: within limits of the line that terminals
// have, the plain case first. `--json` of the same commands prints the answer as it came.
#pragma once

#include <string>

#include "codec/json.h"
#include "train/evaluate.h"
#include "train/gate.h"

namespace skerry {

// Of POST /v1/bundles/{export,import}.
std::string BundleText(const Json& report);
// Of DescribeBundle (sync/bundle.h).
std::string BundleContentsText(const Json& description);
// Of GET /v1/bundles.
std::string CustodyText(const Json& list);
// Of a site's GET /v1/outbox.
std::string OutboxText(const Json& facts);
// Of a site's POST /v1/sync.
std::string SyncText(const Json& facts);
// Of a site's POST /v1/policy/explain: each field before and after, with rule and action.
std::string ExplanationText(const Json& explanation);
// Of a site's GET /v1/policy.
std::string PolicyText(const Json& facts);
// Of a site's POST /v1/policy/replay.
std::string ReplayText(const Json& facts);
// The reconciliations of some sites (GET /v1/sites/{site}/reconciliation). Terms that are 0
// everywhere are named below the table.
std::string ReconciliationText(const std::vector<Json>& sites);
// Of GET /v1/sites/{site}/lineage.
std::string LineageText(const Json& answer);
std::string EvaluationText(const EvaluateReport& report);
std::string ComparisonText(const CompareReport& report);

}  // namespace skerry
