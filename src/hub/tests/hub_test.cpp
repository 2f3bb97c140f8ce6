#include "hub/hub.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "http/server.h"
#include "http/url.h"
#include "hub/tests/hub_fixture.h"
#include "oci/media_types.h"
#include "storage/sqlite.h"
#include "trust/desired_state.h"
#include "trust/tuf_client.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

unsigned ModeOf(const fs::path& file) {
  struct stat facts{};
  EXPECT_EQ(stat(file.c_str(), &facts), 0) << file;
  return facts.st_mode & 0777U;
}

TEST_F(HubTest, ShipmentOverTheLinkComesBackAsAReceipt) {
  StartHub();
  EXPECT_TRUE(hub_->url().starts_with("https://127.0.0.1:"));
  JoinSite(north_);
  const Artifact shipment = north_.Ship({north_.Seal({.rows = 20})});
  const Receipt receipt = OpenReceipt(PushShipment(north_, "first", shipment), grants_.at("north"));
  ASSERT_EQ(receipt.streams.size(), 1U);
  EXPECT_EQ(receipt.streams[0].received.ToJson().dump(), "[[1,20]]");
  // Again: the answer was lost. Same receipt, one copy.
  EXPECT_EQ(OpenReceipt(PushShipment(north_, "first", shipment), grants_.at("north")).counter,
            receipt.counter);
  const HttpReply asked = Call(SiteOptions(north_), "GET", "/v1/sites/north/receipt");
  EXPECT_EQ(OpenReceipt(asked.body, grants_.at("north")).streams, receipt.streams);
  // It stands in the registry too, where only its own site and the admin may read it.
  HttpClient client(SiteOptions(north_));
  RegistryClient registry(hub_->url(), client);
  const Artifact stored =
      Must(registry.PullArtifact("sites/north/receipts", "latest", directory_.path() / "pulled"));
  EXPECT_EQ(Must(ReadDocument(stored, media_types::kReceiptLayer, 1U << 20U)), asked.body);
  EXPECT_EQ(Must(registry.Tags("sites/north/receipts")).size(), 2U);

  SiteStatus status = north_.MakeStatus({.scored = 30, .withheld = 4});
  status.pending = {{.epoch = north_.epoch(), .first_seq = 1, .last_seq = 20, .primary_rows = 20}};
  status.unsealed_primary_rows = 6;
  const HttpReply posted =
      Call(SiteOptions(north_), "POST", "/v1/sites/north/status", north_.SignStatusOf(status));
  EXPECT_EQ(posted.status, 200) << posted.body;
  EXPECT_EQ(Must(ParseJson(posted.body))["receipt_counter"], receipt.counter);

  const Json sum = AdminJson("GET", "/v1/sites/north/reconciliation?recount=1");
  EXPECT_EQ(sum["terms"]["received"], 20);
  EXPECT_EQ(sum["terms"]["pending"], 6);
  EXPECT_EQ(sum["difference"], 0) << sum.dump();
  EXPECT_EQ(sum["duplicates_ignored"], 20);
  EXPECT_EQ(sum["unexplained_gaps"], 0);
  EXPECT_EQ(sum["recount"].dump(), R"({"duplicates":0,"primary_rows":20,"rows":20})");
  PushShipment(north_, "second", north_.Ship({north_.Seal({.first_seq = 21, .rows = 5})}));
  EXPECT_EQ(Must(registry.Tags("sites/north/receipts")).size(), 3U);
  EXPECT_NE(Call(SiteOptions(north_), "GET", "/v1/sites/north/receipt").body, asked.body);
}

TEST_F(HubTest, PendingOfAPartlyReceivedSegmentIsCountedByRows) {
  StartHub();
  JoinSite(north_);
  PushShipment(north_, "first", north_.Ship({north_.Seal({.rows = 10, .primary_of_two = 1})}));
  SiteStatus status = north_.MakeStatus({.scored = 15});
  status.pending = {{.epoch = north_.epoch(), .first_seq = 1, .last_seq = 30, .primary_rows = 15}};
  Call(SiteOptions(north_), "POST", "/v1/sites/north/status", north_.SignStatusOf(status));
  const Json sum = AdminJson("GET", "/v1/sites/north/reconciliation");
  EXPECT_EQ(sum["terms"]["received"], 5);
  EXPECT_EQ(sum["terms"]["pending"], 10);
  EXPECT_EQ(sum["balanced"], true);
}

TEST_F(HubTest, TokenUsedTwiceIsAConflict) {
  StartHub();
  const JoinToken token = NewToken("north");
  const auto join = [&](const PrivateKey& key) {
    return Call(NobodyOptions(), "POST", "/v1/join", Must(MakeJoinRequest(token, key)).ToJson());
  };
  EXPECT_EQ(join(north_.key()).status, 200);
  const HttpReply second = join(Must(PrivateKey::Generate()));
  EXPECT_EQ(second.status, 409);
  EXPECT_THAT(second.body, HasSubstr("has been used"));
}

TEST_F(HubTest, NamesAgainstTheGrammarAreRefused) {
  StartHub();
  for (const char* name : {"North", "..", "a/b", "a b"})
    EXPECT_EQ(Admin("POST", "/v1/tokens", Json{{"site", name}}.dump()).status, 400) << name;
  EXPECT_EQ(Admin("POST", "/v1/tokens", R"({"site":"a","extra":1})").status, 400);
  EXPECT_EQ(Admin("GET", "/v1/sites/nobody").status, 404);
}

TEST_F(HubTest, EachMayDoWhatItMay) {
  StartHub();
  JoinSite(north_);
  FakeSite south("south", directory_.path() / "south");
  JoinSite(south);
  EXPECT_EQ(Call(NobodyOptions(), "GET", "/v1/sites").status, 401);
  HttpClientOptions guess = NobodyOptions();
  guess.bearer_token = "0123";
  EXPECT_EQ(Call(guess, "GET", "/v1/sites").status, 401);
  HttpClientOptions basic = NobodyOptions();
  basic.basic_user = "admin";
  basic.basic_password = hub_->admin_token();
  EXPECT_EQ(Call(basic, "GET", "/v1/sites").status, 200);
  EXPECT_EQ(Call(SiteOptions(north_), "GET", "/v1/sites").status, 401);
  EXPECT_EQ(Call(SiteOptions(north_), "GET", "/v1/sites/north/receipt").status, 200);
  EXPECT_EQ(Call(SiteOptions(south), "GET", "/v1/sites/north/receipt").status, 403);
  EXPECT_EQ(Call(NobodyOptions(), "GET", "/v1/sites/north/receipt").status, 401);

  EXPECT_EQ(Call(NobodyOptions(), "GET", "/v2/").status, 401);
  EXPECT_EQ(Call(SiteOptions(north_), "GET", "/v2/").status, 200);
  const Artifact shipment = south.Ship({south.Seal({})});
  EXPECT_FALSE(Push(SiteOptions(north_), "sites/south/outbox", "x", shipment));
  EXPECT_FALSE(Push(SiteOptions(north_), "models/milling", "1", shipment));
  EXPECT_FALSE(Push(NobodyOptions(), "sites/south/outbox", "x", shipment));
}

TEST_F(HubTest, SetAsideShipmentIsShownAndTheNextOneGoesOn) {
  StartHub();
  JoinSite(north_);
  FakeSite forger("north", directory_.path() / "forger");
  const auto refused =
      Push(SiteOptions(north_), "sites/north/outbox", "forged", forger.Ship({forger.Seal({})}));
  ASSERT_FALSE(refused);
  EXPECT_FALSE(PushShipment(north_, "true", north_.Ship({north_.Seal({})})).empty());
  const Json site = AdminJson("GET", "/v1/sites/north");
  ASSERT_EQ(site["set_aside_items"].size(), 1U);
  EXPECT_EQ(site["set_aside_items"][0]["kind"], "statement");
  EXPECT_EQ(AdminJson("GET", "/v1/overview")["alarms"].size(), 1U);
}

// A TUF repository by what answers to its names.
class LinkedSource final : public TufSource {
 public:
  explicit LinkedSource(std::function<HttpReply(const std::string&)> ask) : ask_(std::move(ask)) {}
  Result<std::string> Fetch(const std::string& name, std::size_t /*max_bytes*/) override {
    HttpReply reply = ask_(name);
    if (reply.status != 200) return Fail(ErrorCode::kNotFound, "{}", reply.status);
    return std::move(reply.body);
  }

 private:
  std::function<HttpReply(const std::string&)> ask_;
};

TEST_F(HubTest, DesiredStateIsASignedTargetAndItsVersionGrows) {
  StartHub();
  JoinSite(north_);
  const std::string put = R"({"model":"milling:1"})";
  EXPECT_EQ(Admin("PUT", "/v1/sites/north/desired", put).status, 404);
  const Artifact package = MakePackage(directory_.path() / "package", "1");
  Must(Push(AdminOptions(), "models/milling", "1", package));
  AdminJson("PUT", "/v1/sites/north/desired", put);
  AdminJson("PUT", "/v1/sites/north/desired", put);
  LinkedSource source(
      [&](const std::string& name) { return Call(SiteOptions(north_), "GET", "/tuf/" + name); });
  TufClient client = Must(TufClient::Open(directory_.path() / "tuf"));
  Must(client.Trust(grants_.at("north").tuf_root));
  Must(client.Update(source));
  const std::string path = DesiredStatePath("north");
  const TufTarget target = Must(client.FindTarget(path, source));
  const DesiredState state =
      Must(ReadDesiredState(Must(client.FetchTarget(path, target, source)), "north"));
  EXPECT_EQ(state.version, 2U);
  EXPECT_EQ(state.active.digest, package.manifest.digest);
  EXPECT_GT(client.expiry()->expires_us, state.issued_at_us);
  // What another site is to run is nobody's business, and nothing is a stranger's.
  const FakeSite south("south", directory_.path() / "south");
  JoinSite(south);
  const std::string target_url = "/tuf/" + TufTargetName(path, target);
  EXPECT_EQ(Call(SiteOptions(south), "GET", target_url).status, 403);
  EXPECT_EQ(Call(SiteOptions(south), "GET", "/tuf/metadata/timestamp.json").status, 200);
  EXPECT_EQ(Call(SiteOptions(south), "GET", "/tuf/metadata/timestamp.json?site=north").status, 403);
  EXPECT_EQ(Call(NobodyOptions(), "GET", "/tuf/metadata/timestamp.json").status, 401);
  EXPECT_EQ(AdminJson("GET", "/v1/models")["models"][0]["signed"], false);
}

TEST_F(HubTest, PolicyIsStoredOnceUnderItsVersion) {
  StartHub();
  const std::string policy =
      "skerry: policy/1\nname: milling\nversion: 1\ndefault: drop\nclasses:\n  sample: {rate: "
      "0.5}\n";
  EXPECT_EQ(Admin("POST", "/v1/policies", policy).status, 201);
  EXPECT_EQ(Admin("POST", "/v1/policies", policy).status, 201);
  EXPECT_EQ(Admin("POST", "/v1/policies", policy + "# other bytes\n").status, 409);
  const HttpReply wrong = Admin("POST", "/v1/policies", "skerry: policy/1\nname: [\n");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_THAT(wrong.body, HasSubstr("line"));
}

TEST_F(HubTest, RecordsAreFoundListedAndCounted) {
  StartHub();
  JoinSite(north_);
  const TestSegment anomalies = north_.Seal({.cls = RecordClass::kAnomaly, .rows = 5});
  PushShipment(north_, "one", north_.Ship({anomalies, north_.Seal({.rows = 8, .n_offset = 100})}));
  const std::string instance = north_.instance().ToString();
  const Json found =
      AdminJson("POST", "/v1/sites/north/rows/lookup",
                Json{{"rows", {instance + "-3", instance + "-104", instance + "-999"}}}.dump());
  ASSERT_EQ(found["found"].size(), 2U) << found.dump();
  EXPECT_EQ(found["found"][0]["class"], "anomaly");
  EXPECT_EQ(found["found"][1]["class"], "sample");
  EXPECT_EQ(found["missing"].dump(), "[\"" + instance + "-999\"]");
  EXPECT_EQ(Admin("POST", "/v1/sites/north/rows/lookup", R"({"rows":["x"]})").status, 400);

  const Json list = AdminJson("GET", "/v1/anomalies?limit=2&site=north");
  ASSERT_EQ(list["anomalies"].size(), 2U);
  EXPECT_EQ(list["anomalies"][0]["row"], instance + "-5");
  EXPECT_EQ(list["anomalies"][0]["site"], "north");
  EXPECT_EQ(list["anomalies"][0]["fields"]["in_torque_nm"], 5.0);
  EXPECT_EQ(AdminJson("GET", "/v1/anomalies?site=south")["anomalies"].size(), 0U);
  EXPECT_EQ(Admin("GET", "/v1/anomalies?limit=many").status, 400);
  EXPECT_EQ(Admin("GET", "/v1/anomalies?limit=100000").status, 400);

  const Json insights = AdminJson("GET", "/v1/insights?step_s=86400");
  EXPECT_EQ(insights["points"].size(), 2U);
  EXPECT_EQ(AdminJson("GET", "/v1/overview")["rows_by_class"]["sample"], 8);
}

TEST_F(HubTest, LabelsAreKeptByRowId) {
  StartHub();
  const std::string row = north_.instance().ToString() + "-1";
  const std::string body = Json{{"labels", {{{"row", row}, {"label", "1"}}}}}.dump();
  EXPECT_EQ(AdminJson("POST", "/v1/labels", body)["stored"], 1);
  const Json labels = AdminJson("GET", "/v1/labels");
  EXPECT_EQ(labels["labels"][0]["row"], row);
  EXPECT_EQ(labels["sets"][0]["labels"], 1);
  EXPECT_EQ(Admin("POST", "/v1/labels", R"({"labels":[{"row":"x","label":"1"}]})").status, 400);
  EXPECT_EQ(
      Admin("POST", "/v1/labels", Json{{"labels", {{{"row", row}, {"label", ""}}}}}.dump()).status,
      400);
}

TEST_F(HubTest, EveryChangeIsInTheAuditLog) {
  StartHub();
  JoinSite(north_);
  const Json audit = AdminJson("GET", "/v1/audit");
  EXPECT_EQ(audit["chain_intact"], true);
  ASSERT_EQ(audit["entries"].size(), 2U);
  EXPECT_EQ(audit["entries"][1]["action"], "site.join");
}

// Without a link: request out, certificate, receipts, desired state and model back.
TEST_F(HubTest, DirectoryThatAnotherProcessHoldsIsRefused) {
  StartHub();
  const auto second = Hub::Start({.data = Data(), .listen_port = 0});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), ErrorCode::kFailedPrecondition);
  EXPECT_THAT(second.error().message(), HasSubstr(std::to_string(getpid())));
}

TEST_F(HubTest, PortInUseIsNamed) {
  StartHub();
  const std::uint16_t port = Must(Url::Parse(hub_->url())).port;
  const auto second = Hub::Start({.data = directory_.path() / "other", .listen_port = port});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), ErrorCode::kUnavailable);
  EXPECT_THAT(second.error().message(), HasSubstr(std::to_string(port)));
}

TEST_F(HubTest, PlainHttpAndOpenRegistryAreForLoopbackOnly) {
  for (const bool plain : {true, false}) {
    const auto hub = Hub::Start({.data = Data(),
                                 .listen_address = "0.0.0.0",
                                 .listen_port = 0,
                                 .plain_http = plain,
                                 .open_registry = !plain});
    ASSERT_FALSE(hub);
    EXPECT_EQ(hub.error().code(), ErrorCode::kInvalidArgument);
  }
}

TEST_F(HubTest, OpenRegistryTakesAnyonesPush) {
  StartHub({.plain_http = true, .open_registry = true});
  EXPECT_TRUE(hub_->url().starts_with("http://127.0.0.1:"));
  EXPECT_TRUE(Push({}, "models/milling", "1", MakePackage(directory_.path() / "package", "1")));
  EXPECT_EQ(Call({}, "GET", "/v1/sites").status, 401);
}

TEST_F(HubTest, SecretsAreForTheOwnerAlone) {
  StartHub();
  for (const char* file : {"admin.token", "endpoint.json", "hub.db", "keys/hub.key",
                           "keys/model.key", "keys/server.key", "ca/ca.key"})
    EXPECT_EQ(ModeOf(Data() / file), 0600U) << file;
  const Json endpoint = Must(ParseJson(Must(ReadFile(Data() / "endpoint.json", 4096))));
  EXPECT_EQ(endpoint["url"], hub_->url());
  EXPECT_EQ(endpoint["pid"], getpid());
  EXPECT_EQ(Must(ReadFile(std::string(endpoint["token_file"]), 4096)), hub_->admin_token() + "\n");
  hub_->Stop();
  EXPECT_FALSE(fs::exists(Data() / "endpoint.json"));
  hub_.reset();
  fs::permissions(Data() / "admin.token", fs::perms::group_read, fs::perm_options::add);
  EXPECT_EQ(Hub::Start({.data = Data(), .listen_port = 0}).error().code(),
            ErrorCode::kPermissionDenied);
}

TEST_F(HubTest, EverythingIsThereAfterARestart) {
  StartHub();
  JoinSite(north_);
  const Artifact shipment = north_.Ship({north_.Seal({})});
  const Receipt before = OpenReceipt(PushShipment(north_, "a", shipment), grants_.at("north"));
  hub_.reset();
  StartHub();
  const Receipt after = OpenReceipt(PushShipment(north_, "a", shipment), grants_.at("north"));
  EXPECT_EQ(after.hub_incarnation, before.hub_incarnation);
  EXPECT_EQ(after.counter, before.counter);
  EXPECT_EQ(after.streams, before.streams);
}

TEST_F(HubTest, ARestoredHubIsTheLaterOneOfTwoAndSaysSoInItsFirstAnswer) {
  StartHub();
  JoinSite(north_);
  const fs::path backup = directory_.path() / "backup";
  hub_->Stop();
  hub_.reset();
  fs::copy(Data(), backup, fs::copy_options::recursive);
  StartHub();
  const std::string held = PushShipment(north_, "a", north_.Ship({north_.Seal({})}));
  const Receipt before = OpenReceipt(held, grants_.at("north"));
  hub_->Stop();
  hub_.reset();
  fs::remove_all(Data());
  fs::rename(backup, Data());
  StartHub();
  const HttpReply first =
      Call(SiteOptions(north_), "GET", "/tuf/metadata/timestamp.json?site=north");
  EXPECT_EQ(first.Header("Skerry-Receipt"), before.hub_incarnation + "-0");
  const HttpReply shown = Call(SiteOptions(north_), "POST", "/v1/sites/north/receipt", held);
  ASSERT_EQ(shown.status, 200) << shown.body;
  const Receipt after = OpenReceipt(shown.body, grants_.at("north"));
  EXPECT_EQ(after.hub_restores, 1U);
  EXPECT_NE(after.hub_incarnation, before.hub_incarnation);
  EXPECT_TRUE(after.streams.empty());
  EXPECT_EQ(Call(SiteOptions(north_), "POST", "/v1/sites/north/receipt", "{}").status / 100, 4);

  hub_->Stop();
  hub_.reset();
  StartHub({.restored = true});
  const HttpReply told = Call(SiteOptions(north_), "GET", "/v1/sites/north/receipt");
  EXPECT_EQ(OpenReceipt(told.body, grants_.at("north")).hub_restores, 2U);
}

TEST_F(HubTest, StartPageHasAStrictPolicy) {
  StartHub();
  const HttpReply page = Call(NobodyOptions(), "GET", "/");
  EXPECT_EQ(page.status, 200);
  EXPECT_THAT(std::string(page.Header("Content-Security-Policy")),
              HasSubstr("default-src 'none'; script-src 'self'"));
  EXPECT_EQ(Call(NobodyOptions(), "GET", "/healthz").status, 200);
  EXPECT_THAT(Call(NobodyOptions(), "GET", "/metrics").body,
              HasSubstr("skerry_hub_shipments_total"));
}

// A hub in a process of its own, killed when the store has committed and before anybody has read an
// answer.
class KilledHubTest : public HubTest {
 protected:
  ~KilledHubTest() override { Kill(); }

  void Spawn() {
    fs::remove(Data() / "endpoint.json");
    std::string program = "hub_tests";
    std::string word = "__hub";
    std::string data = Data().string();
    char* const arguments[] = {program.data(), word.data(), data.data(), nullptr};
    ASSERT_EQ(posix_spawn(&pid_, "/proc/self/exe", nullptr, nullptr, arguments, environ), 0);
    while (!fs::exists(Data() / "endpoint.json")) std::this_thread::yield();
    const Json endpoint = Must(ParseJson(Must(ReadFile(Data() / "endpoint.json", 4096))));
    url_ = endpoint["url"];
  }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  HttpClientOptions TokenOptions() const {
    HttpClientOptions options;
    options.bearer_token = Must(ReadFile(Data() / "admin.token", 4096));
    options.bearer_token.pop_back();
    return options;
  }
  // Sends a manifest PUT and reads no answer.
  int SendManifest(const Artifact& artifact, const std::string& tag) const {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(Must(Url::Parse(url_)).port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const std::string request = fmt::format(
        "PUT /v2/sites/north/outbox/manifests/{} HTTP/1.1\r\nHost: hub\r\nContent-Type: "
        "{}\r\nContent-Length: {}\r\n\r\n{}",
        tag, media_types::kImageManifest, artifact.manifest_bytes.size(), artifact.manifest_bytes);
    EXPECT_EQ(send(fd, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
    return fd;
  }
  void WaitUntilCommitted() const {
    const auto db = Must(Database::Open(Data() / "hub.db", {.read_only = true}));
    while (true) {
      SqlStatement count = Must(db->Prepare("SELECT count(*) FROM segments"));
      if (Must(count.Step()) && count.Int(0) > 0) return;
      std::this_thread::yield();
    }
  }

  pid_t pid_ = 0;
  std::string url_;
};

TEST_F(KilledHubTest, RepeatAfterAKillBetweenStoringAndAnsweringGivesOneCopy) {
  Spawn();
  HttpClient admin(TokenOptions());
  const HttpReply token = Must(
      admin.Send({.method = "POST", .url = url_ + "/v1/tokens", .body = R"({"site":"north"})"}));
  const JoinToken join_token = Must(JoinToken::FromJson(token.body));
  const HttpReply grant =
      Must(admin.Send({.method = "POST",
                       .url = url_ + "/v1/join",
                       .body = Must(MakeJoinRequest(join_token, north_.key())).ToJson()}));
  ASSERT_EQ(grant.status, 200) << grant.body;
  const Artifact shipment = north_.Ship({north_.Seal({.rows = 50})});
  RegistryClient registry(url_, admin);
  for (const BlobSource& blob : shipment.blobs) Must(registry.PushBlob("sites/north/outbox", blob));
  const int fd = SendManifest(shipment, "one");
  WaitUntilCommitted();
  Kill();
  close(fd);

  Spawn();
  HttpClient again(TokenOptions());
  const PutReply reply =
      Must(RegistryClient(url_, again).PushArtifact("sites/north/outbox", "one", shipment));
  const JoinGrant known = Must(VerifyJoinGrant(grant.body, join_token, north_.key().public_key()));
  EXPECT_EQ(OpenReceipt(reply.body, known).streams.at(0).received.ToJson().dump(), "[[1,50]]");
  const HttpReply sum =
      Must(again.Send({.url = url_ + "/v1/sites/north/reconciliation?recount=1"}));
  const Json json = Must(ParseJson(sum.body));
  EXPECT_EQ(json["terms"]["received"], 50);
  EXPECT_EQ(json["recount"]["rows"], 50);
  EXPECT_EQ(json["recount"]["duplicates"], 0);
  EXPECT_EQ(json["duplicates_ignored"], 50);
}

}  // namespace
}  // namespace skerry
