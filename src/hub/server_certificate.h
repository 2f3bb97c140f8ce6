// The hub's own TLS certificate: issued by its CA, kept in `keys/server.pem`, and issued anew while
// the hub runs (docs/adr/0020-certificate-times.md).
//
// Role: owned by Hub, which tells it what to do with a new one (Start). One thread looks at the
// clock every few seconds; Stop, or the destructor, ends it.
//
// A new certificate never ends before the one that it replaces: sites refuse one that had expired
// by the newest time that this hub has signed, which a clock that was once set far ahead may have
// put far ahead too.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "crypto/certificate.h"
#include "crypto/key.h"
#include "http/server.h"

namespace skerry {

class ServerCertificate {
 public:
  // `keys` exists. `names` is what it has to name. A certificate that is there gives way to a new
  // one at each start, since names may have changed. Errors: of files, kDataLoss for a key that is
  // damaged.
  static Result<std::unique_ptr<ServerCertificate>> Open(const std::filesystem::path& keys,
                                                         std::vector<std::string> names,
                                                         const CertificateAuthority& authority,
                                                         const Clock& clock);
  ServerCertificate(const ServerCertificate&) = delete;
  ServerCertificate& operator=(const ServerCertificate&) = delete;
  ~ServerCertificate();

  // What the server speaks TLS with now.
  TlsServerOptions options() const;
  // Starts the thread. `use` is called on it with a new certificate.
  void Start(std::function<Status(const TlsServerOptions&)> use);
  void Stop();

 private:
  ServerCertificate(std::filesystem::path file, PrivateKey key, std::vector<std::string> names,
                    const CertificateAuthority& authority, const Clock& clock);
  Status Issue();
  void Run(const std::function<Status(const TlsServerOptions&)>& use);

  const std::filesystem::path file_;
  const PrivateKey key_;
  const std::vector<std::string> names_;
  const CertificateAuthority* const authority_;
  const Clock* const clock_;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  bool stopping_ = false;
  CertificateFacts facts_;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace skerry
