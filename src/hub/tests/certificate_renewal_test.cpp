// Certificates as they age: the hub's own, and those of its sites.
#include <gmock/gmock.h>

#include <thread>

#include "hub/tests/hub_fixture.h"
#include "trust/certificate_times.h"

namespace skerry {
namespace {

using testing::HasSubstr;

class CertificateRenewalTest : public HubTest {
 protected:
  // By no clock of this machine's, since the hub has one of its own.
  HttpReply CallAs(HttpClientOptions options, const std::string& method, const std::string& path,
                   const std::string& body = "") {
    options.certificate_time_us = [] { return std::int64_t{0}; };
    return Call(std::move(options), method, path, body);
  }
  static std::string RenewalOf(const std::string& name, const PrivateKey& key) {
    return Json{{"csr_pem", Must(MakeCertificateRequest(key, name))}}.dump();
  }
  HttpReply Renew(HttpClientOptions options, const std::string& site, const PrivateKey& key) {
    return CallAs(std::move(options), "POST", "/v1/sites/" + site + "/certificate",
                  RenewalOf(site, key));
  }
  JoinGrant GrantIn(const HttpReply& reply) const {
    const JoinGrant& held = grants_.at("north");
    const PublicKey hub_key = Must(PublicKey::FromPem(held.hub_key_pems.at(0)));
    return Must(
        VerifyRenewal(reply.body, {&hub_key, 1}, "north", held.ca_pem, north_.key().public_key()));
  }
  std::int64_t ServerEnd() {
    HttpClientOptions options = NobodyOptions();
    options.certificate_time_us = [] { return std::int64_t{0}; };
    HttpClient client(options);
    Must(client.Send({.method = "GET", .url = hub_->url() + "/healthz"}));
    return client.server_certificate_expires_us();
  }
};

TEST_F(CertificateRenewalTest, AnExpiredCertificateOpensTheRenewalRouteAloneAndTheNewOneTheOthers) {
  StartHub();
  JoinSite(north_);
  clock_.Advance(400 * kDayMicros);
  const HttpReply refused = CallAs(SiteOptions(north_), "GET", "/v1/sites/north/receipt");
  EXPECT_EQ(refused.status, 401);
  EXPECT_THAT(refused.body, HasSubstr("expired on"));
  EXPECT_THAT(refused.body, HasSubstr("renew it"));
  EXPECT_EQ(CallAs(SiteOptions(north_), "GET", "/v2/").status, 401);
  EXPECT_EQ(CallAs(SiteOptions(north_), "POST", "/v1/sites/north/status", "{}").status, 401);

  const HttpReply renewed = Renew(SiteOptions(north_), "north", north_.key());
  ASSERT_EQ(renewed.status, 200) << renewed.body;
  const JoinGrant grant = GrantIn(renewed);
  // Again: the answer was lost. The same certificate, and no new line in the audit log.
  EXPECT_EQ(GrantIn(Renew(NobodyOptions(), "north", north_.key())).certificate_pem,
            grant.certificate_pem);
  grants_.at("north") = grant;
  EXPECT_EQ(CallAs(SiteOptions(north_), "GET", "/v1/sites/north/receipt").status, 200);
  const HttpReply audit = CallAs(AdminOptions(), "GET", "/v1/audit");
  EXPECT_THAT(audit.body, HasSubstr("site.renew"));
  EXPECT_EQ(audit.body.find("site.renew"), audit.body.rfind("site.renew"));
}

TEST_F(CertificateRenewalTest, AKeyThatIsNotTheSitesOrWasRevokedGetsNone) {
  StartHub();
  JoinSite(north_);
  FakeSite south("south", directory_.path() / "south");
  JoinSite(south);
  clock_.Advance(300 * kDayMicros);
  EXPECT_EQ(Renew(SiteOptions(south), "north", south.key()).status, 403);
  EXPECT_EQ(CallAs(SiteOptions(south), "POST", "/v1/sites/north/certificate",
                   RenewalOf("south", south.key()))
                .status,
            403);
  EXPECT_EQ(Renew(NobodyOptions(), "nobody", south.key()).status, 403);
  EXPECT_EQ(
      CallAs(NobodyOptions(), "POST", "/v1/sites/north/certificate", R"({"csr_pem":"x"})").status,
      400);

  EXPECT_EQ(CallAs(SiteOptions(south), "POST", "/v1/sites/north/revoke").status, 401);
  EXPECT_EQ(CallAs(AdminOptions(), "POST", "/v1/sites/nobody/revoke").status, 404);
  const HttpReply revoked = CallAs(AdminOptions(), "POST", "/v1/sites/north/revoke");
  EXPECT_EQ(revoked.status, 200) << revoked.body;
  EXPECT_EQ(CallAs(SiteOptions(north_), "GET", "/v1/sites/north/receipt").status, 401);
  EXPECT_EQ(Renew(SiteOptions(north_), "north", north_.key()).status, 403);
  EXPECT_TRUE(Must(ParseJson(CallAs(AdminOptions(), "GET", "/v1/sites/north").body))["certificate"]
                  .is_null());
  EXPECT_EQ(CallAs(SiteOptions(south), "GET", "/v1/sites/south/receipt").status, 200);
}

TEST_F(CertificateRenewalTest, ARevokedSiteJoinsAnewWithANewToken) {
  StartHub();
  const JoinToken token = NewToken("north");
  const std::string request = Must(MakeJoinRequest(token, north_.key())).ToJson();
  EXPECT_EQ(Call(NobodyOptions(), "POST", "/v1/join", request).status, 200);
  EXPECT_EQ(Admin("POST", "/v1/sites/north/revoke").status, 200);
  EXPECT_EQ(Call(NobodyOptions(), "POST", "/v1/join", request).status, 403) << "the old token";
  JoinSite(north_);
  EXPECT_EQ(Call(SiteOptions(north_), "GET", "/v1/sites/north/receipt").status, 200);
}

TEST_F(CertificateRenewalTest, TheHubTellsHowLongEachSitesCertificateLasts) {
  StartHub();
  JoinSite(north_);
  const auto north = [&] {
    return Must(ParseJson(CallAs(AdminOptions(), "GET", "/v1/overview").body));
  };
  EXPECT_EQ(north()["sites"][0]["certificate"]["days_left"], 364)
      << "less than a second too few for one more";
  EXPECT_EQ(north()["alarms"].size(), 0U);
  clock_.Advance(366 * kDayMicros);
  EXPECT_EQ(north()["sites"][0]["certificate"]["days_left"], -2);
  ASSERT_EQ(north()["alarms"].size(), 1U);
  EXPECT_THAT(north()["alarms"][0]["text"].get<std::string>(), HasSubstr("expired on"));
}

TEST_F(CertificateRenewalTest, TheHubRenewsItsOwnWhileItRunsAndWhenItStarts) {
  StartHub();
  const std::int64_t first_us = ServerEnd();
  clock_.Advance(300 * kDayMicros);
  for (int i = 0; i < 300 && ServerEnd() == first_us; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(ServerEnd(), first_us + 300 * kDayMicros);
  // A clock that was far ahead: sites know its time from then on, so what follows lasts as long.
  hub_.reset();
  clock_.Advance(std::int64_t{80} * 365 * kDayMicros);
  StartHub();
  const std::int64_t far_us = ServerEnd();
  hub_.reset();
  clock_.SetUtc(SystemClock().UtcMicros());
  StartHub();
  EXPECT_GE(ServerEnd(), far_us);
}

TEST_F(CertificateRenewalTest, AClockIn1970AtTheHubShutsNobodyOut) {
  StartHub();
  JoinSite(north_);
  clock_.SetUtc(0);
  EXPECT_EQ(CallAs(SiteOptions(north_), "GET", "/v1/sites/north/receipt").status, 200);
}

}  // namespace
}  // namespace skerry
