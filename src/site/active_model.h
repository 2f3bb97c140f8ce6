// What this site scores with and what may leave of it: the running package and the policy in force,
// changed together.
//
// Role: the site's DeploymentTarget. Loads packages, compiles the policy against their schema,
// swaps both in the repository. A policy that does not fit the running package's schema is kept for
// the next package (they often come together) and refused for this one: the one in force stays.
// A package that no policy fits runs, and all its rows are withheld (default deny), with an alarm.
// Threads: the deployer calls UseModel and UsePolicy one at a time; everything else from anywhere.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "model/package.h"
#include "policy/compiled_policy.h"
#include "policy/document.h"
#include "serve/repository.h"
#include "sync/deployer.h"

namespace skerry {

class ActiveModel final : public DeploymentTarget {
 public:
  // Borrowed: the repository. `hmac_key`: the site's, for pseudonyms.
  ActiveModel(ModelRepository& repository, CaptureMode capture, std::string hmac_key);

  Status UseModel(const AdmittedPackage& package) override;
  Status UsePolicy(const std::optional<PolicyRef>& policy, std::string_view yaml) override;

  // The policy for rows that `package` has scored: rows under way when both changed keep theirs;
  // a package that is not known here gets DenyAll. Never waits for a change: the lock that it takes
  // is held to copy one pointer.
  std::shared_ptr<const CompiledPolicy> PolicyFor(const ModelPackage* package) const;
  // The package and policy in force; the package may be null.
  std::shared_ptr<const ModelPackage> package() const;
  std::shared_ptr<const CompiledPolicy> policy() const;
  std::string alarm() const;  // "" when there is none

 private:
  struct Pair {
    std::shared_ptr<const ModelPackage> package;
    std::shared_ptr<const CompiledPolicy> policy;
  };
  struct Pairs {
    Pair now;
    Pair before;  // for requests that were under way at the last swap
  };

  Result<std::shared_ptr<const CompiledPolicy>> Compile(const PolicyDocument& document,
                                                        const ModelPackage& package) const;
  std::shared_ptr<const CompiledPolicy> PolicyOfNew(const ModelPackage& package);
  std::shared_ptr<const Pairs> Read() const;
  void Publish(Pair now, Pair before);

  ModelRepository* repository_;
  const CaptureMode capture_;
  const std::string hmac_key_;

  mutable std::mutex mutex_;                // held for a whole change; guards what follows
  std::optional<PolicyDocument> document_;  // in force
  std::optional<PolicyDocument> offered_;   // does not fit the running package
  std::string alarm_;

  // Not std::atomic<std::shared_ptr>: libstdc++ 12 reads its pointer after a relaxed unlock, a
  // race.
  mutable std::mutex pairs_mutex_;  // guards pairs_, taken last
  std::shared_ptr<const Pairs> pairs_;
};

}  // namespace skerry
