// What the operator's rules say of what comes over HTTP: immutable tags, quotas.
#include <algorithm>

#include "oci/reference.h"
#include "oci/registry_state.h"

namespace skerry {
namespace {

Error OverQuota(const RepositoryRules::Quota& quota, std::uint64_t used) {
  return {ErrorCode::kPermissionDenied,
          fmt::format("the quota of {} is {} bytes, {} are used: delete something or ask the "
                      "operator for more",
                      quota.prefix, quota.bytes, used)};
}

}  // namespace

RepositoryRules Registry::State::RulesOf(std::string_view repository) const {
  return hooks.rules ? hooks.rules(repository) : RepositoryRules();
}

Status Registry::State::WithinQuotas(const std::string& repository, std::uint64_t bytes,
                                     const std::function<Status()>& change) {
  const RepositoryRules rules = RulesOf(repository);
  std::unique_lock one_at_a_time(admitting, std::defer_lock);
  if (!rules.quotas.empty()) one_at_a_time.lock();
  for (const RepositoryRules::Quota& quota : rules.quotas) {
    if (bytes == 0) break;
    SKERRY_ASSIGN_OR_RETURN(const std::uint64_t used, usage.BytesBelow(quota.prefix));
    if (used > quota.bytes || bytes > quota.bytes - used)
      return tl::make_unexpected(OverQuota(quota, used));
  }
  Status done = change();
  usage.Forget(repository);
  return done;
}

Result<Registry::State::Allowance> Registry::State::AllowanceOf(const std::string& repository,
                                                                const Digest* digest) {
  Allowance allowance{
      options.max_blob_bytes,
      Error(ErrorCode::kTooLarge, fmt::format("the blob is over the limit of {} bytes (kBlobBytes)",
                                              options.max_blob_bytes))};
  const RepositoryRules rules = RulesOf(repository);
  if (rules.quotas.empty()) return allowance;
  if (digest != nullptr && repositories->HasBlob(repository, *digest)) return allowance;
  for (const RepositoryRules::Quota& quota : rules.quotas) {
    SKERRY_ASSIGN_OR_RETURN(const std::uint64_t used, usage.BytesBelow(quota.prefix));
    const std::uint64_t left = quota.bytes - std::min(quota.bytes, used);
    if (left < allowance.bytes) allowance = {left, OverQuota(quota, used)};
  }
  return allowance;
}

Status Registry::State::LinkWithinQuotas(const std::string& repository, const Digest& digest) {
  // A storage that does not answer takes it for fresh: that asks for more room, not for less.
  const bool counts = !RulesOf(repository).quotas.empty();
  const bool fresh = counts && !repositories->HasBlob(repository, digest);
  return WithinQuotas(repository, fresh ? blobs.Size(digest).value_or(0) : 0,
                      [&] { return repositories->LinkBlob(repository, digest); });
}

Status Registry::State::CheckTagsFree(const std::string& repository,
                                      std::span<const std::string> tags,
                                      const Digest& digest) const {
  if (!RulesOf(repository).immutable_tags) return {};
  for (const std::string& tag : tags) {
    const auto held = repositories->FindTag(repository, tag);
    if (held && *held != digest)
      return Fail(ErrorCode::kConflict,
                  "tags of {} are immutable, and {} is the manifest {}: take another tag",
                  repository, tag, held->ToString());
  }
  return {};
}

Status Registry::State::CheckDeletable(const std::string& repository,
                                       std::string_view reference) const {
  if (!RulesOf(repository).immutable_tags) return {};
  const auto refuse = [&](std::string_view tag) {
    return Fail(ErrorCode::kConflict, "tags of {} are immutable: {} is not deleted", repository,
                tag);
  };
  if (CheckTag(reference) && repositories->FindTag(repository, reference)) return refuse(reference);
  const auto tags = repositories->Tags(repository);
  if (!tags) return {};
  for (const std::string& tag : *tags) {
    const auto held = repositories->FindTag(repository, tag);
    if (held && held->ToString() == reference) return refuse(tag);
  }
  return {};
}

}  // namespace skerry
