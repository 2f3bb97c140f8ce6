// The cases of a policy file: a row, and what its author says becomes of it. Run by `skerry policy
// test` with the model's own scores. Format: docs/formats/policy.md "Cases".
#pragma once

#include <string>
#include <vector>

#include "model/row_batch.h"
#include "policy/compiled_policy.h"

namespace skerry {

class YamlNode;
// Of the document's root; kInvalidArgument as PolicyDocument::Parse.
Result<std::vector<PolicyCase>> ReadCases(const YamlNode& root);

// As cases see a policy: a class with a rate above 0 takes every row, since which rows a rate takes
// is decided by their ids.
CombinedPolicy WithWholeRates(CombinedPolicy policy);
// What came differently, a sentence each; none when the case holds. Requires one scored row, with
// the scores that the case gives.
std::vector<std::string> CheckCase(const CompiledPolicy& policy, const PolicyCase& expected,
                                   const RowBatch& batch);

}  // namespace skerry
