#include "trust/package_gate.h"

#include <system_error>

#include "base/limits.h"
#include "codec/json.h"
#include "model/schema.h"
#include "model/smoke.h"
#include "oci/cosign.h"
#include "oci/manifest.h"
#include "storage/file.h"

namespace skerry {
namespace {

// "signature check of milling:2: ...": what the alarm at the site and the hub says.
tl::unexpected<Error> Refuse(GateCheck check, const ModelRef& package, Error error) {
  return tl::make_unexpected(std::move(error).Wrap(
      fmt::format("{} check of {}", GateCheckName(check), package.ToString())));
}

// What the manifest says it weighs, so that too large a package is not even fetched.
Status CheckDeclaredSize(std::string_view manifest_bytes, std::uint64_t max_bytes) {
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(manifest_bytes));
  std::uint64_t left = max_bytes;
  for (const Descriptor& layer : manifest.layers) {
    if (layer.size > left)
      return Fail(ErrorCode::kTooLarge, "its files are over the limit of {} bytes", max_bytes);
    left -= layer.size;
  }
  return {};
}

Status CheckSchema(const ModelRef& package, const std::filesystem::path& directory) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text,
                          ReadFile(directory / "schema.json", limits::kJsonBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(text), "schema.json");
  SKERRY_ASSIGN_OR_RETURN(const ModelSchema schema, ModelSchema::FromJson(json), "schema.json");
  // What leaves of a row, drift and retraining speak of two classes.
  if (schema.task != ModelTask::kBinary)
    return Fail(
        ErrorCode::kUnimplemented,
        "{} answers a {} task, and sites carry binary models; score with it by skerry serve "
        "or skerry score",
        package.name, ModelTaskName(schema.task));
  if (schema.model == package.name) return {};
  return Fail(ErrorCode::kInvalidArgument, "schema.json is of model {}, not of {}", schema.model,
              package.name);
}

Status CheckSize(const std::filesystem::path& directory, std::uint64_t max_bytes) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (auto entry = std::filesystem::recursive_directory_iterator(directory, error);
       !error && entry != std::filesystem::recursive_directory_iterator(); entry.increment(error))
    if (entry->is_regular_file(error)) bytes += entry->file_size(error);
  if (error)
    return Fail(ErrorCode::kDataLoss, "{} cannot be read: {}", directory.string(), error.message());
  if (bytes <= max_bytes) return {};
  return Fail(ErrorCode::kTooLarge, "it has {} bytes, the limit is {}", bytes, max_bytes);
}

}  // namespace

Status CheckSignedManifest(const Digest& expected, std::string_view manifest_bytes,
                           std::span<const std::string> bundles, const DesiredState& state) {
  DigestHasher hasher(expected.algorithm());
  hasher.Update(manifest_bytes);
  const Digest digest = hasher.Finish();
  if (digest != expected)
    return Fail(ErrorCode::kDataLoss, "the manifest is {}, the desired state names {}",
                digest.ToString(), expected.ToString());
  if (bundles.empty()) return Fail(ErrorCode::kPermissionDenied, "it has no signature");
  if (bundles.size() > limits::kSignaturesPerPackage)
    return Fail(ErrorCode::kTooLarge, "it has {} signatures, the limit is {}", bundles.size(),
                limits::kSignaturesPerPackage);
  SKERRY_ASSIGN_OR_RETURN(const std::vector<PublicKey> keys, state.ModelKeys());
  Error last(ErrorCode::kPermissionDenied, "it has no signature");
  for (const std::string& bundle : bundles) {
    Status verified = VerifyCosignBundle(bundle, expected, keys);
    if (verified) return {};
    last = std::move(verified).error();
  }
  return tl::make_unexpected(std::move(last));
}

std::string_view GateCheckName(GateCheck check) {
  switch (check) {
    case GateCheck::kSignature: return "signature";
    case GateCheck::kVersionOrder: return "version order";
    case GateCheck::kSchema: return "schema";
    case GateCheck::kSize: return "size";
    case GateCheck::kSmokeRun: return "smoke run";
  }
  return "unknown";
}

Status PackageGate::CheckManifest(const ModelRef& package, std::string_view manifest_bytes,
                                  std::span<const std::string> bundles,
                                  const DesiredState& state) const {
  if (Status status = CheckSignedManifest(package.digest, manifest_bytes, bundles, state); !status)
    return Refuse(GateCheck::kSignature, package, std::move(status).error());
  if (Status status = identity_->CheckFloor(package, state); !status)
    return Refuse(GateCheck::kVersionOrder, package, std::move(status).error());
  if (Status status = CheckDeclaredSize(manifest_bytes, options_.max_package_bytes); !status)
    return Refuse(GateCheck::kSize, package, std::move(status).error());
  return {};
}

Status PackageGate::CheckPackage(const ModelRef& package,
                                 const std::filesystem::path& directory) const {
  if (Status status = CheckSchema(package, directory); !status)
    return Refuse(GateCheck::kSchema, package, std::move(status).error());
  if (Status status = CheckSize(directory, options_.max_package_bytes); !status)
    return Refuse(GateCheck::kSize, package, std::move(status).error());
  if (Status status = SmokeRunInChild(options_.smoke_program, directory, options_.smoke_limits);
      !status)
    return Refuse(GateCheck::kSmokeRun, package, std::move(status).error());
  return {};
}

Status PackageGate::Admit(const ModelRef& package) { return identity_->RaiseFloor(package); }

}  // namespace skerry
