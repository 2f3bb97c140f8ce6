#include "site/policy_desk.h"

#include <algorithm>

#include "base/limits.h"
#include "base/log.h"
#include "codec/json.h"
#include "storage/file.h"

namespace skerry {
namespace {

Json RefJson(const PolicyRef& ref) {
  return Json{{"name", ref.name}, {"version", ref.version}, {"digest", ref.digest.ToString()}};
}

Result<PolicyDesk::Waiting> WaitingFromJson(const Json& json) {
  const JsonObject object(json, "waiting");
  PolicyDesk::Waiting waiting;
  SKERRY_ASSIGN_OR_RETURN(waiting.policy.name, object.String("name"));
  SKERRY_ASSIGN_OR_RETURN(waiting.policy.version, object.String("version"));
  SKERRY_ASSIGN_OR_RETURN(const std::string digest, object.String("digest"));
  SKERRY_ASSIGN_OR_RETURN(waiting.policy.digest, Digest::Parse(digest));
  SKERRY_ASSIGN_OR_RETURN(waiting.widenings, object.Strings("widenings"));
  return waiting;
}

}  // namespace

Result<std::unique_ptr<PolicyDesk>> PolicyDesk::Open(std::filesystem::path directory,
                                                     const std::filesystem::path& local_policy,
                                                     Approval approval) {
  std::unique_ptr<PolicyDesk> desk(new PolicyDesk(std::move(directory), local_policy, approval));
  SKERRY_RETURN_IF_ERROR(CreateDirectories(desk->directory_ / "made", 0700));
  if (!local_policy.empty()) {
    SKERRY_ASSIGN_OR_RETURN(desk->local_, desk->ReadLocal());
  }
  SKERRY_RETURN_IF_ERROR(desk->Load(), (desk->directory_ / "state.json").string());
  return desk;
}

Result<PolicyDocument> PolicyDesk::ReadLocal() const {
  if (local_file_.empty())
    return Fail(ErrorCode::kFailedPrecondition,
                "this site was started without a local policy; start it with --local-policy FILE");
  const std::string what = "the local policy " + local_file_.string();
  SKERRY_ASSIGN_OR_RETURN(const std::string yaml, ReadFile(local_file_, limits::kYamlBytes), what);
  SKERRY_ASSIGN_OR_RETURN(PolicyDocument local, PolicyDocument::Parse(yaml), what);
  return local;
}

std::optional<PolicyDocument> PolicyDesk::local() const {
  const std::lock_guard lock(mutex_);
  return local_;
}

void PolicyDesk::UseLocal(PolicyDocument local) {
  const std::lock_guard lock(mutex_);
  local_ = std::move(local);
}

CombinedPolicy PolicyDesk::WithLocal(PolicyDocument hub) const {
  return Combine(std::move(hub), local());
}

Status PolicyDesk::Load() {
  const auto text = ReadFile(directory_ / "state.json", limits::kJsonBytes);
  if (!text && text.error().code() == ErrorCode::kNotFound) return {};
  if (!text) return tl::make_unexpected(text.error());
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(*text));
  const JsonObject object(json, "state");
  SKERRY_ASSIGN_OR_RETURN(in_force_, object.StringOr("in_force", ""));
  SKERRY_ASSIGN_OR_RETURN(approved_, object.StringOr("approved", ""));
  SKERRY_ASSIGN_OR_RETURN(refused_, object.StringOr("refused", ""));
  if (!json.contains("waiting")) return {};
  SKERRY_ASSIGN_OR_RETURN(waiting_, WaitingFromJson(json.at("waiting")));
  return {};
}

Status PolicyDesk::Save() const {
  Json json{{"in_force", in_force_}, {"approved", approved_}, {"refused", refused_}};
  if (waiting_) {
    json["waiting"] = RefJson(waiting_->policy);
    json["waiting"]["widenings"] = waiting_->widenings;
  }
  return WriteFileDurably(directory_ / "state.json", DumpJson(json), 0600);
}

Status PolicyDesk::Admit(const PolicyRef& ref, const CombinedPolicy& policy) {
  const std::lock_guard lock(mutex_);
  const std::string digest = ref.digest.ToString();
  if (approval_ == Approval::kNone || in_force_ == policy.digest.ToString() || approved_ == digest)
    return {};
  std::optional<CombinedPolicy> before;
  if (!in_force_.empty()) {
    auto held = ReadTexts(in_force_);
    // A local policy that its own people widened waits for nobody.
    if (held) before = Combine(std::move(held->hub), local_);
  }
  std::vector<std::string> widenings = Widenings(before ? &*before : nullptr, policy);
  if (widenings.empty()) return {};
  if (!waiting_ || waiting_->policy != ref || waiting_->widenings != widenings) {
    waiting_ = Waiting{ref, std::move(widenings), false};
    SKERRY_RETURN_IF_ERROR(Save());
  }
  if (refused_ == digest)
    return Fail(ErrorCode::kFailedPrecondition,
                "it would let more leave than the policy in force, and was refused at the site");
  return Fail(ErrorCode::kFailedPrecondition,
              "it would let more leave than the policy in force, and waits for approval at the "
              "site ('skerry policy pending' and 'approve' there)");
}

void PolicyDesk::NoteInForce(const CombinedPolicy* policy) {
  const std::lock_guard lock(mutex_);
  if (policy != nullptr)
    if (const Status kept = KeepTexts(*policy); !kept)
      LogError("cannot keep the text of a policy: {}", kept.error().ToString());
  const std::string digest = policy == nullptr ? "" : policy->digest.ToString();
  // A decision is for one coming into force.
  const bool same = in_force_ == digest && !waiting_ && approved_.empty() && refused_.empty();
  if (same) return;
  in_force_ = digest;
  waiting_.reset();
  approved_.clear();
  refused_.clear();
  if (const Status saved = Save(); !saved)
    LogError("cannot keep which policy is in force: {}", saved.error().ToString());
  ForgetOldTexts();
}

std::optional<PolicyDesk::Waiting> PolicyDesk::waiting() const {
  const std::lock_guard lock(mutex_);
  std::optional<Waiting> waiting = waiting_;
  if (waiting) waiting->refused = refused_ == waiting->policy.digest.ToString();
  return waiting;
}

Status PolicyDesk::Approve(std::string_view policy) { return Decide(policy, approved_); }

Status PolicyDesk::Refuse(std::string_view policy) { return Decide(policy, refused_); }

Status PolicyDesk::Decide(std::string_view policy, std::string& decided) {
  const std::lock_guard lock(mutex_);
  if (!waiting_) return Fail(ErrorCode::kNotFound, "no policy waits for approval");
  if (waiting_->policy.ToString() != policy)
    return Fail(ErrorCode::kNotFound, "policy {} waits for approval, not '{}'",
                waiting_->policy.ToString(), policy);
  approved_.clear();
  refused_.clear();
  decided = waiting_->policy.digest.ToString();
  return Save();
}

bool PolicyDesk::Wider(const std::string& digest, RecordClass cls,
                       const CombinedPolicy* now) const {
  if (now == nullptr) return true;
  if (digest == now->digest.ToString()) return false;
  const std::lock_guard lock(mutex_);
  const auto made = ReadTexts(digest);
  return !made || !Widenings(now, *made, cls).empty();
}

std::filesystem::path PolicyDesk::MadePath(std::string_view digest) const {
  const std::size_t colon = digest.find(':');
  return directory_ / "made" / (std::string(digest.substr(colon + 1)) + ".json");
}

Status PolicyDesk::KeepTexts(const CombinedPolicy& policy) const {
  Json json{{"hub", policy.hub.text}};
  if (policy.local) json["local"] = policy.local->text;
  return WriteFileDurably(MadePath(policy.digest.ToString()), DumpJson(json), 0600);
}

Result<CombinedPolicy> PolicyDesk::ReadTexts(std::string_view digest) const {
  SKERRY_ASSIGN_OR_RETURN(const Digest parsed, Digest::Parse(digest));
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(MadePath(digest), limits::kJsonBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  const JsonObject object(json, "texts");
  SKERRY_ASSIGN_OR_RETURN(const std::string hub_text, object.String("hub"));
  SKERRY_ASSIGN_OR_RETURN(PolicyDocument hub, PolicyDocument::Parse(hub_text));
  std::optional<PolicyDocument> local;
  if (json.contains("local")) {
    SKERRY_ASSIGN_OR_RETURN(const std::string local_text, object.String("local"));
    SKERRY_ASSIGN_OR_RETURN(local, PolicyDocument::Parse(local_text));
  }
  CombinedPolicy policy = Combine(std::move(hub), std::move(local));
  if (policy.digest != parsed)
    return Fail(ErrorCode::kDataLoss, "{} is damaged", MadePath(digest).string());
  return policy;
}

void PolicyDesk::ForgetOldTexts() const {
  std::vector<std::pair<std::filesystem::file_time_type, std::filesystem::path>> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_ / "made", error))
    files.emplace_back(entry.last_write_time(error), entry.path());
  if (files.size() <= limits::kPoliciesKept) return;
  std::sort(files.begin(), files.end());
  files.resize(files.size() - limits::kPoliciesKept);
  for (const auto& [time, path] : files)
    if (const Status removed = RemoveFile(path); !removed)
      LogWarning("{}", removed.error().message());
}

}  // namespace skerry
