// The policy language as a JSON Schema (draft 2020-12), for editors and other people's checks.
// What the parser accepts the schema accepts; the schema does not know the grammar of conditions,
// nor limits::kPolicyRules, nor a model's fields.
#pragma once

#include <string_view>

namespace skerry {

std::string_view PolicyJsonSchema();

}  // namespace skerry
