#include "sync/tests/test_hub.h"

#include <algorithm>
#include <sstream>

#include "base/limits.h"
#include "codec/json.h"
#include "http/status.h"
#include "oci/cosign.h"
#include "oci/media_types.h"
#include "oci/modelpack.h"
#include "storage/file.h"
#include "sync/tuf_artifact.h"

namespace skerry {
namespace {

std::filesystem::path Made(const std::filesystem::path& directory) {
  Must(CreateDirectories(directory, 0700));
  return directory;
}

}  // namespace

TestHub::TestHub(const std::filesystem::path& directory, Transport transport, const Clock& clock)
    : clock_(&clock),
      transport_(transport),
      key_(PrivateKey::Generate().value()),
      model_key_(PrivateKey::Generate().value()),
      ca_(CertificateAuthority::LoadOrCreate(Made(directory / "ca"), "test hub", system_clock_)
              .value()),
      tuf_(std::make_unique<TufRepository>(
          TufRepository::Create(TufKeyDirectory(directory / "tuf"), clock.UtcMicros()).value())) {
  TakeTufFiles();
  RegistryHooks hooks;
  hooks.on_manifest = [this](std::string_view repository, const Manifest& manifest,
                             std::string_view) { return Take(repository, manifest); };
  registry_ = Registry::Open(Made(directory / "registry"), std::move(hooks)).value();
  HttpServerOptions options;
  if (transport == Transport::kTls) {
    const PrivateKey server_key = PrivateKey::Generate().value();
    const std::vector<std::string> names{"127.0.0.1"};
    options.tls =
        TlsServerOptions{.certificate_pem = ca_.IssueServer(server_key.public_key(), names).value(),
                         .key_pem = server_key.ToPem().value(),
                         .client_ca_pem = ca_.certificate_pem()};
  }
  server_ = HttpServer::Start(std::move(options), Routes(), metrics_).value();
}

TestHub::~TestHub() { server_->Drain(std::chrono::seconds(5)); }

std::string TestHub::url() const {
  return fmt::format("{}://127.0.0.1:{}", transport_ == Transport::kTls ? "https" : "http",
                     server_->port());
}

JoinToken TestHub::MakeToken(const std::string& site, const std::string& hub_url) {
  const std::lock_guard lock(mutex_);
  JoinToken token{.site = site,
                  .hub_url = hub_url,
                  .token_id = RandomHex(8),
                  .secret = RandomHex(32),
                  .ca_pem = ca_.certificate_pem(),
                  .hub_key_pem = key_.public_key().ToPem()};
  secrets_[token.token_id] = token.secret;
  site_ = site;
  return token;
}

Result<std::string> TestHub::Grant(const JoinRequest& request) {
  const std::lock_guard lock(mutex_);
  const auto secret = secrets_.find(request.token_id);
  if (used_tokens_.contains(request.token_id))
    return Fail(ErrorCode::kConflict, "token {} was used", request.token_id);
  if (secret == secrets_.end())
    return Fail(ErrorCode::kUnauthenticated, "no token {}", request.token_id);
  SKERRY_ASSIGN_OR_RETURN(const PublicKey key, VerifyJoinRequest(request, secret->second));
  used_tokens_.insert(request.token_id);
  site_keys_.push_back(key);
  SKERRY_ASSIGN_OR_RETURN(std::string certificate, ca_.IssueSite(key, request.site));
  return SignJoinGrant({.site = request.site,
                        .certificate_pem = std::move(certificate),
                        .ca_pem = ca_.certificate_pem(),
                        .hub_key_pems = {key_.public_key().ToPem()},
                        .tuf_root = tuf_->root_json(),
                        .issued_at_us = clock_->UtcMicros()},
                       key_);
}

ModelRef TestHub::Publish(const std::filesystem::path& package, const std::string& name,
                          const std::string& version, Signing signing) {
  const Artifact artifact = PackModel(package, name, version).value();
  const Digest digest = registry_->PutArtifact("models/" + name, version, artifact).value();
  if (signing != Signing::kUnsigned) {
    const PrivateKey other = PrivateKey::Generate().value();
    const Artifact bundle =
        MakeCosignBundle(artifact.manifest, signing == Signing::kSigned ? model_key_ : other)
            .value();
    registry_->PutArtifact("models/" + name, "", bundle).value();
  }
  return {name, version, digest};
}

PolicyRef TestHub::PublishPolicy(const std::string& name, const std::string& version,
                                 const std::string& yaml) {
  const Artifact artifact =
      MakeDocumentArtifact(media_types::kPolicyArtifact, media_types::kPolicyLayer, yaml).value();
  return {name, version, registry_->PutArtifact("policies/" + name, version, artifact).value()};
}

void TestHub::TakeTufFiles() {
  for (TufFile& file : tuf_->TakeFiles()) tuf_files_[file.name] = std::move(file.bytes);
}

Artifact TestHub::SetDesired(DesiredState state) {
  const std::lock_guard lock(mutex_);
  state.site = site_;
  if (state.issued_at_us == 0) state.issued_at_us = clock_->UtcMicros();
  state.model_key_pems = {model_key_.public_key().ToPem()};
  Must(tuf_->Publish(DesiredStatePath(site_), state.ToJson(), clock_->UtcMicros()));
  TakeTufFiles();
  std::vector<TufFile> files;
  for (const auto& [name, bytes] : tuf_files_) files.push_back({name, "", 0, bytes});
  return MakeTufArtifact(files).value();
}

void TestHub::BackUpTuf() {
  const std::lock_guard lock(mutex_);
  tuf_backup_ = std::make_unique<TufRepository>(*tuf_);
  tuf_files_backup_ = tuf_files_;
}

void TestHub::RestoreTuf() {
  const std::lock_guard lock(mutex_);
  tuf_ = std::make_unique<TufRepository>(*tuf_backup_);
  tuf_files_ = tuf_files_backup_;
}

Result<HttpResponse> TestHub::Tuf(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (expired_) return Fail(ErrorCode::kUnauthenticated, "the certificate expired: renew it");
  const auto found = tuf_files_.find(name);
  if (found == tuf_files_.end()) return Fail(ErrorCode::kNotFound, "no {}", name);
  HttpResponse answer = HttpResponse::JsonText(200, found->second);
  if (name == kTufTimestampName)
    answer.SetHeader("Skerry-Receipt", fmt::format("{}-{}", incarnation_, receipt_counter_));
  return answer;
}

void TestHub::Refuse(Refusal refusal) {
  const std::lock_guard lock(mutex_);
  refusal_ = std::move(refusal);
}

void TestHub::BeforeAnswer(std::function<Status()> hook) {
  const std::lock_guard lock(mutex_);
  before_answer_ = std::move(hook);
}

std::string TestHub::CurrentReceipt() {
  const std::lock_guard lock(mutex_);
  return SignedReceipt();
}

Result<std::optional<std::string>> TestHub::Take(std::string_view repository,
                                                 const Manifest& manifest) {
  if (!repository.starts_with("sites/")) return std::optional<std::string>();
  SKERRY_ASSIGN_OR_RETURN(
      const std::string envelope,
      ReadFile(*registry_->blobs().FileOf(manifest.config->digest), limits::kStatementBytes));
  std::string receipt;
  std::function<Status()> hook;
  {
    const std::lock_guard lock(mutex_);
    SKERRY_ASSIGN_OR_RETURN(const ShipmentStatement statement,
                            VerifyStatement(envelope, site_keys_));
    if (refusal_) SKERRY_RETURN_IF_ERROR(refusal_(statement));
    std::set<Digest> offered;
    for (const Descriptor& layer : manifest.layers) offered.insert(layer.digest);
    for (const SegmentEntry& segment : statement.segments)
      if (offered.contains(segment.digest)) TakeSegment(segment);
    for (const GapEntry& gap : statement.gaps) {
      StreamReceipt& stream = streams_[{gap.epoch, gap.cls}];
      stream.accepted_gaps.Add(gap.first_seq, gap.last_seq);
    }
    ++receipt_counter_;
    receipt = SignedReceipt();
    hook = before_answer_;
  }
  if (hook) SKERRY_RETURN_IF_ERROR(hook());
  return std::optional<std::string>(std::move(receipt));
}

void TestHub::TakeSegment(const SegmentEntry& segment) {
  const Stream key{segment.epoch, segment.cls};
  StreamReceipt& stream = streams_[key];
  const auto held = segments_.find({key, segment.first_seq});
  if (held != segments_.end() && held->second == segment.digest) {
    ++repeated_;
    return;
  }
  if (stream.received.Overlaps(segment.first_seq, segment.last_seq)) {
    ++conflicts_;
    return;
  }
  segments_.emplace(std::pair(key, segment.first_seq), segment.digest);
  stream.received.Add(segment.first_seq, segment.last_seq);
  primary_rows_ += segment.primary_rows;
}

std::string TestHub::SignedReceipt() {
  Receipt receipt;
  receipt.hub_incarnation = incarnation_;
  receipt.hub_restores = restores_;
  receipt.counter = receipt_counter_;
  receipt.site = site_;
  receipt.issued_at_us = clock_->UtcMicros();
  for (auto& [key, stream] : streams_) {
    stream.epoch = key.first;
    stream.cls = key.second;
    receipt.streams.push_back(stream);
  }
  return SignReceipt(receipt, key_).value();
}

Result<HttpResponse> TestHub::Join(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const JoinRequest join, JoinRequest::FromJson(request.body));
  SKERRY_ASSIGN_OR_RETURN(std::string grant, Grant(join));
  return HttpResponse::JsonText(200, std::move(grant));
}

Result<HttpResponse> TestHub::Renew(const HttpRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const Json body, ParseJson(request.body));
  SKERRY_ASSIGN_OR_RETURN(const std::string csr, JsonObject(body, "renewal").String("csr_pem"));
  const std::string& site = request.Param("site");
  SKERRY_ASSIGN_OR_RETURN(const PublicKey key, VerifyCertificateRequest(csr, site));
  const std::lock_guard lock(mutex_);
  if (std::ranges::find(site_keys_, key) == site_keys_.end())
    return Fail(ErrorCode::kPermissionDenied, "the key is not one of the site {}", site);
  expired_ = false;
  ++renewals_;
  SKERRY_ASSIGN_OR_RETURN(std::string certificate, ca_.IssueSite(key, site));
  SKERRY_ASSIGN_OR_RETURN(std::string grant,
                          SignJoinGrant({.site = site,
                                         .certificate_pem = std::move(certificate),
                                         .ca_pem = ca_.certificate_pem(),
                                         .hub_key_pems = {key_.public_key().ToPem()},
                                         .tuf_root = tuf_->root_json(),
                                         .issued_at_us = system_clock_.UtcMicros()},
                                        key_));
  return HttpResponse::JsonText(200, std::move(grant));
}

void TestHub::ExpireCertificates() {
  const std::lock_guard lock(mutex_);
  expired_ = true;
}

void TestHub::ForgetKeys() {
  const std::lock_guard lock(mutex_);
  site_keys_.clear();
}

std::uint64_t TestHub::renewals() const {
  const std::lock_guard lock(mutex_);
  return renewals_;
}

Result<HttpResponse> TestHub::PostStatus(const HttpRequest& request) {
  const std::lock_guard lock(mutex_);
  SKERRY_ASSIGN_OR_RETURN(status_, VerifyStatus(request.body, site_keys_));
  return HttpResponse::JsonText(200, DumpJson(Json{{"hub_incarnation", incarnation_},
                                                   {"receipt_counter", receipt_counter_}}));
}

// As the product's hub, by the counter alone.
Result<HttpResponse> TestHub::PostReceipt(const HttpRequest& request) {
  const std::lock_guard lock(mutex_);
  const PublicKey key = key_.public_key();
  SKERRY_ASSIGN_OR_RETURN(const Receipt shown, VerifyReceipt(request.body, std::span(&key, 1)));
  if (shown.hub_incarnation == incarnation_ && shown.counter > receipt_counter_)
    incarnation_ = fmt::format("restored-{}", ++restores_);
  return HttpResponse::JsonText(200, SignedReceipt());
}

void TestHub::GoBack() {
  const std::lock_guard lock(mutex_);
  streams_.clear();
  segments_.clear();
  primary_rows_ = 0;
  receipt_counter_ = 0;
}

std::vector<Route> TestHub::Routes() {
  const auto pooled = [](std::string method, std::string pattern, auto answer) {
    return Route{
        std::move(method), std::move(pattern), RouteKind::kPooled,
        [answer](HttpRequest& request, Responder responder) {
          Result<HttpResponse> response = answer(request);
          responder.Send(response ? std::move(*response) : ErrorResponse(response.error()));
        }};
  };
  std::vector<Route> routes = registry_->Routes();
  routes.push_back(pooled("POST", "/v1/join", [this](HttpRequest& r) { return Join(r); }));
  routes.push_back(
      pooled("POST", "/v1/sites/{site}/certificate", [this](HttpRequest& r) { return Renew(r); }));
  routes.push_back(
      pooled("POST", "/v1/sites/{site}/status", [this](HttpRequest& r) { return PostStatus(r); }));
  routes.push_back(pooled("GET", "/tuf/metadata/{file}",
                          [this](HttpRequest& r) { return Tuf("metadata/" + r.Param("file")); }));
  routes.push_back(pooled("GET", "/tuf/targets/sites/{site}/{file}", [this](HttpRequest& r) {
    return Tuf(fmt::format("targets/sites/{}/{}", r.Param("site"), r.Param("file")));
  }));
  routes.push_back(pooled("POST", "/v1/sites/{site}/receipt",
                          [this](HttpRequest& r) { return PostReceipt(r); }));
  routes.push_back(
      pooled("GET", "/v1/sites/{site}/receipt", [this](HttpRequest&) -> Result<HttpResponse> {
        return HttpResponse::JsonText(200, CurrentReceipt());
      }));
  return routes;
}

std::uint64_t TestHub::requests() const {
  std::istringstream lines(metrics_.RenderPrometheusText());
  std::uint64_t requests = 0;
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("skerry_http_requests_total{"))
      requests += std::stoull(line.substr(line.rfind(' ')));
  return requests;
}

std::uint64_t TestHub::primary_rows() const {
  const std::lock_guard lock(mutex_);
  return primary_rows_;
}

std::uint64_t TestHub::taken_segments() const {
  const std::lock_guard lock(mutex_);
  return segments_.size();
}

std::uint64_t TestHub::repeated_segments() const {
  const std::lock_guard lock(mutex_);
  return repeated_;
}

std::uint64_t TestHub::conflicts() const {
  const std::lock_guard lock(mutex_);
  return conflicts_;
}

std::optional<SiteStatus> TestHub::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

}  // namespace skerry
