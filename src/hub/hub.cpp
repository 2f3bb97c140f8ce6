#include "hub/hub.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <system_error>
#include <vector>

#include "base/ids.h"
#include "base/log.h"
#include "base/metrics.h"
#include "codec/json.h"
#include "crypto/certificate.h"
#include "crypto/key.h"
#include "http/server.h"
#include "http/url.h"
#include "hub/api.h"
#include "hub/audit_log.h"
#include "hub/bundle_desk.h"
#include "hub/clock_corrector.h"
#include "hub/delta_desk.h"
#include "hub/desired_desk.h"
#include "hub/incarnation.h"
#include "hub/ingest.h"
#include "hub/join_desk.h"
#include "hub/lake.h"
#include "hub/ledger.h"
#include "hub/model_shelf.h"
#include "hub/registry_keeper.h"
#include "hub/retrain_kind.h"
#include "hub/run_desk.h"
#include "hub/server_certificate.h"
#include "hub/shipment_replay.h"
#include "hub/store.h"
#include "hub/train_kind.h"
#include "hub/trust_desk.h"
#include "oci/registry.h"
#include "storage/claimed_directory.h"
#include "storage/file.h"
#include "sync/bundle_stream.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kDrainTime{10};
constexpr std::size_t kAdminTokenBytes = 32;
constexpr std::size_t kAdminTokenFileBytes = 1'024;
constexpr unsigned kSecretMode = 0600;
constexpr unsigned kPrivateDirectoryMode = 0700;
// Of a registry whose handlers wait for another machine: threads that mostly sleep.
constexpr int kRemoteWorkers = 16;
constexpr int kRemoteStreamWorkers = 64;
constexpr std::string_view kSitesPrefix = "sites/";
constexpr std::string_view kOutboxSuffix = "/outbox";

Result<std::string> LoadOrCreateAdminToken(const fs::path& file) {
  const auto kept = ReadFile(file, kAdminTokenFileBytes);
  if (!kept && kept.error().code() != ErrorCode::kNotFound)
    return tl::make_unexpected(kept.error());
  if (kept) {
    SKERRY_RETURN_IF_ERROR(CheckPrivateFile(file));
    std::string token = *kept;
    while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
    if (token.empty())
      return Fail(ErrorCode::kDataLoss, "{} is empty: remove it and a new one is made",
                  file.string());
    return token;
  }
  std::string token = RandomHex(kAdminTokenBytes);
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(file, token + "\n", kSecretMode));
  return token;
}

std::string HostName() {
  char host[256] = {};
  return gethostname(host, sizeof host - 1) == 0 && host[0] != '\0' ? host : "localhost";
}

bool IsAnyAddress(std::string_view address) { return address == "0.0.0.0" || address == "::"; }

// What a server certificate has to name: loopback in every spelling, this machine, the address that
// the hub listens on, and the host under which sites reach it.
std::vector<std::string> ServerNames(const HubOptions& options) {
  std::set<std::string> others = {"127.0.0.1", "::1", HostName()};
  if (!IsAnyAddress(options.listen_address)) others.insert(options.listen_address);
  if (const auto url = Url::Parse(options.public_url)) others.insert(url->host);
  others.erase("localhost");
  std::vector<std::string> names = {"localhost"};
  names.insert(names.end(), others.begin(), others.end());
  return names;
}

std::string MakeUrl(const HubOptions& options, const std::string& host, std::uint16_t port) {
  const bool v6 = host.find(':') != std::string::npos;
  return fmt::format("{}://{}{}{}:{}", options.plain_http ? "http" : "https", v6 ? "[" : "", host,
                     v6 ? "]" : "", port);
}

// The site whose outbox a repository is, or "".
std::string_view OutboxSite(std::string_view repository) {
  if (!repository.starts_with(kSitesPrefix) || !repository.ends_with(kOutboxSuffix)) return "";
  repository.remove_prefix(kSitesPrefix.size());
  repository.remove_suffix(std::min(repository.size(), kOutboxSuffix.size()));
  return repository.find('/') == std::string_view::npos ? repository : "";
}

}  // namespace

struct Hub::Parts {
  HubOptions options;
  SystemClock system_clock;
  const Clock* clock = nullptr;
  MetricRegistry metrics;

  // In the order in which they are made; destroyed in reverse.
  std::optional<DirectoryLock> lock;
  PrivateKey hub_key;
  PrivateKey model_key;
  std::optional<CertificateAuthority> authority;
  std::string admin_token;
  std::unique_ptr<HubStore> store;
  std::unique_ptr<LakeWriter> lake_writer;
  std::unique_ptr<LakeReader> lake_reader;
  std::unique_ptr<ClockCorrector> clocks;
  std::unique_ptr<RegistryRulebook> rulebook;
  std::unique_ptr<Registry> registry;
  std::unique_ptr<DeltaDesk> deltas;
  std::unique_ptr<RegistryKeeper> keeper;
  std::unique_ptr<RegistryAccounts> accounts;
  std::unique_ptr<RegistryAccess> access;
  std::unique_ptr<Ingest> ingest;
  std::unique_ptr<ShipmentReplay> replay;
  std::unique_ptr<ReceiptShelf> receipts;
  std::unique_ptr<TrustDesk> trust;
  std::unique_ptr<JoinDesk> join;
  std::unique_ptr<ModelShelf> shelf;
  std::unique_ptr<DesiredDesk> desired;
  std::unique_ptr<RunDesk> runs;
  std::unique_ptr<CustodyList> custody;
  std::unique_ptr<BundleDesk> bundles;
  std::unique_ptr<HubApi> api;
  std::unique_ptr<ServerCertificate> certificate;  // null with plain HTTP
  std::unique_ptr<HttpServer> server;
  std::string url;
  bool stopped = false;

  fs::path At(std::string_view name) const { return options.data / name; }

  Status CheckOptions() const;
  Status OpenSecrets();
  Status OpenStore();
  Status BeginAnotherIncarnation();
  Status OpenRegistry();
  Status OpenDesks();
  Status Listen();
  Status WriteEndpoint() const;
  Result<std::optional<std::string>> OnManifest(std::string_view repository,
                                                const Manifest& manifest,
                                                std::string_view manifest_bytes);
};

Status Hub::Parts::CheckOptions() const {
  const bool loopback = IsLoopback(options.listen_address);
  if (options.plain_http && !loopback)
    return Fail(ErrorCode::kInvalidArgument,
                "plain HTTP is for loopback addresses only, not for {}; leave --plain-http out",
                options.listen_address);
  if (options.open_registry && !loopback)
    return Fail(ErrorCode::kInvalidArgument,
                "an open registry is for loopback addresses only, not for {}; leave "
                "--open-registry out",
                options.listen_address);
  if (options.public_url.empty()) return {};
  SKERRY_ASSIGN_OR_RETURN(const Url public_url, Url::Parse(options.public_url), "--public-url");
  if (public_url.tls() == options.plain_http || public_url.path != "/" ||
      options.public_url.ends_with('/'))
    return Fail(ErrorCode::kInvalidArgument, "--public-url is \"{}\", must be {}://HOST:PORT",
                options.public_url, options.plain_http ? "http" : "https");
  return {};
}

Status Hub::Parts::OpenSecrets() {
  SKERRY_RETURN_IF_ERROR(CreateDirectories(options.data, kPrivateDirectoryMode));
  SKERRY_ASSIGN_OR_RETURN(DirectoryLock taken, DirectoryLock::Acquire(options.data));
  lock = std::move(taken);
  RemoveUnclaimed(kBundleStream, options.data);
  SKERRY_RETURN_IF_ERROR(CreateDirectories(At("keys"), kPrivateDirectoryMode));
  SKERRY_RETURN_IF_ERROR(CreateDirectories(At("ca"), kPrivateDirectoryMode));
  SKERRY_ASSIGN_OR_RETURN(hub_key, PrivateKey::LoadOrCreate(At("keys") / "hub.key"));
  SKERRY_ASSIGN_OR_RETURN(model_key, PrivateKey::LoadOrCreate(At("keys") / "model.key"));
  SKERRY_ASSIGN_OR_RETURN(CertificateAuthority opened,
                          CertificateAuthority::LoadOrCreate(At("ca"), "skerry hub CA", *clock));
  authority = std::move(opened);
  SKERRY_ASSIGN_OR_RETURN(admin_token, LoadOrCreateAdminToken(At("admin.token")));
  return {};
}

Status Hub::Parts::BeginAnotherIncarnation() {
  LogWarning("hub begins another incarnation, as it was told that it was restored");
  return store->Write([this](Database& db) -> Status {
    SKERRY_RETURN_IF_ERROR(BeginIncarnation(db, 0));
    return AuditLog(db).Append(clock->UtcMicros(), "admin", "hub.restored", "hub");
  });
}

Status Hub::Parts::OpenStore() {
  SKERRY_ASSIGN_OR_RETURN(store, HubStore::Open(At("hub.db")));
  if (options.restored) SKERRY_RETURN_IF_ERROR(BeginAnotherIncarnation());
  SKERRY_ASSIGN_OR_RETURN(lake_writer, LakeWriter::Open(At("lake")));
  lake_reader = std::make_unique<LakeReader>(At("lake"));
  SKERRY_ASSIGN_OR_RETURN(const auto files,
                          store->Read([](Database& db) { return Ledger(db).AllFiles(); }));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t swept,
                          lake_writer->Sweep(std::set<std::string>(files.begin(), files.end())));
  if (swept > 0) LogInfo("removed files of an interrupted ingest files={}", swept);
  SKERRY_ASSIGN_OR_RETURN(clocks,
                          ClockCorrector::Open(*store, At("lake"), At("corrections") / "clock"));
  return CreateDirectories(At("quarantine"), kPrivateDirectoryMode);
}

Status Hub::Parts::OpenRegistry() {
  RegistryHooks hooks;
  hooks.authorize = [this](const HttpRequest& request, std::string_view repository,
                           RegistryAction action) {
    return api->AuthorizeRegistry(request, repository, action);
  };
  hooks.challenge = [this](const HttpRequest& request, std::string_view repository,
                           RegistryAction action) {
    return api->RegistryChallenge(request, repository, action);
  };
  SKERRY_ASSIGN_OR_RETURN(rulebook, RegistryRulebook::Open(*store, *clock));
  hooks.rules = [this](std::string_view repository) { return rulebook->Of(repository); };
  hooks.on_manifest = [this](std::string_view repository, const Manifest& manifest,
                             std::string_view bytes) {
    return OnManifest(repository, manifest, bytes);
  };
  RegistryOptions registry_options;
  registry_options.place = options.registry;
  SKERRY_ASSIGN_OR_RETURN(registry,
                          Registry::Open(At("registry"), std::move(hooks), registry_options));
  deltas = std::make_unique<DeltaDesk>(*registry, *clock, metrics);
  keeper = std::make_unique<RegistryKeeper>(*registry, *deltas, metrics);
  SKERRY_ASSIGN_OR_RETURN(accounts, RegistryAccounts::Open(*store, *clock));
  access = std::make_unique<RegistryAccess>(*accounts, *clock, admin_token);
  return {};
}

Result<std::optional<std::string>> Hub::Parts::OnManifest(std::string_view repository,
                                                          const Manifest& manifest,
                                                          std::string_view manifest_bytes) {
  const std::string_view site = OutboxSite(repository);
  if (site.empty()) return std::optional<std::string>();
  SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const IngestOutcome outcome,
                          ingest->Take({.site = std::string(site),
                                        .manifest = manifest,
                                        .digest = Digest::Sha256(manifest_bytes),
                                        .road = Road::kLink}));
  SKERRY_ASSIGN_OR_RETURN(std::string receipt, receipts->Newest(site));
  return std::optional<std::string>(std::move(receipt));
}

Status Hub::Parts::OpenDesks() {
  ingest = std::make_unique<Ingest>(IngestParts{.store = store.get(),
                                                .lake = lake_writer.get(),
                                                .clocks = clocks.get(),
                                                .blobs = &registry->blobs(),
                                                .quarantine = At("quarantine"),
                                                .hub_key = hub_key,
                                                .clock = clock,
                                                .metrics = &metrics});
  replay = std::make_unique<ShipmentReplay>(*store, *registry, *ingest, *clock);
  receipts = std::make_unique<ReceiptShelf>(*ingest, *registry, *replay);
  SKERRY_ASSIGN_OR_RETURN(trust, TrustDesk::Open(*store, At("keys") / "tuf", *clock));
  join = std::make_unique<JoinDesk>(*store, *authority, hub_key, *trust, *clock);
  shelf = std::make_unique<ModelShelf>(*registry, model_key, At("models"));
  desired = std::make_unique<DesiredDesk>(*store, *shelf, *trust, model_key, *clock);
  fs::path program = options.program;
  if (program.empty()) {
    std::error_code error;
    program = fs::read_symlink("/proc/self/exe", error);
    if (error) return Fail(ErrorCode::kInternal, "finding this program: {}", error.message());
  }
  std::map<std::string, std::unique_ptr<RunKind>> kinds;
  kinds["retrain"] = std::make_unique<RetrainKind>(*store, *shelf, At("lake"));
  kinds["train"] = std::make_unique<TrainKind>(*shelf, options.training, At("lake"));
  SKERRY_ASSIGN_OR_RETURN(runs, RunDesk::Start({.store = store.get(),
                                                .clock = clock,
                                                .runs = At("runs"),
                                                .program = program,
                                                .kinds = std::move(kinds)}));
  SKERRY_ASSIGN_OR_RETURN(custody, CustodyList::Open(At("custody.jsonl")));
  SKERRY_ASSIGN_OR_RETURN(AgeIdentity bundle_key,
                          AgeIdentity::LoadOrCreate(At("keys") / "bundle.key"));
  bundles = std::make_unique<BundleDesk>(BundleDeskParts{.store = store.get(),
                                                         .registry = registry.get(),
                                                         .ingest = ingest.get(),
                                                         .receipts = receipts.get(),
                                                         .join = join.get(),
                                                         .desired = desired.get(),
                                                         .trust = trust.get(),
                                                         .shelf = shelf.get(),
                                                         .deltas = deltas.get(),
                                                         .clock = clock,
                                                         .custody = custody.get(),
                                                         .hub_key = hub_key,
                                                         .bundle_key = std::move(bundle_key)});
  api = std::make_unique<HubApi>(HubApiParts{.store = store.get(),
                                             .ingest = ingest.get(),
                                             .receipts = receipts.get(),
                                             .join = join.get(),
                                             .desired = desired.get(),
                                             .trust = trust.get(),
                                             .shelf = shelf.get(),
                                             .runs = runs.get(),
                                             .lake = lake_reader.get(),
                                             .clocks = clocks.get(),
                                             .bundles = bundles.get(),
                                             .deltas = deltas.get(),
                                             .keeper = keeper.get(),
                                             .accounts = accounts.get(),
                                             .access = access.get(),
                                             .rulebook = rulebook.get(),
                                             .registry = registry.get(),
                                             .metrics = &metrics,
                                             .clock = clock,
                                             .admin_token = admin_token,
                                             .open_registry = options.open_registry});
  return {};
}

Status Hub::Parts::Listen() {
  HttpServerOptions http{.address = options.listen_address,
                         .port = options.listen_port,
                         .loops = options.http_loops,
                         .workers = options.http_workers,
                         .tls = std::nullopt};
  if (registry->is_remote()) {
    http.workers = std::max(http.workers, kRemoteWorkers);
    http.stream_workers = kRemoteStreamWorkers;
  }
  if (!options.plain_http) {
    SKERRY_ASSIGN_OR_RETURN(
        certificate, ServerCertificate::Open(At("keys"), ServerNames(options), *authority, *clock));
    http.tls = certificate->options();
  }
  std::vector<Route> routes = api->Routes();
  for (Route& route : registry->Routes()) routes.push_back(std::move(route));
  SKERRY_ASSIGN_OR_RETURN(server, HttpServer::Start(std::move(http), std::move(routes), metrics));
  if (certificate)
    certificate->Start([this](const TlsServerOptions& tls) { return server->ReplaceTls(tls); });
  const bool any = IsAnyAddress(options.listen_address);
  url = MakeUrl(options, any ? "localhost" : options.listen_address, server->port());
  api->SetUrl(!options.public_url.empty() ? options.public_url
              : any                       ? MakeUrl(options, HostName(), server->port())
                                          : url);
  return WriteEndpoint();
}

Status Hub::Parts::WriteEndpoint() const {
  Json endpoint = {{"url", url},
                   {"public_url", api->Url()},
                   {"pid", getpid()},
                   {"token_file", fs::absolute(At("admin.token")).string()}};
  if (!options.plain_http) endpoint["ca_file"] = fs::absolute(At("ca") / "ca.pem").string();
  return WriteFileDurably(At("endpoint.json"), DumpJsonPretty(endpoint) + "\n", kSecretMode);
}

Hub::Hub(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Hub::~Hub() { Stop(); }

Result<std::unique_ptr<Hub>> Hub::Start(HubOptions options, const Clock* clock) {
  auto parts = std::make_unique<Parts>();
  parts->options = std::move(options);
  parts->clock = clock != nullptr ? clock : &parts->system_clock;
  SKERRY_RETURN_IF_ERROR(parts->CheckOptions());
  SKERRY_RETURN_IF_ERROR(parts->OpenSecrets());
  SKERRY_RETURN_IF_ERROR(parts->options.training.Settle(parts->options.data));
  SKERRY_RETURN_IF_ERROR(parts->OpenStore());
  SKERRY_RETURN_IF_ERROR(parts->OpenRegistry());
  SKERRY_RETURN_IF_ERROR(parts->OpenDesks());
  parts->clocks->Start();
  parts->deltas->Start();
  parts->keeper->Start();
  parts->replay->Start();
  SKERRY_RETURN_IF_ERROR(parts->Listen());
  LogInfo("hub started url={} data={}", parts->url, parts->options.data.string());
  return std::unique_ptr<Hub>(new Hub(std::move(parts)));
}

std::string Hub::url() const { return parts_->url; }
std::string Hub::admin_token() const { return parts_->admin_token; }
std::string Hub::ca_pem() const {
  return parts_->options.plain_http ? "" : parts_->authority->certificate_pem();
}

void Hub::Stop() {
  if (std::exchange(parts_->stopped, true)) return;
  if (parts_->certificate) parts_->certificate->Stop();
  parts_->server->Drain(kDrainTime);
  parts_->runs->Stop();
  parts_->replay->Stop();
  parts_->keeper->Stop();
  parts_->deltas->Stop();
  parts_->clocks->Stop();
  if (const Status removed = RemoveFile(parts_->At("endpoint.json")); !removed)
    LogWarning("{}", removed.error().message());
}

}  // namespace skerry
