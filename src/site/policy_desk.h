// What the people of this site decide about policy: their own local policy, and whether a policy of
// the hub's that lets more leave may come into force.
//
// Role: asked by ActiveModel before a policy of the hub's is used, told when one came into force;
// the control routes show, approve and refuse what waits. Keeps the texts of what was in force, so
// that the outbox can be told which of its records a newer policy would not have let leave.
// Files, in `directory`: state.json (what is in force, what waits, what was approved or refused),
// made/<hex>.json (the texts behind a digest that records carry).
// Threads: any. Durability: a decision is on disk when its function returns.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "policy/combined_policy.h"
#include "policy/record_class.h"
#include "trust/desired_state.h"

namespace skerry {
enum class Approval : std::uint8_t { kNone, kRequired };

class PolicyDesk {
 public:
  // A policy of the hub's that lets more leave than the one in force.
  struct Waiting {
    PolicyRef policy;
    std::vector<std::string> widenings;
    bool refused = false;
  };

  // `local_policy`: a file, or empty. kInvalidArgument with file, line and column when it is no
  // policy: a site does not start without the policy that it was told to keep.
  static Result<std::unique_ptr<PolicyDesk>> Open(std::filesystem::path directory,
                                                  const std::filesystem::path& local_policy,
                                                  Approval approval);

  std::optional<PolicyDocument> local() const;
  CombinedPolicy WithLocal(PolicyDocument hub) const;
  // The local policy's file as it is now, which nothing follows yet. kFailedPrecondition when the
  // site was told of none; else the errors of Open.
  Result<PolicyDocument> ReadLocal() const;
  void UseLocal(PolicyDocument local);

  // kFailedPrecondition when it waits for approval, or was refused.
  Status Admit(const PolicyRef& ref, const CombinedPolicy& policy);
  // Before any record is made under it; none: nothing but counts may leave. A failed write is a log
  // line: a narrower policy does not wait for a disk.
  void NoteInForce(const CombinedPolicy* policy);

  std::optional<Waiting> waiting() const;
  // `policy` is NAME:VERSION, so that what is approved is what was read. kNotFound when another
  // one waits, or none.
  Status Approve(std::string_view policy);
  Status Refuse(std::string_view policy);

  // Whether records of a class, made under the policy of that digest, are more than `now` lets
  // leave. True for a digest that is not known here, and for every one when `now` is null.
  bool Wider(const std::string& digest, RecordClass cls, const CombinedPolicy* now) const;

 private:
  PolicyDesk(std::filesystem::path directory, std::filesystem::path local_file, Approval approval)
      : directory_(std::move(directory)), local_file_(std::move(local_file)), approval_(approval) {}
  Status Load();
  Status Save() const;
  Status Decide(std::string_view policy, std::string& decided);
  std::filesystem::path MadePath(std::string_view digest) const;
  Status KeepTexts(const CombinedPolicy& policy) const;
  Result<CombinedPolicy> ReadTexts(std::string_view digest) const;
  void ForgetOldTexts() const;

  const std::filesystem::path directory_;
  const std::filesystem::path local_file_;  // "" for none
  const Approval approval_;

  mutable std::mutex mutex_;  // guards what follows
  std::optional<PolicyDocument> local_;
  std::string in_force_;  // digest of the combined policy; "" for none
  std::optional<Waiting> waiting_;
  std::string approved_;  // manifest digest
  std::string refused_;   // manifest digest
};

}  // namespace skerry
