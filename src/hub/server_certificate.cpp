#include "hub/server_certificate.h"

#include <pthread.h>

#include <utility>

#include "base/limits.h"
#include "base/log.h"
#include "storage/file.h"
#include "trust/certificate_times.h"

namespace skerry {
namespace {

constexpr std::chrono::seconds kCertificateLook{2};  // a clock may be set at any time

}  // namespace

ServerCertificate::ServerCertificate(std::filesystem::path file, PrivateKey key,
                                     std::vector<std::string> names,
                                     const CertificateAuthority& authority, const Clock& clock)
    : file_(std::move(file)),
      key_(std::move(key)),
      names_(std::move(names)),
      authority_(&authority),
      clock_(&clock) {}

Result<std::unique_ptr<ServerCertificate>> ServerCertificate::Open(
    const std::filesystem::path& keys, std::vector<std::string> names,
    const CertificateAuthority& authority, const Clock& clock) {
  SKERRY_ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::LoadOrCreate(keys / "server.key"));
  std::unique_ptr<ServerCertificate> made(new ServerCertificate(
      keys / "server.pem", std::move(key), std::move(names), authority, clock));
  if (const auto pem = ReadFile(made->file_, limits::kCertificateBytes); pem)
    if (auto before = ParseCertificate(*pem); before) made->facts_ = std::move(*before);
  SKERRY_RETURN_IF_ERROR(made->Issue());
  return made;
}

ServerCertificate::~ServerCertificate() { Stop(); }

// A certificate that cannot be stored is used all the same: with an expired one no site comes in.
Status ServerCertificate::Issue() {
  SKERRY_ASSIGN_OR_RETURN(const std::string pem,
                          authority_->IssueServer(key_.public_key(), names_, facts_.not_after_us));
  SKERRY_ASSIGN_OR_RETURN(CertificateFacts facts, ParseCertificate(pem));
  if (const Status stored = WriteFileDurably(file_, pem); !stored)
    LogError("cannot store the hub's new certificate: {}", stored.error().message());
  const std::lock_guard lock(mutex_);
  facts_ = std::move(facts);
  return {};
}

TlsServerOptions ServerCertificate::options() const {
  TlsServerOptions tls;
  const std::lock_guard lock(mutex_);
  tls.certificate_pem = facts_.pem;
  tls.key_pem = key_.ToPem().value_or("");
  tls.client_ca_pem = authority_->certificate_pem();
  // So that a site whose certificate has expired hears that, and may renew it.
  tls.client_times = ClientTimes::kHandler;
  return tls;
}

void ServerCertificate::Start(std::function<Status(const TlsServerOptions&)> use) {
  thread_ = std::thread([this, use = std::move(use)] {
    ::pthread_setname_np(::pthread_self(), "certificate");
    Run(use);
  });
}

void ServerCertificate::Run(const std::function<Status(const TlsServerOptions&)>& use) {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, kCertificateLook, [&] { return stopping_; })) {
    if (!RenewalIsDue(facts_, clock_->UtcMicros())) continue;
    lock.unlock();
    Status renewed = Issue();
    if (renewed) renewed = use(options());
    if (!renewed) LogError("cannot renew the hub's certificate: {}", renewed.error().message());
    if (renewed) LogInfo("the hub's certificate is renewed");
    lock.lock();
  }
}

void ServerCertificate::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

}  // namespace skerry
