// The keys that clients of the scoring API show, kept as SHA-256 digests in a file.
//
// Role: read at the start and when the file has changed (serve/access_watch.h), asked on the way of
// every request that needs a key. A key has 256 random bits, so its digest needs neither salt nor a
// slow hash. Format: docs/formats/api-keys.md.
//   SKERRY_ASSIGN_OR_RETURN(const ApiKeys keys, ApiKeys::Load("keys"));
//   SKERRY_RETURN_IF_ERROR(keys.Check(request.Header("authorization")));
// Thread-safe; copies share the keys. Source: RFC 6750 (Bearer).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "crypto/digest.h"

namespace skerry {

class ApiKeys {
 public:
  // What a file without a key is: a mistake at a server's start, and later the way to take the last
  // key back.
  enum class WithoutKeys : std::uint8_t { kRefused, kNobodyMay };
  // kNotFound, kPermissionDenied (open to other users), kTooLarge, kInvalidArgument with the line,
  // kFailedPrecondition for a file without a key.
  static Result<ApiKeys> Load(const std::filesystem::path& file,
                              WithoutKeys without = WithoutKeys::kRefused);

  // The value of `Authorization`: "Bearer KEY". kUnauthenticated says what to send. One SHA-256 and
  // a comparison with every key, so that it takes as long whichever key it is.
  Status Check(std::string_view authorization) const;

  // From now on the keys of `other` count, here and in every copy.
  void Replace(const ApiKeys& other);

 private:
  using Digests = std::vector<Sha256Bytes>;
  struct Held {
    std::mutex mutex;  // held to copy or swap the pointer
    std::shared_ptr<const Digests> digests;
  };
  std::shared_ptr<const Digests> Read() const;

  std::shared_ptr<Held> held_ = std::make_shared<Held>();
};

// Makes a key, appends its name and digest to the file (made when absent, mode 0600, durable on
// return), and returns the key, which is kept nowhere else. kAlreadyExists for a name that the file
// has; kInvalidArgument for one that breaks CheckName; else the errors of Load.
Result<std::string> AddApiKey(const std::filesystem::path& file, const std::string& name);

}  // namespace skerry
