#include "site/site.h"

#include <unistd.h>

#include <atomic>
#include <thread>
#include <utility>

#include "base/ids.h"
#include "base/log.h"
#include "base/metrics.h"
#include "codec/json.h"
#include "http/url.h"
#include "model/smoke.h"
#include "outbox/outbox.h"
#include "rpc/drain.h"
#include "rpc/server.h"
#include "serve/access_watch.h"
#include "serve/repository.h"
#include "serve/row_numbers.h"
#include "serve/run_queue.h"
#include "serve/scoring_server.h"
#include "site/active_model.h"
#include "site/capture_routes.h"
#include "site/control_routes.h"
#include "site/data_format.h"
#include "site/outbox_capture.h"
#include "site/policy_desk.h"
#include "storage/claimed_directory.h"
#include "storage/file.h"
#include "sync/bundle_stream.h"
#include "sync/deployer.h"
#include "sync/exchange.h"
#include "sync/package_check.h"
#include "sync/supply.h"
#include "trust/certificate_times.h"
#include "trust/identity.h"

namespace skerry {
namespace {

Result<std::string> LoadOrCreateControlToken(const std::filesystem::path& path) {
  if (auto held = ReadFile(path, 1024); held && !held->empty()) return held;
  std::string token = RandomHex(32);
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(path, token, 0600));
  return token;
}

}  // namespace

// In the order of their making; taken down from the last to the first.
struct Site::Parts {
  Parts(SiteOptions given, const Clock* given_clock)
      : options(std::move(given)),
        clock(given_clock == nullptr ? &system_clock : given_clock),
        row_numbers(InstanceId::Random()) {}

  std::vector<std::string> Addresses() const;
  AccessOptions ScorerOptions() const;
  Status ReadAccess();
  Status OpenData();
  Status OpenIdentity();
  Status OpenOutbox();
  Status OpenReleases();
  Status OpenDeployer();
  Status MakeExchange();
  ControlParts MakeControl();
  Status StartServers();
  void AddCaptureRoutes(std::vector<Route>& routes);
  Status StartControlServer();
  Status WatchAccess();
  Status StartRegistry();
  Status WriteEndpoint();
  Result<std::string> MakeStatus();
  std::vector<std::string> Alarms() const;

  SiteOptions options;
  SystemClock system_clock;
  const Clock* clock;
  MetricRegistry metrics, control_metrics, registry_metrics;
  RowNumbers row_numbers;
  Access access;
  std::optional<Access> scorer_access;  // none: no scorers
  std::string control_token;
  std::optional<DirectoryLock> lock;
  std::unique_ptr<SiteIdentity> identity;
  std::unique_ptr<PolicyDesk> desk;  // the outbox asks it what to recall
  std::unique_ptr<Outbox> outbox;
  ModelRepository repository;
  std::unique_ptr<ActiveModel> active;
  std::unique_ptr<Journal> journal;  // null when it is off
  std::unique_ptr<OutboxCapture> capture;
  std::unique_ptr<ReleaseInstaller> releases;
  std::unique_ptr<Deployer> deployer;
  std::atomic<std::uint64_t> applied_desired_version{0};
  std::unique_ptr<Exchange> exchange;
  std::unique_ptr<PackageCheck> package_check;
  BundleProgress bundle_progress;
  std::unique_ptr<CustodyList> custody;
  AgeIdentity bundle_key;
  std::unique_ptr<SiteRegistry> images;  // null without a registry.address
  std::optional<RunQueue> queue;
  std::unique_ptr<ScoringServer> server;
  std::unique_ptr<RpcServer> rpc;        // null without a grpc.address
  std::unique_ptr<HttpServer> control;   // null when `server` has the control routes
  std::unique_ptr<HttpServer> registry;  // null without `images`
  std::unique_ptr<AccessWatch> watch;
  std::unique_ptr<AccessWatch> scorer_watch;  // null without scorers
  std::string url, control_url, registry_url;
  std::atomic<bool> stopped{false};
};

std::vector<std::string> Site::Parts::Addresses() const {
  std::vector<std::string> addresses = {options.http_address};
  if (!options.grpc_address.empty()) addresses.push_back(options.grpc_address);
  if (!options.registry_address.empty()) addresses.push_back(options.registry_address);
  return addresses;
}

// Scorers have a file of keys of their own, and nothing else.
AccessOptions Site::Parts::ScorerOptions() const {
  AccessOptions scorers;
  scorers.api_keys = options.scorer_keys;
  return scorers;
}

Status Site::Parts::ReadAccess() {
  SKERRY_ASSIGN_OR_RETURN(access, LoadAccess(options.access, Addresses()));
  if (!options.scorer_keys.empty()) {
    SKERRY_ASSIGN_OR_RETURN(scorer_access, LoadAccess(ScorerOptions(), {}), "scorers' keys");
  }
  return {};
}

Status Site::Parts::OpenData() {
  if (options.data.empty())
    return Fail(ErrorCode::kInvalidArgument, "a site needs a data directory: --data DIR");
  SKERRY_RETURN_IF_ERROR(CreateDirectories(options.data, 0700));
  options.data = std::filesystem::absolute(options.data);
  SKERRY_ASSIGN_OR_RETURN(DirectoryLock held, DirectoryLock::Acquire(options.data));
  lock.emplace(std::move(held));
  SKERRY_RETURN_IF_ERROR(ClaimDataFormat(options.data));
  RemoveUnclaimed(kBundleStream, options.data);
  // One left behind by a process that was killed points nowhere.
  SKERRY_RETURN_IF_ERROR(RemoveFile(options.data / "endpoint.json"));
  SKERRY_ASSIGN_OR_RETURN(control_token, LoadOrCreateControlToken(options.data / "control.token"));
  return {};
}

Status Site::Parts::OpenIdentity() {
  SKERRY_ASSIGN_OR_RETURN(identity, SiteIdentity::Open(options.data / "identity", options.name));
  identity->ShowIn(metrics);
  if (!options.token_file.empty()) {
    // A site that has joined needs no token any more, so it may be gone by now.
    std::error_code error;
    if ((identity->joined() || identity->has_token()) &&
        !std::filesystem::exists(options.token_file, error))
      return {};
    SKERRY_ASSIGN_OR_RETURN(const JoinToken token, JoinToken::Load(options.token_file));
    SKERRY_RETURN_IF_ERROR(identity->TakeToken(token));
  }
  if (!identity->site().empty()) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "this site has no name yet: pass --token-file FILE, or --name NAME");
}

Status Site::Parts::OpenOutbox() {
  OutboxOptions outbox_options;
  outbox_options.directory = options.data / "outbox";
  outbox_options.site = identity->site();
  outbox_options.key = identity->key();
  outbox_options.clock = clock;
  outbox_options.epoch = row_numbers.instance();
  outbox_options.quota_bytes = options.quota_bytes;
  outbox_options.grace_bytes = options.grace_bytes;
  outbox_options.grace_age = options.grace_age;
  outbox_options.segment_rows = options.segment_rows;
  outbox_options.segment_age = options.segment_age;
  outbox_options.urgent_age = options.urgent_age;
  outbox_options.classes = options.classes;
  outbox_options.metrics = &metrics;
  SKERRY_ASSIGN_OR_RETURN(outbox, Outbox::Open(std::move(outbox_options)), "outbox");
  return {};
}

Status Site::Parts::OpenReleases() {
  ReleaseInstallerOptions release_options;
  release_options.data = options.data;
  release_options.program = SelfExecutable();
  release_options.own.build = release_options.own.version =
      options.build.empty() ? "0" : options.build;
  release_options.own.os = "linux";
  release_options.own.architecture = OwnArchitecture();
  release_options.own.data = kDataFormats;
  release_options.slot = options.slot;
  release_options.on_staged = options.on_release_staged;
  SKERRY_ASSIGN_OR_RETURN(releases, ReleaseInstaller::Open(std::move(release_options)), "releases");
  return {};
}

Status Site::Parts::OpenDeployer() {
  SKERRY_RETURN_IF_ERROR(repository.windows().KeepIn(options.data / "windows"));
  SKERRY_ASSIGN_OR_RETURN(
      desk, PolicyDesk::Open(options.data / "policy", options.local_policy, options.approval));
  active = std::make_unique<ActiveModel>(
      repository, *desk, options.capture, identity->policy_hmac_key(),
      [this](ActiveModel::Judge judge) {
        if (const auto recalled = outbox->Recall(std::move(judge)); !recalled)
          LogError(
              "cannot recall what the policy keeps here now, and tries again with the next "
              "statement: {}",
              recalled.error().ToString());
      });
  if (options.journal.bytes > 0) {
    SKERRY_ASSIGN_OR_RETURN(
        journal, Journal::Open(options.data / "journal", options.journal, *clock, metrics),
        "journal");
  }
  capture = std::make_unique<OutboxCapture>(*outbox, *active, journal.get());
  SKERRY_RETURN_IF_ERROR(OpenReleases());
  DeployerOptions deployer_options;
  deployer_options.releases = releases.get();
  deployer_options.data = options.data;
  deployer_options.metrics = &metrics;
  deployer_options.gate.smoke_program =
      options.smoke_program.empty() ? SelfExecutable() : options.smoke_program;
  deployer_options.gate.smoke_limits.memory_bytes = options.smoke_memory_bytes;
  SKERRY_ASSIGN_OR_RETURN(deployer,
                          Deployer::Open(std::move(deployer_options), *identity, *active, *clock));
  deployer->Restore();
  SKERRY_ASSIGN_OR_RETURN(custody, CustodyList::Open(options.data / "custody.jsonl"));
  if (!options.registry_address.empty()) {
    SKERRY_ASSIGN_OR_RETURN(
        images, SiteRegistry::Open({options.data / "registry", options.registry_quota_bytes}),
        "registry");
  }
  SKERRY_ASSIGN_OR_RETURN(bundle_key, AgeIdentity::LoadOrCreate(options.data / "bundle.key"));
  return {};
}

Status Site::Parts::MakeExchange() {
  const std::string hub_url = options.hub_url.empty() ? identity->hub_url() : options.hub_url;
  if (hub_url.empty()) return {};
  ExchangeParts parts;
  parts.identity = identity.get();
  parts.outbox = outbox.get();
  parts.deployer = deployer.get();
  parts.clock = clock;
  parts.metrics = &metrics;
  parts.make_status = [this] { return MakeStatus(); };
  SKERRY_ASSIGN_OR_RETURN(exchange,
                          Exchange::Make({hub_url, options.data / "sync", options.sync_interval,
                                          options.upload_chunk_bytes, options.link},
                                         std::move(parts)));
  return {};
}

ControlParts Site::Parts::MakeControl() {
  ControlParts control_parts;
  control_parts.token = control_token;
  control_parts.instance = row_numbers.instance();
  control_parts.clock = clock;
  control_parts.identity = identity.get();
  control_parts.outbox = outbox.get();
  control_parts.active = active.get();
  control_parts.deployer = deployer.get();
  control_parts.releases = releases.get();
  control_parts.exchange = exchange.get();
  control_parts.bundle_progress = &bundle_progress;
  control_parts.custody = custody.get();
  control_parts.bundle_key = bundle_key;
  control_parts.registry = images.get();
  control_parts.data = options.data;
  control_parts.desk = desk.get();
  control_parts.journal = journal.get();
  control_parts.capture = std::string(CaptureModeName(options.capture));
  control_parts.make_status = [this] { return MakeStatus(); };
  control_parts.alarms = [this] { return Alarms(); };
  return control_parts;
}

// A door of its own, so that scoring's certificates and addresses change nothing for the people and
// programs of this machine.
Status Site::Parts::StartControlServer() {
  HttpServerOptions http;
  http.workers = 2;
  http.stream_workers = 1;
  SKERRY_ASSIGN_OR_RETURN(
      control, HttpServer::Start(std::move(http), ControlRoutes(MakeControl()), control_metrics));
  control_url = fmt::format("http://127.0.0.1:{}", control->port());
  return {};
}

void Site::Parts::AddCaptureRoutes(std::vector<Route>& routes) {
  if (!scorer_access) return;
  for (Route& route : CaptureRoutes(
           {scorer_access->api_keys(), outbox.get(), active.get(), journal.get(), clock, &metrics}))
    routes.push_back(std::move(route));
}

Status Site::Parts::StartServers() {
  const bool shared = !access.tls && IsLoopback(options.http_address);
  ScoringServerOptions server_options;
  server_options.http.address = options.http_address;
  server_options.http.port = options.http_port;
  server_options.http.loops = options.http_loops;
  server_options.http.tls = access.tls;
  server_options.http.plain = access.plain;
  server_options.http.allowed_origins = access.allowed_origins;
  ScoringParts scoring;
  scoring.repository = &repository;
  scoring.row_numbers = &row_numbers;
  scoring.clock = clock;
  scoring.metrics = &metrics;
  scoring.capture = capture.get();
  scoring.api_keys = access.api_keys();
  queue.emplace(scoring, options.queue);
  scoring.queue = &*queue;
  server_options.parts = scoring;
  if (shared) server_options.more_routes = ControlRoutes(MakeControl());
  AddCaptureRoutes(server_options.more_routes);
  SKERRY_ASSIGN_OR_RETURN(server, ScoringServer::Start(std::move(server_options)));
  url = Url{std::string(access.scheme()), options.http_address, server->port(), ""}.Origin();
  control_url = url;
  if (!shared) SKERRY_RETURN_IF_ERROR(StartControlServer());
  if (options.grpc_address.empty()) return {};
  RpcServerOptions rpc_options;
  rpc_options.address = options.grpc_address;
  rpc_options.port = options.grpc_port;
  rpc_options.tls = access.tls;
  rpc_options.plain = access.plain;
  rpc_options.parts = scoring;
  SKERRY_ASSIGN_OR_RETURN(rpc, RpcServer::Start(std::move(rpc_options)));
  return {};
}

Status Site::Parts::WatchAccess() {
  watch = std::make_unique<AccessWatch>(options.access, Addresses(), access,
                                        [this](const TlsServerOptions& tls) -> Status {
                                          SKERRY_RETURN_IF_ERROR(server->ReplaceTls(tls));
                                          if (registry)
                                            SKERRY_RETURN_IF_ERROR(registry->ReplaceTls(tls));
                                          return rpc ? rpc->ReplaceTls(tls) : Status();
                                        });
  watch->Start();
  if (!scorer_access) return {};
  scorer_watch =
      std::make_unique<AccessWatch>(ScorerOptions(), std::vector<std::string>(), *scorer_access,
                                    [](const TlsServerOptions&) { return Status(); });
  scorer_watch->Start();
  return {};
}

// Pull alone, with the certificates of scoring where those are given: nobody can push.
Status Site::Parts::StartRegistry() {
  if (!images) return {};
  HttpServerOptions http;
  http.address = options.registry_address;
  http.port = options.registry_port;
  http.tls = access.tls;
  http.plain = access.plain;
  SKERRY_ASSIGN_OR_RETURN(registry,
                          HttpServer::Start(std::move(http), images->Routes(), registry_metrics));
  registry_url =
      Url{std::string(access.scheme()), options.registry_address, registry->port(), ""}.Origin();
  return {};
}

Status Site::Parts::WriteEndpoint() {
  return WriteFileDurably(options.data / "endpoint.json",
                          DumpJson(Json{{"url", control_url},
                                        {"pid", ::getpid()},
                                        {"token_file", (options.data / "control.token").string()}}),
                          0600);
}

std::vector<std::string> Site::Parts::Alarms() const {
  std::vector<std::string> alarms = deployer->facts().alarms;
  for (std::string& alarm : releases->Alarms(identity->desired()))
    alarms.push_back(std::move(alarm));
  if (const auto held = identity->certificate(); held) {
    std::string alarm = ExpiryAlarm("this site", held->not_after_us, identity->Now(*clock));
    if (!alarm.empty()) alarms.push_back(std::move(alarm));
  }
  if (std::string alarm = active->alarm(); !alarm.empty()) alarms.push_back(std::move(alarm));
  if (exchange) {
    for (std::string& alarm : exchange->facts().alarms) alarms.push_back(std::move(alarm));
  }
  for (std::string& alarm : outbox->Alarms()) alarms.push_back(std::move(alarm));
  for (const AccessWatch* one : {watch.get(), scorer_watch.get()})
    if (const std::string problem = one != nullptr ? one->problem() : ""; !problem.empty())
      alarms.push_back(
          "certificates and keys of scoring have changed and are of no use, those before hold: " +
          problem);
  return alarms;
}

Result<std::string> Site::Parts::MakeStatus() {
  SKERRY_ASSIGN_OR_RETURN(SiteStatus status, outbox->ReadStatus());
  const DeploymentFacts facts = deployer->facts();
  const std::optional<DesiredState> desired = identity->desired();
  if (desired && facts.running == desired->active && facts.policy == desired->policy)
    applied_desired_version = desired->version;
  status.desired_version = applied_desired_version;
  // The site's name and public key, which the hub has: no policy has to release them.
  if (identity->RenewalIsDue(*clock)) {
    SKERRY_ASSIGN_OR_RETURN(status.certificate_request, identity->MakeRenewalRequest());
  }
  // What a status says beside its counters leaves the site too, so policy decides on it.
  if (active->policy()->releases_status()) {
    if (facts.running) {
      status.active_model = facts.running->ToString();
      status.active_digest = facts.running->digest;
    }
    status.packages = facts.packages;
    const RunningRelease release = releases->running();
    status.release = ReportedRelease{
        release.facts.version, std::string(ReleaseStandingName(release.standing)), release.digest};
    status.alarms = Alarms();
  }
  return SignStatus(status, identity->key());
}

Site::Site(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Site::~Site() { Stop(); }

Result<std::unique_ptr<Site>> Site::Start(SiteOptions options, const Clock* clock) {
  auto parts = std::make_unique<Parts>(std::move(options), clock);
  for (Status (Parts::*step)() :
       {&Parts::ReadAccess, &Parts::OpenData, &Parts::OpenIdentity, &Parts::OpenOutbox,
        &Parts::OpenDeployer, &Parts::MakeExchange, &Parts::StartServers, &Parts::StartRegistry,
        &Parts::WatchAccess, &Parts::WriteEndpoint})
    SKERRY_RETURN_IF_ERROR((parts.get()->*step)());
  if (parts->exchange) {
    parts->exchange->Start();
    parts->outbox->OnUrgentSegments([exchange = parts->exchange.get()] { exchange->Wake(); });
  }
  parts->package_check = std::make_unique<PackageCheck>(*parts->deployer, PackageCheckOptions{},
                                                        [exchange = parts->exchange.get()] {
                                                          if (exchange != nullptr) exchange->Wake();
                                                        });
  parts->package_check->Start();
  LogInfo("site started site={} url={} instance={} hub={}", parts->identity->site(), parts->url,
          parts->row_numbers.instance().ToString(),
          parts->exchange ? parts->exchange->facts().hub_url : "none");
  return std::unique_ptr<Site>(new Site(std::move(parts)));
}

std::string Site::url() const { return parts_->url; }

std::string Site::control_url() const { return parts_->control_url; }

std::uint16_t Site::grpc_port() const { return parts_->rpc ? parts_->rpc->port() : 0; }

std::string Site::registry_url() const { return parts_->registry_url; }

std::string Site::control_token() const { return parts_->control_token; }

Status Site::SyncNow() {
  if (parts_->exchange) return parts_->exchange->SyncNow();
  return Fail(ErrorCode::kFailedPrecondition, "this site knows no hub's URL");
}

void Site::Stop() {
  if (parts_->stopped.exchange(true)) return;
  if (const Status removed = RemoveFile(parts_->options.data / "endpoint.json"); !removed)
    LogWarning("{}", removed.error().message());
  parts_->package_check->Stop();
  if (parts_->exchange) parts_->exchange->Stop();
  parts_->watch->Stop();
  if (parts_->scorer_watch) parts_->scorer_watch->Stop();
  DrainScoring(*parts_->server, parts_->rpc.get(), *parts_->queue, parts_->options.drain);
  if (parts_->control) parts_->control->Drain(limits::kSiteDrain);
  if (parts_->registry) parts_->registry->Drain(limits::kSiteDrain);
  if (const Status saved = parts_->repository.windows().Stop(); !saved)
    LogWarning("{}", saved.error().message());
  parts_->outbox->Close();
  LogInfo("site stopped site={}", parts_->identity->site());
}

}  // namespace skerry
