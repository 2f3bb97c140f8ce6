// The gate that every model package passes before it may score: invariant 5, in its order.
//
//   1 signature      a cosign bundle over the manifest's digest by one of the desired state's keys
//   2 version order  not older than what this site admitted before, or exactly the named fallback
//   3 schema         schema.json parses and is of the package's name
//   4 size           as unpacked, under the limit
//   5 smoke run      loads and scores one row in a child process with limits (model/smoke.h)
//
// 1 and 2 need the manifest and its signatures alone, so an unsigned or stale package, and one
// whose manifest already declares too much, is refused before its bytes are paid for:
// CheckManifest, then fetch and unpack, then CheckPackage, then Admit, which raises the version
// floor. The floor is never raised by a package that failed. Role: pure judgement; keeps no state
// but what SiteIdentity holds. Borrowed: the identity. Thread-safe. A refusal says which check
// failed and why, in words for the status' alarms.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/limits.h"
#include "model/smoke.h"
#include "trust/desired_state.h"
#include "trust/identity.h"

namespace skerry {

enum class GateCheck : std::uint8_t { kSignature, kVersionOrder, kSchema, kSize, kSmokeRun };
std::string_view GateCheckName(GateCheck check);  // "signature", "version order", ...

struct PackageGateOptions {
  // The program that is started as `<program> __smoke DIR`; skerry itself.
  std::filesystem::path smoke_program;
  std::uint64_t max_package_bytes = limits::kModelBytes;
  SmokeLimits smoke_limits = {};
};

// That `manifest_bytes` are `digest`'s, and one of `bundles` is a signature of it by one of the
// desired state's keys: check 1, for whatever a desired state names.
Status CheckSignedManifest(const Digest& digest, std::string_view manifest_bytes,
                           std::span<const std::string> bundles, const DesiredState& state);

class PackageGate {
 public:
  PackageGate(SiteIdentity& identity, PackageGateOptions options)
      : identity_(&identity), options_(std::move(options)) {}

  // Checks 1 and 2, that `manifest_bytes` are the digest's, and the size that they declare.
  // `bundles` are cosign bundles v0.3 (JSON), any one of which is enough.
  Status CheckManifest(const ModelRef& package, std::string_view manifest_bytes,
                       std::span<const std::string> bundles, const DesiredState& state) const;
  // Checks 3, 4 and 5 on an unpacked package directory. Blocks for the smoke run (seconds).
  Status CheckPackage(const ModelRef& package, const std::filesystem::path& directory) const;
  // All checks have passed: persists the floor. Durable on return.
  Status Admit(const ModelRef& package);

 private:
  SiteIdentity* identity_;
  PackageGateOptions options_;
};

}  // namespace skerry
