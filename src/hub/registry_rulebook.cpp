#include "hub/registry_rulebook.h"

#include "hub/audit_log.h"
#include "oci/reference.h"
#include "oci/registry_limits.h"
#include "oci/repository_usage.h"

namespace skerry {
namespace {

bool IsOutbox(std::string_view repository) {
  return IsAtOrBelow(repository, "sites") && repository.ends_with("/outbox");
}

}  // namespace

Result<std::unique_ptr<RegistryRulebook>> RegistryRulebook::Open(HubStore& store,
                                                                 const Clock& clock) {
  std::unique_ptr<RegistryRulebook> rulebook(new RegistryRulebook(store, clock));
  const Status read = store.Read([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(
        SqlStatement select,
        db.Prepare("SELECT prefix, immutable_tags, quota_bytes FROM registry_rules"));
    while (true) {
      SKERRY_ASSIGN_OR_RETURN(const bool row, select.Step());
      if (!row) return {};
      RegistryRule rule{std::string(select.Text(0)), select.Int(1) != 0,
                        static_cast<std::uint64_t>(select.Int(2))};
      rulebook->rules_.emplace(rule.prefix, rule);
    }
  });
  SKERRY_RETURN_IF_ERROR(read);
  return rulebook;
}

Status RegistryRulebook::Set(RegistryRule rule) {
  while (rule.prefix.ends_with('/')) rule.prefix.pop_back();
  SKERRY_RETURN_IF_ERROR(CheckRepository(rule.prefix), "prefix");
  if (!rule.immutable_tags && rule.quota_bytes == 0)
    return Fail(ErrorCode::kInvalidArgument,
                "a rule says immutable tags, a quota, or both; to end it, remove it");
  const std::lock_guard changing(changing_);
  {
    const std::lock_guard lock(mutex_);
    if (!rules_.contains(rule.prefix) && rules_.size() >= limits::kRegistryRules)
      return Fail(ErrorCode::kResourceExhausted, "there are {} rules (kRegistryRules)",
                  rules_.size());
  }
  Status written = store_->Write([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(SqlStatement insert,
                            db.Prepare("INSERT OR REPLACE INTO registry_rules(prefix, "
                                       "immutable_tags, quota_bytes) VALUES(?, ?, ?)"));
    SKERRY_RETURN_IF_ERROR(insert.Bind(1, rule.prefix)
                               .Bind(2, rule.immutable_tags ? 1 : 0)
                               .Bind(3, rule.quota_bytes)
                               .Run());
    return AuditLog(db).Append(
        clock_->UtcMicros(), "admin", "registry.rule.set", rule.prefix,
        {{"immutable_tags", rule.immutable_tags}, {"quota_bytes", rule.quota_bytes}});
  });
  SKERRY_RETURN_IF_ERROR(std::move(written));
  const std::lock_guard lock(mutex_);
  rules_[rule.prefix] = rule;
  return {};
}

Status RegistryRulebook::Remove(std::string_view prefix) {
  const std::lock_guard changing(changing_);
  {
    const std::lock_guard lock(mutex_);
    if (!rules_.contains(prefix))
      return Fail(ErrorCode::kNotFound, "there is no rule for {}", prefix);
  }
  Status written = store_->Write([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(SqlStatement remove,
                            db.Prepare("DELETE FROM registry_rules WHERE prefix = ?"));
    SKERRY_RETURN_IF_ERROR(remove.Bind(1, prefix).Run());
    return AuditLog(db).Append(clock_->UtcMicros(), "admin", "registry.rule.remove", prefix);
  });
  SKERRY_RETURN_IF_ERROR(std::move(written));
  const std::lock_guard lock(mutex_);
  rules_.erase(rules_.find(prefix));
  return {};
}

std::vector<RegistryRule> RegistryRulebook::List() const {
  const std::lock_guard lock(mutex_);
  std::vector<RegistryRule> list;
  for (const auto& [prefix, rule] : rules_) list.push_back(rule);
  return list;
}

RepositoryRules RegistryRulebook::Of(std::string_view repository) const {
  RepositoryRules rules;
  rules.immutable_tags = IsOutbox(repository);
  const std::lock_guard lock(mutex_);
  for (const auto& [prefix, rule] : rules_) {
    if (!IsAtOrBelow(repository, prefix)) continue;
    rules.immutable_tags = rules.immutable_tags || rule.immutable_tags;
    if (rule.quota_bytes > 0) rules.quotas.push_back({prefix, rule.quota_bytes});
  }
  return rules;
}

}  // namespace skerry
