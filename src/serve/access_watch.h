// Reads the files of Access again when they have changed, while the servers run: a renewed
// certificate, a new client CA, keys that were added or taken away.
//
// Role: owned by whoever owns the servers; goes before them. One thread looks at the files' names,
// sizes and times every few seconds (also through the links by which Kubernetes swaps a secret).
// All files are read together: what does not fit together, or cannot be read, changes nothing,
// is logged once and told by problem() until it is mended. A file of keys that holds none any more
// means that nobody may. Connections that are there go on.
//   AccessWatch watch(options, addresses, access, [&](const TlsServerOptions& tls) { ... });
//   watch.Start();
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "serve/access.h"

namespace skerry {

class AccessWatch {
 public:
  // What the servers are to speak TLS with from now on.
  using UseTls = std::function<Status(const TlsServerOptions&)>;

  // `options` and `addresses` are those that `access` was loaded from; its keys, shared with the
  // routes, are replaced in place. Not watched: which of the files are named at all.
  AccessWatch(AccessOptions options, std::vector<std::string> addresses, const Access& access,
              UseTls use_tls);
  AccessWatch(const AccessWatch&) = delete;
  AccessWatch& operator=(const AccessWatch&) = delete;
  ~AccessWatch();  // Stop

  void Start();
  void Stop();

  // Looks now. True when something was read and is in use; false when nothing has changed. Errors
  // are those of LoadAccess, once for each change.
  Result<bool> Look();
  // What is wrong with the files as they are now; "" when nothing is. Any thread.
  std::string problem() const;

 private:
  // Of a file: it is another one, or was written.
  struct Stamp {
    std::uint64_t device = 0, inode = 0;
    std::int64_t size = -1, modified_ns = 0, changed_ns = 0;
    bool operator==(const Stamp&) const = default;
  };
  static Stamp StampOf(const std::filesystem::path& file);
  std::vector<Stamp> Stamps() const;
  Status Use();

  const AccessOptions options_;
  const std::vector<std::string> addresses_;
  const UseTls use_tls_;
  std::optional<ApiKeys> keys_;  // shared with the routes; none are asked for without
  std::vector<Stamp> stamps_;    // Look's alone

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable stopped_;
  bool stopping_ = false;
  std::string problem_;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace skerry
