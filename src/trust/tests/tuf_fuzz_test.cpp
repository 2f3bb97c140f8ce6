// Mutates the corpus of tests/fuzz/tuf and serves to a site what comes out: the same changes in
// every run. `make fuzz` looks further (tuf_fuzzer.cpp). The corpus itself is what our own code
// makes of a repository: with SKERRY_WRITE_SEEDS=DIRECTORY it is written there.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "trust/tests/tuf_check.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr int kRounds = 600;
constexpr std::int64_t kLater = TufCheck::kNowMicros + 86'400'000'000;

// Cases made of what the hub of a TufCheck would publish next, or whoever has some of its keys.
class SeedMaker {
 public:
  explicit SeedMaker(TufCheck& check)
      : reader_(&check.reader()),
        root_(*TufRoot::FromJson(Body(check, "root"))),
        timestamp_(*TufTimestamp::FromJson(Body(check, "timestamp"))),
        snapshot_(*TufSnapshot::FromJson(Body(check, "snapshot"))),
        top_(*TufTargets::FromJson(Body(check, "targets"))),
        sites_(*TufTargets::FromJson(Body(check, "sites"))) {
    // By version alone: how many bytes a document has is another with every signature.
    for (auto& [name, ref] : snapshot_.files) ref = {ref.version, {}, {}};
    timestamp_.snapshot = {snapshot_.version, {}, {}};
  }

  std::map<std::string, std::string> Make() const {
    std::map<std::string, std::string> seeds;
    seeds["new_target"] = Published("two", "5", "3", "2");
    seeds["by_the_wrong_keys"] = Published("two", "6", "7", "1");
    seeds["signed_by_all"] = Published("two", "1234567", "1234567", "1234567");
    seeds["older"] = Older();
    seeds["turned_keys"] = TurnedKeys();
    seeds["two_of_three"] = TwoOfThree();
    seeds["nested_roles"] = NestedRoles();
    seeds["not_signed"] =
        "#! metadata/timestamp.json\n" +
        DumpJson(Json{{"signatures", Json::array({{{"keyid", "$i2"}, {"sig", "3006"}}})},
                      {"signed", timestamp_.ToJson()}}) +
        "\n";
    return seeds;
  }

 private:
  static Json Body(TufCheck& check, const std::string& role) {
    return ParseJson(check.hub().newest.at(role).bytes)->at("signed");
  }

  // In the order of the keys' numbers, not of their ids.
  std::string Part(std::string_view signers, const std::string& name, const Json& body) const {
    return fmt::format("#{} {}\n{}\n", signers, name,
                       DumpJson(*ParseJson(reader_->Unfill(DumpJson(body)))));
  }
  // A reference to the part `number` of the case.
  static Json RefTo(Json body, const std::string& name, int number) {
    body["meta"][name]["length"] = fmt::format("$l{}", number);
    body["meta"][name]["hashes"] = {{"sha256", fmt::format("$h{}", number)}};
    return body;
  }
  static std::string Numbers(std::string text) {  // a length is no text
    for (std::size_t at = text.find("\"$l"); at != std::string::npos; at = text.find("\"$l", at)) {
      text.erase(at + 4, 1);
      text.erase(at, 1);
    }
    return text;
  }

  std::string Published(const std::string& target, std::string_view sites,
                        std::string_view snapshot, std::string_view timestamp) const {
    TufTargets role = sites_;
    ++role.version;
    role.targets[TufCheck::kNorth] = TufTarget::Of(target);
    TufSnapshot next = snapshot_;
    ++next.version;
    next.files["sites.json"] = {role.version, {}, {}};
    TufTimestamp newest = timestamp_;
    ++newest.version;
    newest.snapshot = {next.version, {}, {}};
    return Numbers(Part(sites, TufMetadataName("sites", role.version), role.ToJson()) +
                   Part(snapshot, TufMetadataName("snapshot", next.version),
                        RefTo(next.ToJson(), "sites.json", 0)) +
                   Part(timestamp, std::string(kTufTimestampName),
                        RefTo(newest.ToJson(), "snapshot.json", 1)) +
                   "#! " + TufTargetName(TufCheck::kNorth, TufTarget::Of(target)) + "\n" + target +
                   "\n");
  }

  std::string Older() const {
    TufTimestamp old = timestamp_;
    --old.version;
    TufSnapshot snapshot = snapshot_;
    --snapshot.version;
    old.snapshot = {snapshot.version, {}, {}};
    return Part("3", TufMetadataName("snapshot", snapshot.version), snapshot.ToJson()) +
           Part("2", std::string(kTufTimestampName), old.ToJson());
  }

  std::string NextRoot(TufRoot& root, std::string_view signers) const {
    ++root.version;
    root.expires_us = kLater;
    return Part(signers, TufMetadataName("root", root.version), root.ToJson());
  }

  std::string TurnedKeys() const {
    TufRoot root = root_;
    const PublicKey& key = reader_->key(7).public_key();
    const TufRole turned{{TufKeyId(key)}, 1};
    root.keys.emplace(TufKeyId(key), key);
    root.roles["timestamp"] = turned;
    std::string text = NextRoot(root, "1");
    root.roles["root"] = turned;
    text += NextRoot(root, "17");
    return text + Part("7", std::string(kTufTimestampName), timestamp_.ToJson());
  }

  std::string TwoOfThree() const {
    TufRoot root = root_;
    TufRole people{{}, 2};
    for (const std::size_t number : {1U, 6U, 7U}) {
      const PublicKey& key = reader_->key(number).public_key();
      root.keys.emplace(TufKeyId(key), key);
      people.key_ids.push_back(TufKeyId(key));
    }
    root.roles["root"] = people;
    std::string text = NextRoot(root, "16");
    return text + NextRoot(root, "67");
  }

  // Of the top-level targets: other roles of more kinds of patterns, a role below a role, members
  // and keys that are not known here.
  std::string NestedRoles() const {
    TufTargets top = top_, below = sites_, deep = sites_;
    ++top.version;
    const std::string key = TufKeyId(reader_->key(7).public_key());
    top.keys.emplace(key, reader_->key(7).public_key());
    top.delegations = {
        {"first", {{key}, 1}, false, {"sites/*/desired.json", "s?tes/[a-n]*/*"}, {}}};
    below.keys = {{key, reader_->key(7).public_key()}};
    below.targets.clear();
    below.delegations = {{"deep", {{key}, 1}, true, {"sites/[!s]*/*"}, {}}};
    deep.targets[TufCheck::kNorth] = TufTarget::Of("deep");
    Json json = top.ToJson();
    json["delegations"]["roles"].push_back({{"name", "last"},
                                            {"keyids", {key}},
                                            {"threshold", 1},
                                            {"terminating", false},
                                            {"path_hash_prefixes", {"0", "f"}}});
    json["delegations"]["keys"]["other"] = {
        {"keytype", "ed25519"}, {"scheme", "ed25519"}, {"keyval", {{"public", "00"}}}};
    json["x-note"] = "\\ \" \n \xC3\xA9";
    TufSnapshot next = snapshot_;
    ++next.version;
    next.files["targets.json"] = {top.version, {}, {}};
    for (const char* name : {"first.json", "deep.json"})
      next.files[name] = {sites_.version, {}, {}};
    TufTimestamp newest = timestamp_;
    ++newest.version;
    newest.snapshot = {next.version, {}, {}};
    return Part("4", TufMetadataName("targets", top.version), json) +
           Part("7", TufMetadataName("first", below.version), below.ToJson()) +
           Part("7", TufMetadataName("deep", deep.version), deep.ToJson()) +
           Part("3", TufMetadataName("snapshot", next.version), next.ToJson()) +
           Part("2", std::string(kTufTimestampName), newest.ToJson()) + "#! " +
           TufTargetName(TufCheck::kNorth, TufTarget::Of("deep")) + "\ndeep\n";
  }

  TufCaseReader* reader_;
  TufRoot root_;
  TufTimestamp timestamp_;
  TufSnapshot snapshot_;
  TufTargets top_, sites_;
};

class TufFuzzTest : public testing::Test {
 protected:
  TufCheck check_;
};

TEST_F(TufFuzzTest, TheCorpusIsWhatOurOwnRepositoryMakes) {
  const auto seeds = SeedMaker(check_).Make();
  const char* directory = std::getenv("SKERRY_WRITE_SEEDS");
  for (const auto& [name, text] : seeds) {
    if (directory != nullptr) std::ofstream(fs::path(directory) / name, std::ios::binary) << text;
    EXPECT_EQ(ReadFile(fs::path(SKERRY_TUF_CORPUS) / name, 1U << 20U).value_or(""), text) << name;
  }
  for (const char* name :
       {"new_target", "signed_by_all", "turned_keys", "two_of_three", "nested_roles"}) {
    const TufOutcome outcome = check_.FollowOrRefuse(seeds.at(name));
    EXPECT_TRUE(outcome.followed) << name;
    EXPECT_EQ(outcome.fault, "") << name;
  }
  for (const char* name : {"by_the_wrong_keys", "older", "not_signed"})
    EXPECT_FALSE(check_.FollowOrRefuse(seeds.at(name)).followed) << name;
}

// Of a text: pieces of others, words of the format, numbers at the edge.
void Mutate(std::string& text, const std::string& other, std::mt19937& random) {
  static const std::string kWords[] = {"{",
                                       "}",
                                       "[",
                                       "]",
                                       ",",
                                       ":",
                                       "\"",
                                       "\\",
                                       "null",
                                       "-1",
                                       "0",
                                       "1",
                                       "2",
                                       "1.5",
                                       "1e9",
                                       "9223372036854775807",
                                       "18446744073709551615",
                                       "\\u0000",
                                       "..",
                                       "/",
                                       "*",
                                       "$i1",
                                       "$i2",
                                       "$i7",
                                       "$p7",
                                       "$h0",
                                       "$l0",
                                       "\n#7 ",
                                       "\n#1234567 ",
                                       "\"version\":",
                                       "\"threshold\":0",
                                       "\"keyids\":[]",
                                       "metadata/timestamp.json",
                                       "\"paths\":[\"*\"]",
                                       "\"terminating\":true",
                                       "2030-01-01T00:00:00Z"};
  const auto below = [&](std::size_t limit) { return limit == 0 ? 0 : random() % limit; };
  const std::size_t at = below(text.size() + 1);
  switch (below(6)) {
    case 0: text.insert(at, kWords[below(std::size(kWords))]); break;
    case 1: text.erase(at, below(8) + 1); break;
    case 2:
      if (at < text.size()) text[at] = static_cast<char>(random());
      break;
    case 3:  // a digit: versions, signers, references
      if (const std::size_t digit = text.find_first_of("0123456789", at);
          digit != std::string::npos)
        text[digit] = static_cast<char>('0' + below(10));
      break;
    case 4: text.replace(at, below(30), other.substr(below(other.size() + 1), 30)); break;
    default: text.insert(at, other.substr(below(other.size() + 1)));
  }
}

TEST_F(TufFuzzTest, MutatedRepositoriesAreFollowedOrRefused) {
  std::vector<std::string> corpus;
  std::set<fs::path> files;
  for (const auto& entry : fs::directory_iterator(SKERRY_TUF_CORPUS)) files.insert(entry.path());
  for (const fs::path& file : files) corpus.push_back(ReadFile(file, 1U << 20U).value());
  ASSERT_GE(corpus.size(), 8U);
  std::mt19937 random(1);
  std::size_t followed = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::string text = corpus[random() % corpus.size()];
    for (std::size_t changes = random() % 4; changes > 0; --changes)
      Mutate(text, corpus[random() % corpus.size()], random);
    const TufOutcome outcome = check_.FollowOrRefuse(text);
    followed += outcome.followed ? 1U : 0U;
    ASSERT_EQ(outcome.fault, "") << "round " << round << ":\n" << text;
  }
  EXPECT_GT(followed, kRounds / 20U);
}

}  // namespace
}  // namespace skerry
