// JSON in and out, bounded. The only place that includes nlohmann/json; `Json` is the vocabulary
// type for documents. (The hot path decodes with simdjson in serve/, not with this.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/limits.h"

namespace skerry {

// Object keys are kept sorted, so Dump() of equal documents is equal.
using Json = nlohmann::json;

// Parses one RFC 8259 document. Errors (kInvalidArgument) give the byte position; kTooLarge over
// `max_bytes`. Deeper nesting than limits::kJsonDepth and duplicate keys are refused.
Result<Json> ParseJson(std::string_view text, std::size_t max_bytes = limits::kJsonBytes);

// Compact, keys sorted, invalid UTF-8 replaced. Numbers that are not finite become null.
std::string DumpJson(const Json& value);
std::string DumpJsonPretty(const Json& value);

// Canonical JSON as TUF uses it (OLPC): keys sorted, no white space, only `\` and `"` escaped,
// integers only. What a signature covers. kInvalidArgument on a fraction.
Result<std::string> DumpCanonicalJson(const Json& value);

// Reads members of an object with errors that name the path ("statement.streams[2].first: ...").
// Holds a pointer to the document, which must outlive it. Unknown members are ignored unless
// ForbidOthers is called. Usage:
//   JsonObject object(document, "statement");
//   SKERRY_ASSIGN_OR_RETURN(std::string site, object.String("site"));
class JsonObject {
 public:
  // A `value` that is no object makes every getter fail with kInvalidArgument.
  JsonObject(const Json& value, std::string path) : value_(&value), path_(std::move(path)) {}

  bool Has(const char* key) const;
  Result<std::string> String(const char* key) const;
  Result<std::int64_t> Int(const char* key) const;
  Result<std::uint64_t> Uint(const char* key) const;
  Result<double> Number(const char* key) const;
  Result<bool> Bool(const char* key) const;
  Result<JsonObject> Object(const char* key) const;
  // The member as it is; kInvalidArgument when absent.
  Result<const Json*> Member(const char* key) const;
  // An array's elements, each to be wrapped in a JsonObject by the caller with ElementPath.
  Result<const Json*> Array(const char* key) const;
  Result<std::vector<std::string>> Strings(const char* key) const;
  std::string ElementPath(const char* key, std::size_t index) const;

  // Absent gives the fallback; present with the wrong type is an error all the same.
  Result<std::string> StringOr(const char* key, std::string fallback) const;
  Result<std::uint64_t> UintOr(const char* key, std::uint64_t fallback) const;
  Result<std::int64_t> IntOr(const char* key, std::int64_t fallback) const;
  Result<double> NumberOr(const char* key, double fallback) const;
  Result<bool> BoolOr(const char* key, bool fallback) const;

  // kInvalidArgument naming the first member that is not in `known` and what is.
  Status ForbidOthers(std::initializer_list<std::string_view> known) const;

  const Json& json() const { return *value_; }
  const std::string& path() const { return path_; }

 private:
  const Json* value_;
  std::string path_;
};

}  // namespace skerry
