// The keys that clients of the scoring API show, kept as SHA-256 digests in a file.
//
// Role: read once at the start, then asked on the way of every request that needs a key. A key has
// 256 random bits, so its digest needs neither salt nor a slow hash. Format:
// docs/formats/api-keys.md.
//   SKERRY_ASSIGN_OR_RETURN(const ApiKeys keys, ApiKeys::Load("keys"));
//   SKERRY_RETURN_IF_ERROR(keys.Check(request.Header("authorization")));
// Immutable; thread-safe. Source: RFC 6750 (Bearer).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "crypto/digest.h"

namespace skerry {

class ApiKeys {
 public:
  // kNotFound, kPermissionDenied (open to other users), kTooLarge, kInvalidArgument with the line,
  // kFailedPrecondition for a file without a key: a server with it would refuse everybody.
  static Result<ApiKeys> Load(const std::filesystem::path& file);

  // The value of `Authorization`: "Bearer KEY". kUnauthenticated says what to send. One SHA-256 and
  // a comparison with every key, so that it takes as long whichever key it is.
  Status Check(std::string_view authorization) const;

 private:
  std::vector<Sha256Bytes> digests_;
};

// Makes a key, appends its name and digest to the file (made when absent, mode 0600, durable on
// return), and returns the key, which is kept nowhere else. kAlreadyExists for a name that the file
// has; kInvalidArgument for one that breaks CheckName; else the errors of Load.
Result<std::string> AddApiKey(const std::filesystem::path& file, const std::string& name);

}  // namespace skerry
