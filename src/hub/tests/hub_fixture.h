// A real hub on loopback and clients of it, for tests.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/clock.h"
#include "codec/json.h"
#include "http/client.h"
#include "hub/hub.h"
#include "hub/tests/fake_site.h"
#include "oci/artifact.h"
#include "oci/registry_client.h"
#include "outbox/receipt.h"
#include "storage/file.h"
#include "trust/join.h"

namespace skerry {

// Verified with the hub's key that the grant names.
Receipt OpenReceipt(const std::string& envelope, const JoinGrant& grant);
// A package that the registry takes for a model; nothing loads it.
Artifact MakePackage(const std::filesystem::path& directory, const std::string& version);

class HubTest : public testing::Test {
 protected:
  void StartHub(HubOptions options = {});
  // TLS with the hub's CA and the admin token.
  HttpClientOptions AdminOptions() const;
  // With the site's certificate.
  HttpClientOptions SiteOptions(const FakeSite& site) const;
  // Trusts the hub and shows nothing.
  HttpClientOptions NobodyOptions() const;

  HttpReply Call(HttpClientOptions options, const std::string& method, const std::string& path,
                 const std::string& body = "");
  HttpReply Admin(const std::string& method, const std::string& path,
                  const std::string& body = "") {
    return Call(AdminOptions(), method, path, body);
  }
  // The JSON of a 2xx answer; fails the test otherwise.
  Json AdminJson(const std::string& method, const std::string& path, const std::string& body = "");

  JoinToken NewToken(const std::string& site);
  // By token over the link; keeps the certificate for SiteOptions.
  void JoinSite(const FakeSite& site);
  Result<PutReply> Push(HttpClientOptions options, const std::string& repository,
                        const std::string& tag, const Artifact& artifact);
  // Into the site's outbox with its own certificate; the receipt's envelope.
  std::string PushShipment(const FakeSite& site, const std::string& tag, const Artifact& artifact);

  std::filesystem::path Data() const { return directory_.path() / "hub"; }

  TemporaryDirectory directory_ = Must(TemporaryDirectory::Create("hub"));
  FakeClock clock_{SystemClock().UtcMicros()};
  std::unique_ptr<Hub> hub_;
  FakeSite north_{"north", directory_.path() / "north"};
  std::map<std::string, JoinGrant> grants_;
};

}  // namespace skerry
