// What holds of TUF metadata and of a site's client, whatever a repository says: used by the fuzzer
// and by a test.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "base/tuf_limits.h"
#include "storage/file.h"
#include "trust/tests/made_repository.h"
#include "trust/tests/tuf_case.h"

namespace skerry {

struct TufOutcome {
  bool followed = false;
  std::string fault;  // empty when all holds
};

class TufCheck {
 public:
  static constexpr const char* kNorth = "sites/north/desired.json";
  static constexpr std::int64_t kNowMicros = 1'750'000'000'000'000;

  // A site that has followed an honest repository so far: what it serves next is the case, and
  // where that has no file of a name, the honest one.
  TufCheck() {
    hub_.maker.SetFloor(4);
    hub_.Publish(kNorth, "one", kNowMicros);
    Must(hub_.maker.SetGroup("polar", {"south"}, kNowMicros));
    hub_.Take();
    Must(client_.Trust(hub_.files.at("metadata/1.root.json")));
    text_ = *FollowWith(client_, hub_);
    std::filesystem::copy(site_, kept_, std::filesystem::copy_options::recursive);
  }

  TufCaseReader& reader() { return reader_; }
  MadeRepository& hub() { return hub_; }

  TufOutcome FollowOrRefuse(std::string_view text) {
    CaseSource source(reader_.Read(text), hub_);
    for (const TufCasePart& part : source.parts) {
      if (!seen_.insert(part.name + part.bytes).second) continue;  // reading keys takes most time
      if (std::string fault = CheckDocument(part); !fault.empty()) return {false, fault};
    }
    if (seen_.size() > 10'000) seen_.clear();
    TufClient client = client_;
    const auto followed = FollowWith(client, source);
    TufOutcome outcome{followed.has_value(), ""};
    if (!followed && followed.error().message().empty()) outcome.fault = "refused without a reason";
    if (outcome.fault.empty()) outcome.fault = CheckClient(client, source, followed);
    if (client.timestamp_json() == client_.timestamp_json() &&
        client.root_version() == client_.root_version())
      return outcome;
    if (outcome.fault.empty()) outcome.fault = CheckReopened(client);
    std::filesystem::remove_all(site_);
    std::filesystem::copy(kept_, site_, std::filesystem::copy_options::recursive);
    return outcome;
  }

 private:
  struct CaseSource final : TufSource {
    CaseSource(std::vector<TufCasePart> given, const MadeRepository& hub)
        : parts(std::move(given)), honest(&hub.files) {}
    Result<std::string> Fetch(const std::string& name, std::size_t max_bytes) override {
      const auto part = std::ranges::find(parts, name, &TufCasePart::name);
      const auto held = honest->find(name);
      if (part == parts.end() && held == honest->end())
        return Fail(ErrorCode::kNotFound, "no {}", name);
      const std::string& bytes = part == parts.end() ? held->second : part->bytes;
      if (bytes.size() > max_bytes) return Fail(ErrorCode::kTooLarge, "{} is too large", name);
      if (part != parts.end()) served.push_back(&*part);
      return bytes;
    }
    std::vector<TufCasePart> parts;
    const std::map<std::string, std::string>* honest;
    std::vector<const TufCasePart*> served;
  };

  static void Must(const Status& status) {
    if (!status) throw std::runtime_error(status.error().ToString());
  }

  static Result<std::string> FollowWith(TufClient& client, TufSource& source) {
    SKERRY_RETURN_IF_ERROR(client.Update(source));
    SKERRY_ASSIGN_OR_RETURN(const TufTarget target, client.FindTarget(kNorth, source));
    return client.FetchTarget(kNorth, target, source);
  }

  // What is read is read again as it was, and says the same.
  template <typename T>
  static std::string CheckValue(const TufSigned& document) {
    const auto value = T::FromJson(document.body);
    if (!value) return value.error().message().empty() ? "refused without a reason" : "";
    if (value->version != document.version()) return "the version is another";
    const Json made = value->ToJson();
    if (!MakeTuf(made)) return "what was read cannot be signed";
    const auto again = T::FromJson(made);
    if (!again || again->ToJson() != made) return "what was made is read otherwise";
    if constexpr (std::is_same_v<T, TufTargets>)
      for (const TufDelegation& delegation : value->delegations) {
        delegation.Matches(kNorth);
        if (delegation.name.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos ||
            delegation.name.starts_with('.'))
          return "a role's name leaves the directory";
      }
    return "";
  }

  std::string CheckDocument(const TufCasePart& part) {
    std::string type = "targets";
    for (const char* top : {"root", "timestamp", "snapshot"})
      if (part.name.ends_with(std::string(top) + ".json")) type = top;
    const auto read = ParseTuf(part.bytes, type, limits::kTufTargetsBytes);
    if (!read) return read.error().message().empty() ? "refused without a reason" : "";
    const auto again = ParseTuf(read->ToJson(), type, limits::kTufTargetsBytes);
    if (!again || again->canonical != read->canonical || again->signatures != read->signatures)
      return "a document is read otherwise when it was written";
    if (VerifyTuf(*read, {}, {}, type)) return "a document by nobody is believed";
    if (std::string fault = CheckSigners(*read, part.signers); !fault.empty()) return fault;
    if (type == "root") return CheckValue<TufRoot>(*read);
    if (type == "timestamp") return CheckValue<TufTimestamp>(*read);
    if (type == "snapshot") return CheckValue<TufSnapshot>(*read);
    return CheckValue<TufTargets>(*read);
  }

  // As many keys have signed it as have signed it.
  std::string CheckSigners(const TufSigned& document, const std::string& signers) {
    if (signers == "!") return "";
    TufKeys keys;
    TufRole role;
    std::set<std::size_t> signed_by;
    for (std::size_t i = 1; i <= 7; ++i) {
      const PublicKey& key = reader_.key(i).public_key();
      keys.emplace(reader_.id(i), key);
      role.key_ids.push_back(reader_.id(i));
      if (signers.find(static_cast<char>('0' + i)) != std::string::npos) signed_by.insert(i);
    }
    return CountSignatures(document, keys, role) == signed_by.size()
               ? ""
               : "another number of signatures";
  }

  static std::uint64_t VersionOf(const std::string& bytes) {
    return Json::parse(bytes).at("signed").at("version").get<std::uint64_t>();
  }

  std::string CheckClient(const TufClient& client, const CaseSource& source,
                          const Result<std::string>& followed) {
    if (client.root_version() < client_.root_version()) return "the root went back";
    const bool same_root = client.root_version() == client_.root_version();
    if (same_root && client.timestamp_json().empty()) return "the timestamp is gone";
    if (same_root && VersionOf(client.timestamp_json()) < VersionOf(client_.timestamp_json()))
      return "the timestamp went back";
    for (const TufCasePart* part : source.served) {
      if (!same_root) continue;  // whoever signs roots names the others
      const bool timestamp = part->name == kTufTimestampName;
      if (timestamp && part->bytes == client.timestamp_json() && !IsSignedBy(*part, '2'))
        return "a timestamp by others is held";
      if (followed && timestamp && !IsSignedBy(*part, '2'))
        return "a timestamp by others is believed";
      if (followed && part->name.ends_with(".snapshot.json") && !IsSignedBy(*part, '3'))
        return "a snapshot by others is believed";
      if (followed && part->name.ends_with(".targets.json") && !IsSignedBy(*part, '4'))
        return "targets by others are believed";
    }
    if (!followed || *followed == text_) return "";
    const std::string name =
        "targets/sites/north/" + std::string(Digest::Sha256(*followed).hex()) + ".desired.json";
    if (source.served.empty() || source.served.back()->name != name)
      return "a target by another name is taken";
    return "";
  }

  // "!": a signature that stands in the text was never made by a key of this run.
  static bool IsSignedBy(const TufCasePart& part, char key) {
    return part.signers != "!" && part.signers.find(key) != std::string::npos;
  }

  // What was saved is what was held.
  std::string CheckReopened(TufClient& client) {
    auto again = TufClient::Open(site_);
    if (!again) return "what was saved is damaged: " + again.error().message();
    if (again->root_version() != client.root_version()) return "another root after a restart";
    if (again->timestamp_json() != client.timestamp_json())
      return "another timestamp after a restart";
    const auto before = client.FindHeld(kNorth), after = again->FindHeld(kNorth);
    if (before.has_value() != after.has_value() || (before && *before != *after))
      return "another target after a restart";
    return "";
  }

  // The keys of the hub's roles, by the numbers of TufCaseKeys.
  TufCaseKeys Keys() {
    hub_.Publish(kNorth, "none", kNowMicros);
    Must(hub_.maker.SetGroup("polar", {"south"}, kNowMicros));
    hub_.Take();
    const TufKeyDirectory directory(keys_);
    TufCaseKeys keys(1);
    const Json facts = hub_.maker.ToJson();
    for (const char* role : {"root", "timestamp", "snapshot", "targets", "sites", "polar"})
      for (const Json& one : facts.at("roles"))
        if (one.at("role") == role)
          keys.push_back(directory.Find(one.at("keys").at(0).at("id").get<std::string>()).value());
    keys.push_back(PrivateKey::Generate().value());
    return keys;
  }

  // In memory where there is such a place: each document that is accepted is synced.
  static TemporaryDirectory MakeDirectory() {
    auto made = TemporaryDirectory::Create("tuf", "/dev/shm");
    return made ? *std::move(made) : *TemporaryDirectory::Create("tuf");
  }

  TemporaryDirectory directory_ = MakeDirectory();
  const std::filesystem::path keys_ = directory_.path() / "keys",
                              site_ = directory_.path() / "site",
                              kept_ = directory_.path() / "kept";
  MadeRepository hub_{keys_, kNowMicros};
  TufCaseReader reader_{Keys()};
  TufClient client_ = *TufClient::Open(site_);
  std::string text_;
  std::set<std::string> seen_;  // documents that were checked
};

}  // namespace skerry
