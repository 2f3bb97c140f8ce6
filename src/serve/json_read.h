// What the two request decoders share on top of simdjson. Inside serve only.
#pragma once

#include <simdjson.h>

#include <map>
#include <string>
#include <string_view>

#include "base/error.h"
#include "serve/infer_request.h"

namespace skerry::json_read {

namespace ondemand = simdjson::ondemand;

// Starts the thread's parser on the first `bytes` of `body`; the document lives until the next call
// on this thread. kInvalidArgument when it is no JSON text.
Result<ondemand::document> Start(std::string& body, std::size_t bytes);
Result<ondemand::document> Start(std::string& body);  // on all of it

// "the body is no valid JSON: ... (near byte 17)"
Error Malformed(simdjson::error_code code, ondemand::document& document, std::string_view body);

// Whether the document was read to its end, with nothing behind it.
bool AtEnd(ondemand::document& document);

// "an object", "a string", ...
std::string_view KindName(ondemand::value& value);

// A scalar as text: strings unescaped, numbers and booleans as written, null as "". False for
// arrays, objects and malformed values.
bool ReadText(ondemand::value& value, std::string& text);

// The members of a `parameters` object. Objects as values are refused by name.
Status ReadParameters(ondemand::value& value, RequestParameters& parameters);

}  // namespace skerry::json_read
