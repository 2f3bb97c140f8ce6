// A hub's trust material and one site's token, made anew for each test.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "crypto/certificate.h"
#include "storage/file.h"
#include "trust/identity.h"
#include "trust/join.h"
#include "trust/tests/made_repository.h"

namespace skerry {

class TrustTest : public testing::Test {
 protected:
  struct Hub {
    PrivateKey key;
    CertificateAuthority ca;
    std::shared_ptr<MadeRepository> tuf;  // by the copies of one hub
  };

  Hub MakeHub(const std::string& name) {
    const std::filesystem::path directory = directory_.path() / name;
    EXPECT_TRUE(CreateDirectories(directory, 0700));
    return {*PrivateKey::Generate(), *CertificateAuthority::LoadOrCreate(directory, name, clock_),
            std::make_shared<MadeRepository>(directory / "tuf", clock_.UtcMicros())};
  }

  static JoinToken TokenOf(const Hub& hub, const std::string& site) {
    return {.site = site,
            .hub_url = "https://hub.example:8443",
            .token_id = "t1",
            .secret = "5ec2e7",
            .ca_pem = hub.ca.certificate_pem(),
            .hub_key_pem = hub.key.public_key().ToPem()};
  }

  static std::string GrantOf(const Hub& hub, const std::string& site, const PublicKey& site_key,
                             std::int64_t issued_at_us = 1) {
    const JoinGrant grant{.site = site,
                          .certificate_pem = *hub.ca.IssueSite(site_key, site),
                          .ca_pem = hub.ca.certificate_pem(),
                          .hub_key_pems = {hub.key.public_key().ToPem()},
                          .tuf_root = hub.tuf->maker.root_json(),
                          .issued_at_us = issued_at_us};
    return *SignJoinGrant(grant, hub.key);
  }

  static ModelRef Model(const std::string& version, const std::string& content) {
    return {"milling", version, Digest::Sha256(content)};
  }

  DesiredState State(std::uint64_t version) const {
    return {.site = "north",
            .version = version,
            .issued_at_us = 1'700'000'000'000'000,
            .active = Model("1", "one"),
            .fallback = std::nullopt,
            .policy = std::nullopt,
            .release = std::nullopt,
            .model_key_pems = {model_key_.public_key().ToPem()}};
  }

  // Publishes it and lets the site follow.
  Result<SiteIdentity::DesiredChange> Follow(SiteIdentity& identity, const DesiredState& state) {
    hub_.tuf->Publish(DesiredStatePath("north"), state.ToJson(), clock_.UtcMicros());
    return identity.FollowDesired(*hub_.tuf);
  }

  std::filesystem::path identity_path() const { return directory_.path() / "identity"; }

  std::unique_ptr<SiteIdentity> OpenJoined() {
    auto identity = *SiteIdentity::Open(identity_path());
    EXPECT_TRUE(identity->TakeToken(TokenOf(hub_, "north")));
    EXPECT_TRUE(identity->ApplyGrant(GrantOf(hub_, "north", identity->key().public_key())));
    return identity;
  }

  FakeClock clock_{1'750'000'000'000'000};
  TemporaryDirectory directory_ = *TemporaryDirectory::Create("trust");
  Hub hub_ = MakeHub("hub");
  PrivateKey model_key_ = *PrivateKey::Generate();
};

}  // namespace skerry
