// What this site scores with and what may leave of it: the running package and the policy in force,
// changed together.
//
// Role: the site's DeploymentTarget. Loads packages and warms them up, compiles the policy against
// their schema, swaps both in the repository. A policy that does not fit the running package's
// schema is kept for the next package (they often come together) and refused for this one: the one
// in force stays. A package that no policy fits runs, and all its rows are withheld (default deny),
// with an alarm. A policy that the site has not approved (site/policy_desk.h) is refused. When
// another one came into force, whoever keeps records is told what may not leave any more. Threads:
// the deployer calls UseModel and UsePolicy one at a time; everything else from anywhere.
#pragma once

#include <functional>
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
#include "site/policy_desk.h"
#include "sync/deployer.h"

namespace skerry {

class ActiveModel final : public DeploymentTarget {
 public:
  // Tells records of a class, by the digest of the policy that made them, that are more than may
  // leave now.
  using Judge = std::function<bool(const std::string& policy, RecordClass cls)>;

  // Borrowed: the repository and the desk. `hmac_key`: the site's, for pseudonyms. `on_policy` is
  // called after every change of the policy in force, with the lock held.
  ActiveModel(ModelRepository& repository, PolicyDesk& desk, CaptureMode capture,
              std::string hmac_key, std::function<void(Judge)> on_policy);

  Status UseModel(const AdmittedPackage& package) override;
  Status UsePolicy(const std::optional<PolicyRef>& policy, std::string_view yaml) override;
  bool MayTellPackages() const override { return policy()->releases_status(); }

  // Reads the site's own policy again and uses it beside the hub's that is in force. Errors: of
  // PolicyDesk::ReadLocal, and kInvalidArgument where both together do not fit the running package:
  // nothing changes.
  Status UseLocalPolicy();

  // Pseudonyms are made with another key from now on.
  Status UseKey(std::string hmac_key);

  // The policy for rows that `package` has scored: rows under way when both changed keep theirs;
  // a package that is not known here gets DenyAll. Never waits for a change: the lock that it takes
  // is held to copy one pointer.
  std::shared_ptr<const CompiledPolicy> PolicyFor(const ModelPackage* package) const;
  // What scorers hand over rows of: the package in force, or the one before, whose scorers may not
  // know of the change yet; with its policy. kFailedPrecondition for any other.
  struct Pair {
    std::shared_ptr<const ModelPackage> package{};
    std::shared_ptr<const CompiledPolicy> policy{};
    std::shared_ptr<const AdmittedPackage> files{};  // as they are on the disk
  };
  Result<Pair> PairOf(const Digest& digest) const;
  Pair now() const;
  // The package and policy in force; the package may be null.
  std::shared_ptr<const ModelPackage> package() const;
  std::shared_ptr<const CompiledPolicy> policy() const;
  std::string alarm() const;  // "" when there is none

 private:
  struct Pairs {
    Pair now;
    Pair before;  // for requests that were under way at the last swap
  };

  using Policy = std::shared_ptr<const CombinedPolicy>;

  Result<std::shared_ptr<const CompiledPolicy>> Compile(const Policy& policy,
                                                        const ModelPackage& package) const;
  // Null: nothing but counts may leave. Before its first record is made.
  void PutInForce(Policy policy);
  void TellRecordKeeper() const;
  std::shared_ptr<const CompiledPolicy> PolicyOfNew(const ModelPackage& package);
  std::shared_ptr<const Pairs> Read() const;
  void Publish(Pair now, Pair before);

  ModelRepository* repository_;
  PolicyDesk* desk_;
  const CaptureMode capture_;
  const std::function<void(Judge)> on_policy_;

  mutable std::mutex mutex_;  // held for a whole change; guards what follows
  std::string hmac_key_;
  Policy in_force_;  // null: none
  Policy offered_;   // does not fit the running package; null: none
  std::string alarm_;

  // Not std::atomic<std::shared_ptr>: libstdc++ 12 reads its pointer after a relaxed unlock, a
  // race.
  mutable std::mutex pairs_mutex_;  // guards pairs_, taken last
  std::shared_ptr<const Pairs> pairs_;
};

}  // namespace skerry
