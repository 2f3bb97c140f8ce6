// One running hub: what `skerry hub` starts.
//
// Role: composition root of the hub process. Owns, in this order, the data directory's lock, the
// keys and the CA, the store (SQLite), the registry, ingest, lake, runs and the HTTP server whose
// routes stand in api.cpp. Stop() and the destructor take them down in reverse order.
//   auto hub = Hub::Start({.data = "/var/lib/skerry-hub"});
//   std::puts((*hub)->url().c_str());  ...  (*hub)->Stop();
//
// Data directory:
//   hub.db                 sites, tokens, ledger of what was received, labels, runs, audit log
//   keys/hub.key           0600; signs receipts and grants
//   keys/tuf/<id>.pem      0600; sign what sites should run (trust_desk.h); root's may be elsewhere
//   keys/model.key         0600; signs model packages (cosign bundles)
//   keys/bundle.key        0600; opens bundles that are encrypted to the hub
//   keys/server.key        0600; of the TLS server
//   keys/server.pem        its certificate (server_certificate.h)
//   ca/ca.key 0600, ca.pem the hub's own CA: server and site certificates
//   registry/              the OCI registry (oci/registry.h), or what of one in S3 is under way
//   lake/                  released records as Parquet (lake.h, docs/formats/lake.md)
//   corrections/clock/     what is known of times that sites got wrong (clock_corrector.h)
//   quarantine/            segments that were set aside, by digest
//   models/                unpacked packages, a cache by digest
//   runs/<id>/             a run: spec, log, what it made
//   custody.jsonl          which bundle was exported and imported by whom (sync/custody.h)
//   admin.token            0600; the bearer token of every admin route
//   endpoint.json          0600; {"url","public_url","pid","token_file","ca_file"}; removed by Stop
//   lock                   held while the process lives
//
// Errors of Start: kFailedPrecondition (another process holds the directory), kUnavailable (port in
// use, named), kInvalidArgument (plain HTTP or an open registry on an address that is not
// loopback; training grounds that are none), kPermissionDenied (a secret that others may read),
// kDataLoss (damaged store). Thread-safe after Start.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/error.h"
#include "hub/training_grounds.h"

namespace skerry {

struct HubOptions {
  std::filesystem::path data{};  // made when absent (0700)
  std::string listen_address = "127.0.0.1";
  std::uint16_t listen_port = 8443;  // 0: the kernel's choice
  // As sites reach it, where that is another host or port than it listens on: in their tokens, and
  // the certificate names the host. Empty: this machine's name, or the address that it listens on.
  std::string public_url{};
  std::string registry{};      // "s3://BUCKET/PREFIX" (oci/registry_storage.h); empty: files
  bool plain_http = false;     // no TLS; on loopback only
  bool open_registry = false;  // anyone may use /v2; on loopback only, for tests of tools
  bool restored = false;       // the directory is a back-up's: another incarnation begins
  int http_loops = 1;
  int http_workers = 4;
  // skerry, started for runs; empty: this executable.
  std::filesystem::path program{};
  TrainingGrounds training{};  // what training runs may read and use
};

class Hub {
 public:
  // `clock` is borrowed; null: the system's.
  static Result<std::unique_ptr<Hub>> Start(HubOptions options, const Clock* clock = nullptr);
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;
  ~Hub();

  // "https://127.0.0.1:8443"
  std::string url() const;
  std::string admin_token() const;
  // The CA to trust when talking to url(); empty with plain_http.
  std::string ca_pem() const;
  // Finishes requests under way, ends a running child, removes endpoint.json. Repeats are harmless.
  void Stop();

 private:
  struct Parts;
  explicit Hub(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace skerry
