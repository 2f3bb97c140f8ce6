#include "site/active_model.h"

namespace skerry {

ActiveModel::ActiveModel(ModelRepository& repository, CaptureMode capture, std::string hmac_key)
    : repository_(&repository), capture_(capture), hmac_key_(std::move(hmac_key)) {
  Publish({nullptr, DenyAll()}, {nullptr, DenyAll()});
}

Status ActiveModel::UseModel(const AdmittedPackage& admitted) {
  SKERRY_ASSIGN_OR_RETURN(const std::shared_ptr<const ModelPackage> package,
                          LoadPackage(admitted.directory, {.name = admitted.ref.name,
                                                           .version = admitted.ref.version,
                                                           .digest = admitted.ref.digest,
                                                           .files = admitted.files}));
  const std::lock_guard lock(mutex_);
  const Pair before = Read()->now;
  // First the policy, then the model: no row of the new one may meet a policy that is not its own.
  Publish({package, PolicyOfNew(*package)}, before);
  SKERRY_RETURN_IF_ERROR(repository_->Put(package->name, {package, capture_}));
  if (before.package && before.package->name != package->name)
    return repository_->Remove(before.package->name);
  return {};
}

std::shared_ptr<const CompiledPolicy> ActiveModel::PolicyOfNew(const ModelPackage& package) {
  alarm_.clear();
  for (std::optional<PolicyDocument>* candidate : {&offered_, &document_}) {
    if (!candidate->has_value()) continue;
    auto compiled = Compile(**candidate, package);
    if (compiled) {
      if (candidate == &offered_) document_ = std::move(offered_);
      offered_.reset();
      alarm_.clear();
      return std::move(*compiled);
    }
    alarm_ = fmt::format("no policy fits model {}:{}, so nothing of it leaves: {}", package.name,
                         package.version, compiled.error().message());
  }
  return DenyAll();
}

Status ActiveModel::UsePolicy(const std::optional<PolicyRef>& policy, std::string_view yaml) {
  const std::lock_guard lock(mutex_);
  const std::shared_ptr<const Pairs> pairs = Read();
  if (!policy) {
    document_.reset();
    offered_.reset();
    Publish({pairs->now.package, DenyAll()}, {pairs->before.package, DenyAll()});
    return {};
  }
  SKERRY_ASSIGN_OR_RETURN(PolicyDocument document, PolicyDocument::Parse(yaml));
  if (document.name != policy->name || document.version != policy->version)
    return Fail(ErrorCode::kInvalidArgument, "the document calls itself {}:{}, not {}",
                document.name, document.version, policy->ToString());
  if (!pairs->now.package) {
    document_ = std::move(document);
    return {};
  }
  auto compiled = Compile(document, *pairs->now.package);
  if (!compiled) {
    offered_ = std::move(document);
    return Propagate(std::move(compiled),
                     fmt::format("it does not fit model {}:{}", pairs->now.package->name,
                                 pairs->now.package->version));
  }
  document_ = std::move(document);
  offered_.reset();
  alarm_.clear();
  Publish({pairs->now.package, std::move(*compiled)}, pairs->before);
  return {};
}

Result<std::shared_ptr<const CompiledPolicy>> ActiveModel::Compile(
    const PolicyDocument& document, const ModelPackage& package) const {
  return CompiledPolicy::Compile(document, package.schema, hmac_key_);
}

std::shared_ptr<const CompiledPolicy> ActiveModel::PolicyFor(const ModelPackage* package) const {
  const std::shared_ptr<const Pairs> pairs = Read();
  if (pairs->now.package.get() == package) return pairs->now.policy;
  if (pairs->before.package.get() == package) return pairs->before.policy;
  return DenyAll();
}

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
