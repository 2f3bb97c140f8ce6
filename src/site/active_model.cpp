#include "site/active_model.h"

#include "base/clock.h"
#include "base/log.h"
#include "model/warm_up.h"

namespace skerry {

ActiveModel::ActiveModel(ModelRepository& repository, PolicyDesk& desk, CaptureMode capture,
                         std::string hmac_key, std::function<void(Judge)> on_policy)
    : repository_(&repository),
      desk_(&desk),
      capture_(capture),
      on_policy_(std::move(on_policy)),
      hmac_key_(std::move(hmac_key)) {
  Publish({nullptr, DenyAll(), nullptr}, {nullptr, DenyAll(), nullptr});
}

Status ActiveModel::UseModel(const AdmittedPackage& admitted) {
  SKERRY_ASSIGN_OR_RETURN(const std::shared_ptr<const ModelPackage> package,
                          LoadPackage(admitted.directory, {.name = admitted.ref.name,
                                                           .version = admitted.ref.version,
                                                           .digest = admitted.ref.digest,
                                                           .files = admitted.files}));
  // Before it counts as ready, and before the one that runs is disturbed. By the machine's own
  // clock: how long a run takes decides whether requests wait for a thread (serve/run_queue.h).
  const SystemClock clock;
  const auto run_us = WarmUp(*package, clock);
  if (!run_us)
    LogInfo("model {}:{} goes without a warm-up, since it takes no row of zeros: {}", package->name,
            package->version, run_us.error().message());
  const std::lock_guard lock(mutex_);
  const Pair before = Read()->now;
  // First the policy, then the model: no row of the new one may meet a policy that is not its own.
  const Policy policy_before = in_force_;
  Publish({package, PolicyOfNew(*package), std::make_shared<const AdmittedPackage>(admitted)},
          before);
  if (in_force_ != policy_before) TellRecordKeeper();
  SKERRY_RETURN_IF_ERROR(repository_->Put(
      package->name, {.package = package, .capture = capture_, .run_us = run_us.value_or(0)}));
  if (before.package && before.package->name != package->name)
    return repository_->Remove(before.package->name);
  return {};
}

std::shared_ptr<const CompiledPolicy> ActiveModel::PolicyOfNew(const ModelPackage& package) {
  alarm_.clear();
  for (const Policy& candidate : {offered_, in_force_}) {
    if (candidate == nullptr) continue;
    auto compiled = Compile(candidate, package);
    if (compiled) {
      if (candidate == offered_) PutInForce(offered_);
      offered_.reset();
      alarm_.clear();
      return std::move(*compiled);
    }
    alarm_ = fmt::format("no policy fits model {}:{}, so nothing of it leaves: {}", package.name,
                         package.version, compiled.error().message());
  }
  return DenyAll();
}

void ActiveModel::PutInForce(Policy policy) {
  desk_->NoteInForce(policy.get());
  in_force_ = std::move(policy);
}

void ActiveModel::TellRecordKeeper() const {
  if (on_policy_)
    on_policy_([desk = desk_, now = in_force_](const std::string& policy, RecordClass cls) {
      return desk->Wider(policy, cls, now.get());
    });
}

Status ActiveModel::UsePolicy(const std::optional<PolicyRef>& policy, std::string_view yaml) {
  const std::lock_guard lock(mutex_);
  const std::shared_ptr<const Pairs> pairs = Read();
  if (!policy) {
    PutInForce(nullptr);
    offered_.reset();
    Publish({pairs->now.package, DenyAll(), pairs->now.files},
            {pairs->before.package, DenyAll(), pairs->before.files});
    TellRecordKeeper();
    return {};
  }
  SKERRY_ASSIGN_OR_RETURN(PolicyDocument document, PolicyDocument::Parse(yaml));
  if (document.name != policy->name || document.version != policy->version)
    return Fail(ErrorCode::kInvalidArgument, "the document calls itself {}:{}, not {}",
                document.name, document.version, policy->ToString());
  const auto combined =
      std::make_shared<const CombinedPolicy>(desk_->WithLocal(std::move(document)));
  SKERRY_RETURN_IF_ERROR(desk_->Admit(*policy, *combined));
  std::shared_ptr<const CompiledPolicy> in_use = DenyAll();
  if (pairs->now.package) {
    auto compiled = Compile(combined, *pairs->now.package);
    if (!compiled) {
      offered_ = combined;
      return Propagate(std::move(compiled),
                       fmt::format("it does not fit model {}:{}", pairs->now.package->name,
                                   pairs->now.package->version));
    }
    in_use = std::move(*compiled);
  }
  PutInForce(combined);
  offered_.reset();
  alarm_.clear();
  if (pairs->now.package)
    Publish({pairs->now.package, std::move(in_use), pairs->now.files}, pairs->before);
  TellRecordKeeper();
  return {};
}

Status ActiveModel::UseLocalPolicy() {
  const std::lock_guard lock(mutex_);
  SKERRY_ASSIGN_OR_RETURN(PolicyDocument local, desk_->ReadLocal());
  const auto beside = [&local](const Policy& policy) -> Policy {
    if (policy == nullptr) return nullptr;
    return std::make_shared<const CombinedPolicy>(Combine(policy->hub, local));
  };
  const std::shared_ptr<const Pairs> pairs = Read();
  Policy next = beside(in_force_);
  std::shared_ptr<const CompiledPolicy> in_use = DenyAll();
  if (next && pairs->now.package) {
    auto compiled = Compile(next, *pairs->now.package);
    if (!compiled)
      return Propagate(std::move(compiled),
                       fmt::format("it does not fit model {}:{}", pairs->now.package->name,
                                   pairs->now.package->version));
    in_use = std::move(*compiled);
  }
  offered_ = beside(offered_);
  desk_->UseLocal(std::move(local));
  PutInForce(std::move(next));
  if (in_force_) alarm_.clear();
  Publish({pairs->now.package, std::move(in_use), pairs->now.files}, pairs->before);
  TellRecordKeeper();
  return {};
}

Status ActiveModel::UseKey(std::string hmac_key) {
  const std::lock_guard lock(mutex_);
  hmac_key_ = std::move(hmac_key);
  const std::shared_ptr<const Pairs> pairs = Read();
  // No policy fits the package, or there is none of them: the next one is compiled with the key.
  if (!in_force_ || !pairs->now.package || !pairs->now.policy->digest()) return {};
  SKERRY_ASSIGN_OR_RETURN(auto compiled, Compile(in_force_, *pairs->now.package));
  Publish({pairs->now.package, std::move(compiled), pairs->now.files}, pairs->before);
  return {};
}

Result<std::shared_ptr<const CompiledPolicy>> ActiveModel::Compile(
    const Policy& policy, const ModelPackage& package) const {
  return CompiledPolicy::Compile(*policy, package.schema, hmac_key_);
}

std::shared_ptr<const CompiledPolicy> ActiveModel::PolicyFor(const ModelPackage* package) const {
  const std::shared_ptr<const Pairs> pairs = Read();
  if (pairs->now.package.get() == package) return pairs->now.policy;
  if (pairs->before.package.get() == package) return pairs->before.policy;
  return DenyAll();
}

Result<ActiveModel::Pair> ActiveModel::PairOf(const Digest& digest) const {
  const std::shared_ptr<const Pairs> pairs = Read();
  for (const Pair* pair : {&pairs->now, &pairs->before})
    if (pair->package && pair->package->digest == digest) return *pair;
  const std::shared_ptr<const ModelPackage>& runs = pairs->now.package;
  return Fail(ErrorCode::kFailedPrecondition, "this site does not run the package {}: it runs {}",
              digest.ToString(),
              runs ? fmt::format("{}:{} ({})", runs->name, runs->version,
                                 runs->digest ? runs->digest->ToString() : "no digest")
                   : "none yet");
}

ActiveModel::Pair ActiveModel::now() const { return Read()->now; }

std::shared_ptr<const ModelPackage> ActiveModel::package() const { return Read()->now.package; }

std::shared_ptr<const CompiledPolicy> ActiveModel::policy() const { return Read()->now.policy; }

std::string ActiveModel::alarm() const {
  const std::lock_guard lock(mutex_);
  return alarm_;
}

std::shared_ptr<const ActiveModel::Pairs> ActiveModel::Read() const {
  const std::lock_guard lock(pairs_mutex_);
  return pairs_;
}

void ActiveModel::Publish(Pair now, Pair before) {
  auto next = std::make_shared<const Pairs>(Pairs{std::move(now), std::move(before)});
  const std::lock_guard lock(pairs_mutex_);
  pairs_.swap(next);  // the old pair dies after the lock
}

}  // namespace skerry
