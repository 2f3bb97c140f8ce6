#include "site/site.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <future>
#include <thread>

#include "base/ids.h"
#include "codec/json.h"
#include "crypto/certificate.h"
#include "http/client.h"
#include "http/tcp_proxy.h"
#include "model/tests/fixture_package.h"
#include "storage/file.h"
#include "sync/bundle.h"
#include "sync/tests/test_hub.h"

namespace skerry {
namespace {

using testing::HasSubstr;

constexpr const char* kScore = R"({"type":"M","torque_nm":42,"tool_wear_min":108,"unit_id":"u1",
                                   "operator_note":"call Jo"})";
constexpr const char* kPolicy = R"(skerry: policy/1
name: milling
version: 1
default: drop
fields:
  torque_nm: {action: keep, rule: process-values}
  tool_wear_min: {action: bucket, width: 10, rule: wear-in-tens}
derived:
  prediction: keep
  score: keep
  status: keep
classes:
  sample: {rate: 1}
)";

class SiteTest : public testing::Test {
 protected:
  SiteOptions Options() {
    SiteOptions options;
    options.data = Path("site");
    options.name = "north";
    options.http_port = 0;
    options.smoke_memory_bytes = 0;                 // a sanitizer's shadow is larger than any limit
    options.sync_interval = std::chrono::hours(1);  // rounds come by SyncNow
    return options;
  }
  void StartSite(SiteOptions options) {
    auto started = Site::Start(std::move(options));
    ASSERT_TRUE(started) << started.error().message();
    site_ = std::move(*started);
  }
  // A site that joined `hub` over the link and runs version 1 of model and policy; what it was
  // told.
  DesiredState StartJoined(TestHub& hub) {
    SiteOptions options = Options();
    options.token_file = Path("token.json");
    Must(hub.MakeToken("north", hub.url()).Save(options.token_file));
    DesiredState state;
    state.version = 1;
    state.active = hub.Publish(MakePackage("one"), "milling", "1");
    state.policy = hub.PublishPolicy("milling", "1", kPolicy);
    hub.SetDesired(state);
    StartSite(options);
    Must(site_->SyncNow());
    return state;
  }
  std::filesystem::path Path(const std::string& name) const { return directory_.path() / name; }

  static HttpReply Call(const std::string& method, const std::string& url, std::string body = "",
                        std::string token = "") {
    HttpClientOptions options;
    options.bearer_token = std::move(token);
    HttpCall call;
    call.method = method;
    call.url = url;
    if (!body.empty()) call.headers.emplace_back("Content-Type", "application/json");
    call.body = std::move(body);
    return HttpClient(std::move(options)).Send(call).value();
  }
  HttpReply Score() const { return Call("POST", site_->url() + "/v1/score", kScore); }
  Json Control(const std::string& method, const std::string& path, const Json& body = {}) const {
    const HttpReply reply = Call(method, site_->control_url() + path,
                                 body.is_null() ? "" : DumpJson(body), site_->control_token());
    EXPECT_EQ(reply.status, 200) << reply.body;
    return ParseJson(reply.body).value();
  }

  std::filesystem::path MakePackage(const std::string& name, float split = 60) const {
    fixture::WritePackage(Path(name), {.model = {.split = split}});
    return Path(name);
  }

  // A token by hand, then what a courier brings: grant, desired state, model, policy.
  std::filesystem::path MakeBundle(TestHub& hub, const std::string& name, std::uint64_t version,
                                   const ModelRef& model, const PolicyRef& policy,
                                   const std::string& grant) {
    DesiredState state;
    state.version = version;
    state.active = model;
    state.policy = policy;
    BundleWriter writer =
        BundleWriter::Create(Path(name), {RandomHex(16), BundleDirection::kToSite, "north"})
            .value();
    if (!grant.empty()) Must(writer.AddDocument(BundleKind::kJoinGrant, "grant", grant));
    Must(writer.AddArtifact(BundleKind::kDesiredState, "desired", hub.SetDesired(state)));
    const std::string repository = "models/" + model.name;
    Must(writer.AddArtifact(
        BundleKind::kModel, model.ToString(),
        hub.registry().GetArtifact(repository, model.digest.ToString()).value()));
    const auto signatures = hub.registry().Referrers(repository, model.digest, "").value();
    for (const Descriptor& signature : signatures)
      Must(writer.AddArtifact(
          BundleKind::kSignature, model.ToString(),
          hub.registry().GetArtifact(repository, signature.digest.ToString()).value()));
    Must(writer.AddArtifact(
        BundleKind::kPolicy, policy.ToString(),
        hub.registry().GetArtifact("policies/milling", policy.digest.ToString()).value()));
    Must(writer.Finish());
    return Path(name);
  }

  SystemClock clock_;
  TemporaryDirectory directory_ = TemporaryDirectory::Create("site").value();
  std::unique_ptr<Site> site_;
};

TEST_F(SiteTest, BatchedRowsWaitForTheirTurnAreRefusedBeyondTheLimitAndAreCapturedAtTheDrain) {
  TestHub hub(Path("hub"), TestHub::Transport::kTls, clock_);
  StartJoined(hub);
  SiteOptions options = Options();
  options.queue.batch_rows = 64;
  options.queue.batch_delay = std::chrono::hours(1);
  options.queue.requests_per_model = 1;
  site_.reset();
  StartSite(options);
  constexpr const char* kInfer = R"({"inputs":[
      {"name":"type","datatype":"BYTES","shape":[1],"data":["M"]},
      {"name":"torque_nm","datatype":"FP32","shape":[1],"data":[42]},
      {"name":"tool_wear_min","datatype":"FP32","shape":[1],"data":[108]}]})";
  const auto infer = [&] {
    return Call("POST", site_->url() + "/v2/models/milling/infer", kInfer);
  };
  auto waiting = std::async(std::launch::async, infer);
  const std::string pending =
      R"(nv_inference_pending_request_count{model="milling",version="1"} 1)";
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (Call("GET", site_->url() + "/metrics").body.find(pending) == std::string::npos &&
         std::chrono::steady_clock::now() < patience)
    std::this_thread::yield();
  EXPECT_THAT(Call("GET", site_->url() + "/metrics").body, HasSubstr(pending));
  const HttpReply refused = infer();
  EXPECT_EQ(refused.status, 503) << refused.body;
  EXPECT_FALSE(refused.Header("Retry-After").empty());
  site_->Stop();
  const HttpReply answer = waiting.get();
  ASSERT_EQ(answer.status, 200) << answer.body;
  site_.reset();
  StartSite(Options());
  const Json parameters = ParseJson(answer.body).value()["parameters"];
  const std::string row = parameters["instance"].get<std::string>() + "-" +
                          std::to_string(parameters["first_n"].get<std::uint64_t>());
  const Json fate = Control("POST", "/v1/rows/lookup", Json{{"rows", Json::array({row})}});
  EXPECT_EQ(fate["found"], 1) << fate.dump(2);
}

TEST_F(SiteTest, TheQueueIsSetInTheConfigurationFile) {
  SiteOptions options = Options();
  const auto load = [&](const std::string& yaml) {
    std::ofstream(Path("site.yaml")) << yaml;
    return options.LoadConfig(Path("site.yaml"));
  };
  Must(
      load("scoring: {threads: 3, queue_limit: 7, batch_size: 32, batch_delay_us: 500,\n"
           "  inline_limit_us: 0, drain: 4s}"));
  EXPECT_EQ(options.queue.threads, 3);
  EXPECT_EQ(options.queue.requests_per_model, 7U);
  EXPECT_EQ(options.queue.batch_rows, 32U);
  EXPECT_EQ(options.queue.batch_delay, std::chrono::microseconds(500));
  EXPECT_EQ(options.queue.inline_limit, std::chrono::microseconds(0));
  EXPECT_EQ(options.drain, std::chrono::seconds(4));
  const Status refused = load("scoring: {batch_size: 0}");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(),
              HasSubstr("scoring.batch_size is 0, must be 1 to 1000000"));
}

TEST_F(SiteTest, StartsWithNoHubAndNoModelAndSaysThatItIsNotReady) {
  StartSite(Options());
  EXPECT_EQ(Call("GET", site_->url() + "/v2/health/live").status, 200);
  EXPECT_NE(Call("GET", site_->url() + "/v2/health/ready").status, 200);
  const int score = Score().status;
  EXPECT_TRUE(score == 404 || score == 503) << score;
  const Json facts = Control("GET", "/v1/site");
  EXPECT_EQ(facts["site"], "north");
  EXPECT_TRUE(facts["exchange"].is_null());
  EXPECT_FALSE(site_->SyncNow());
  EXPECT_EQ(Call("GET", site_->url() + "/metrics").status, 200);
}

TEST_F(SiteTest, EndpointFileLeadsToItAndGoesWithIt) {
  StartSite(Options());
  const Json endpoint = ParseJson(ReadFile(Path("site/endpoint.json"), 1 << 16).value()).value();
  EXPECT_EQ(endpoint["url"], site_->url());
  const std::string token_file = endpoint["token_file"];
  EXPECT_EQ(ReadFile(token_file, 1024).value(), site_->control_token());
  for (const std::string& path : {token_file, Path("site/endpoint.json").string()}) {
    struct stat facts{};
    ASSERT_EQ(::stat(path.c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777U, 0600U) << path;
  }
  site_->Stop();
  EXPECT_FALSE(std::filesystem::exists(Path("site/endpoint.json")));
}

TEST_F(SiteTest, ControlRoutesWantTheToken) {
  StartSite(Options());
  EXPECT_EQ(Call("GET", site_->url() + "/v1/site").status, 401);
  EXPECT_EQ(Call("GET", site_->url() + "/v1/site", "", "guess").status, 401);
  EXPECT_EQ(Call("POST", site_->url() + "/v1/bundles/import", R"({"path":"relative"})",
                 site_->control_token())
                .status,
            400);
}

TEST_F(SiteTest, DataDirectoryThatAnotherProcessHoldsAndPortInUseAreSaid) {
  StartSite(Options());
  const auto second = Site::Start(Options());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), ErrorCode::kFailedPrecondition);
  SiteOptions other = Options();
  other.data = Path("other");
  other.http_port =
      static_cast<std::uint16_t>(std::stoi(site_->url().substr(site_->url().rfind(':') + 1)));
  const auto taken = Site::Start(other);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code(), ErrorCode::kUnavailable);
  EXPECT_THAT(taken.error().message(), HasSubstr(std::to_string(other.http_port)));
}

TEST_F(SiteTest, WithoutANameTheErrorSaysHowToGiveOne) {
  SiteOptions options = Options();
  options.name = "";
  const auto started = Site::Start(options);
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message(), HasSubstr("--token-file"));
  options.name = "North Pole";
  EXPECT_EQ(Site::Start(options).error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(SiteTest, ConfigurationFileSetsOptionsAndRefusesUnknownKeys) {
  std::ofstream(Path("site.yaml")) << "capture: async\nhttp:\n  port: 0\noutbox:\n"
                                      "  quota_bytes: 64MiB\n";
  SiteOptions options;
  ASSERT_TRUE(options.LoadConfig(Path("site.yaml")));
  EXPECT_EQ(options.capture, CaptureMode::kAsync);
  EXPECT_EQ(options.http_port, 0);
  EXPECT_EQ(options.quota_bytes, 64U << 20U);
  for (const char* bad : {"captur: async\n", "capture: often\n", "http: {port: 70000}\n"}) {
    std::ofstream(Path("bad.yaml")) << bad;
    EXPECT_FALSE(options.LoadConfig(Path("bad.yaml"))) << bad;
  }
  EXPECT_EQ(options.capture, CaptureMode::kAsync) << "a refused file changes nothing";
  EXPECT_THAT(SiteOptions::ConfigReference(), HasSubstr("outbox.quota_bytes"));
}

TEST_F(SiteTest, AccessComesFromTheConfigurationFileToo) {
  std::ofstream(Path("site.yaml")) << "access:\n  tls_cert: c.pem\n  tls_key: k.pem\n"
                                      "  client_ca: ca.pem\n  api_keys: keys\n  plain_http: true\n";
  SiteOptions options;
  ASSERT_TRUE(options.LoadConfig(Path("site.yaml")));
  EXPECT_EQ(options.access.tls_cert, "c.pem");
  EXPECT_EQ(options.access.tls_key, "k.pem");
  EXPECT_EQ(options.access.client_ca, "ca.pem");
  EXPECT_EQ(options.access.api_keys, "keys");
  EXPECT_TRUE(options.access.plain_http);
}

TEST_F(SiteTest, ApiKeysOpenScoringAndNoControlRoute) {
  SiteOptions options = Options();
  options.access.api_keys = Path("keys");
  const std::string key = AddApiKey(options.access.api_keys, "line-3").value();
  StartSite(options);
  EXPECT_EQ(Call("GET", site_->url() + "/v2/health/live").status, 200);
  EXPECT_EQ(Score().status, 401);
  EXPECT_EQ(Call("GET", site_->url() + "/metrics").status, 401);
  EXPECT_EQ(Call("GET", site_->url() + "/v1/models", "", key).status, 200);
  EXPECT_EQ(Call("GET", site_->url() + "/v1/models", "", site_->control_token()).status, 401);
  EXPECT_EQ(Call("GET", site_->url() + "/v1/site", "", key).status, 401);
  EXPECT_EQ(Control("GET", "/v1/site")["site"], "north");
}

TEST_F(SiteTest, WhereScoringSpeaksTlsTheControlRoutesHaveALoopbackDoorOfTheirOwn) {
  std::filesystem::create_directory(Path("ca"));
  const auto ca = CertificateAuthority::LoadOrCreate(Path("ca"), "test CA", clock_).value();
  const PrivateKey key = PrivateKey::Generate().value();
  const std::vector<std::string> names = {"127.0.0.1"};
  Must(WriteFileDurably(Path("server.pem"), ca.IssueServer(key.public_key(), names).value()));
  Must(WriteFileDurably(Path("server.key"), key.ToPem().value(), 0600));
  SiteOptions options = Options();
  options.access.tls_cert = Path("server.pem");
  options.access.tls_key = Path("server.key");
  StartSite(options);
  EXPECT_THAT(site_->url(), testing::StartsWith("https://127.0.0.1:"));
  EXPECT_THAT(site_->control_url(), testing::StartsWith("http://127.0.0.1:"));
  HttpClientOptions client;
  client.ca_pem = ca.certificate_pem();
  client.bearer_token = site_->control_token();
  const auto get = [&](const std::string& url) {
    HttpCall call;
    call.url = url;
    return HttpClient(client).Send(call).value().status;
  };
  EXPECT_EQ(get(site_->url() + "/v2/health/live"), 200);
  EXPECT_EQ(get(site_->url() + "/v1/site"), 404) << "no control route is there";
  EXPECT_EQ(get(site_->control_url() + "/v1/models"), 404) << "and no scoring here";
  EXPECT_EQ(Call("GET", site_->control_url() + "/v1/site").status, 401);
  EXPECT_EQ(Control("GET", "/v1/site")["site"], "north");
  const Json endpoint = ParseJson(ReadFile(Path("site/endpoint.json"), 1 << 16).value()).value();
  EXPECT_EQ(endpoint["url"], site_->control_url());
}

TEST_F(SiteTest, BeyondLoopbackTheControlRoutesStayOnIt) {
  SiteOptions options = Options();
  options.http_address = "::ffff:127.0.0.1";  // does not count as loopback
  const auto refused = Site::Start(options);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("--plain-http"));
  EXPECT_FALSE(std::filesystem::exists(Path("site"))) << "refused before anything is made";
  options.access.plain_http = true;
  StartSite(options);
  EXPECT_EQ(Call("GET", site_->url() + "/v1/site", "", site_->control_token()).status, 404);
  EXPECT_EQ(Control("GET", "/v1/site")["site"], "north");
}

TEST_F(SiteTest, MediaAloneJoinsDeploysScoresAndBringsTheRowsOut) {
  TestHub hub(Path("hub"), TestHub::Transport::kPlain, clock_);
  SiteOptions options = Options();
  options.token_file = Path("token.json");
  Must(hub.MakeToken("north", "").Save(options.token_file));
  StartSite(options);
  Control("POST", "/v1/bundles/export", {{"path", Path("out1")}});
  const BundleReader out = BundleReader::Open(Path("out1")).value();
  const auto request = JoinRequest::FromJson(out.ReadDocument(out.parts()[0], 1 << 20).value());
  const std::string grant = hub.Grant(request.value()).value();
  const ModelRef model = hub.Publish(MakePackage("one"), "milling", "1");
  const PolicyRef policy = hub.PublishPolicy("milling", "1", kPolicy);
  const auto in = MakeBundle(hub, "in", 1, model, policy, grant);
  const Json imported = Control("POST", "/v1/bundles/import", {{"path", in}});
  EXPECT_EQ(imported["refused"].size() + imported["missing"].size(), 0U) << imported.dump(2);
  EXPECT_EQ(Call("GET", site_->url() + "/v2/health/ready").status, 200);

  const HttpReply scored = Score();
  ASSERT_EQ(scored.status, 200) << scored.body;
  const Json parameters = ParseJson(scored.body).value()["parameters"];
  const std::string row = parameters["instance"].get<std::string>() + "-" +
                          std::to_string(parameters["first_n"].get<std::uint64_t>());
  const std::string unknown = InstanceId::Random().ToString() + "-1";
  const Json fates = Control("POST", "/v1/rows/lookup", {{"rows", {row, unknown}}});
  EXPECT_EQ(fates["found"], 1) << fates.dump(2);
  EXPECT_EQ(fates["missing"], Json::array({unknown}));
  EXPECT_EQ(fates["fates"][0]["disposition"], "sample");
  Control("POST", "/v1/outbox/seal");
  const Json exported = Control("POST", "/v1/bundles/export", {{"path", Path("out2")}});
  EXPECT_EQ(exported["written"], 3) << exported.dump(2);  // status, custody and one shipment
  EXPECT_EQ(Control("GET", "/v1/outbox")["sealed_primary_rows"], 1);
}

TEST_F(SiteTest, RowsOfAStreamAreInTheLedgerWhenTheirLinesCome) {
  TestHub hub(Path("hub"), TestHub::Transport::kTls, clock_);
  StartJoined(hub);
  constexpr std::size_t kRows = 5'000;
  HttpCall call;
  call.method = "POST";
  call.url = site_->url() + "/v1/score";
  call.headers = {{"Content-Type", "application/x-ndjson"}};
  for (std::size_t i = 0; i < kRows; ++i)
    call.body += fmt::format(R"({{"type":"M","torque_nm":{},"tool_wear_min":1}})"
                             "\n",
                             i % 80);
  const HttpReply reply = HttpClient({}).Send(call).value();
  EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(std::count(reply.body.begin(), reply.body.end(), '\n'), kRows);
  EXPECT_EQ(Control("GET", "/v1/site")["counters"]["scored"], kRows);
}

TEST_F(SiteTest, PolicyIsExplainedFieldByField) {
  TestHub hub(Path("hub"), TestHub::Transport::kTls, clock_);
  StartJoined(hub);
  const Json explained =
      Control("POST", "/v1/policy/explain", {{"row", ParseJson(kScore).value()}});
  EXPECT_EQ(explained["policy"], "milling:1");
  std::map<std::string, Json> fields;
  for (const Json& field : explained["fields"]) fields[field["field"]] = field;
  EXPECT_EQ(fields["tool_wear_min"]["rule"], "wear-in-tens");
  EXPECT_EQ(fields["operator_note"]["rule"], "default-deny");
  EXPECT_EQ(fields["operator_note"]["after"], "");
  const Json facts = Control("GET", "/v1/site");
  EXPECT_EQ(facts["model"]["version"], "1");
  EXPECT_EQ(facts["exchange"]["connected"], true);
  EXPECT_EQ(hub.status()->active_model, "milling:1");
  EXPECT_EQ(hub.status()->desired_version, 1U);
}

TEST_F(SiteTest, RestartsAndScoresWithTheHubGoneAndTheTokenFileToo) {
  std::uint64_t hub_rows = 0;
  {
    TestHub hub(Path("hub"), TestHub::Transport::kTls, clock_);
    StartJoined(hub);
    ASSERT_EQ(Score().status, 200);
    Control("POST", "/v1/outbox/seal");
    ASSERT_TRUE(site_->SyncNow());
    hub_rows = hub.primary_rows();
    site_.reset();
  }
  EXPECT_EQ(hub_rows, 1U);
  std::filesystem::remove(Path("token.json"));
  SiteOptions options = Options();
  options.token_file = Path("token.json");
  FakeClock wrong(0);  // 1970
  auto started = Site::Start(options, &wrong);
  ASSERT_TRUE(started) << started.error().message();
  site_ = std::move(*started);
  EXPECT_FALSE(site_->SyncNow());
  EXPECT_EQ(Score().status, 200);
  const Json facts = Control("GET", "/v1/site");
  EXPECT_EQ(facts["identity"]["joined"], true);
  EXPECT_EQ(facts["counters"]["scored"], 2);
  EXPECT_NE(facts["exchange"]["last_error"], "");
}

TEST_F(SiteTest, LastRowsOfEntitiesOutliveARestart) {
  TestHub hub(Path("hub"), TestHub::Transport::kTls, clock_);
  DesiredState state = StartJoined(hub);
  fixture::PackageFiles files;
  files.model = {.features = 4, .feature = 3, .split = 60};
  files.windows = {.entity = "unit_id",
                   .time = "operator_note",
                   .features = {{"mean", WindowStatistic::kMean, "torque_nm", 2}}};
  fixture::WritePackage(Path("windowed"), files);
  state.version = 2;
  state.active = hub.Publish(Path("windowed"), "milling", "2");
  hub.SetDesired(state);
  ASSERT_TRUE(site_->SyncNow());
  const auto score = [&](int torque) {
    const HttpReply reply = Call(
        "POST", site_->url() + "/v1/score",
        fmt::format(R"({{"type":"L","torque_nm":{},"tool_wear_min":1,"unit_id":"a"}})", torque));
    EXPECT_EQ(reply.status, 200) << reply.body;
    return ParseJson(reply.body).value()["results"][0]["score"].get<double>();
  };
  EXPECT_GT(score(80), 0.5);
  site_.reset();
  StartSite(Options());
  EXPECT_GT(score(41), 0.5) << "80 and 41";
  EXPECT_LT(score(41), 0.5) << "41 and 41";
}

TEST_F(SiteTest, ModelIsSwappedUnderLoadWithNoAnswerOtherThan200) {
  TestHub hub(Path("hub"), TestHub::Transport::kTls, clock_);
  DesiredState state = StartJoined(hub);

  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> good{0};
  std::atomic<std::uint64_t> other{0};
  std::vector<std::thread> load;
  for (int i = 0; i < 3; ++i)
    load.emplace_back([&] {
      HttpClient client{HttpClientOptions{}};
      HttpCall call;
      call.method = "POST";
      call.url = site_->url() + "/v1/score";
      call.headers.emplace_back("Content-Type", "application/json");
      call.body = kScore;
      while (!stop) {
        const auto reply = client.Send(call);
        ++(reply && reply->status == 200 ? good : other);
      }
    });
  const ModelRef one = state.active;
  const ModelRef two = hub.Publish(MakePackage("two", 30), "milling", "2");
  for (std::uint64_t version = 2; version <= 7; ++version) {
    const std::uint64_t before = good;
    while (good < before + 20) std::this_thread::yield();
    state.version = version;
    state.active = version % 2 == 0 ? two : one;
    state.fallback = one;
    hub.SetDesired(state);
    const Status synced = site_->SyncNow();
    EXPECT_TRUE(synced) << synced.error().message();
    EXPECT_EQ(Control("GET", "/v1/site")["model"]["version"], state.active.version);
  }
  stop = true;
  for (std::thread& thread : load) thread.join();
  EXPECT_EQ(other, 0U);
  const Json facts = Control("GET", "/v1/site");
  EXPECT_EQ(facts["counters"]["scored"], good.load()) << "every 200 is in the ledger";
  EXPECT_EQ(facts["counters"]["withheld"], 0) << "no row met a policy that was not its own";
}

}  // namespace
}  // namespace skerry
