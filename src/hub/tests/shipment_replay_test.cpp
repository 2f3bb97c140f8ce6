#include "hub/shipment_replay.h"

#include <gtest/gtest.h>

#include "codec/json.h"
#include "hub/tests/hub_fixture.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

class ShipmentReplayTest : public HubTest {
 protected:
  void StopHub() {
    hub_->Stop();
    hub_.reset();
  }
  void BackUp() {
    StopHub();
    fs::copy(Data(), backup_, fs::copy_options::recursive);
    StartHub();
  }
  // Everything but the registry, which stays as it is.
  void PutBack() {
    StopHub();
    const fs::path registry = directory_.path() / "registry";
    fs::rename(Data() / "registry", registry);
    fs::remove_all(Data());
    fs::copy(backup_, Data(), fs::copy_options::recursive);
    fs::remove_all(Data() / "registry");
    fs::rename(registry, Data() / "registry");
    StartHub();
  }
  Receipt ReceiptNow() {
    const HttpReply reply = Call(SiteOptions(north_), "GET", "/v1/sites/north/receipt");
    EXPECT_EQ(reply.status, 200) << reply.body;
    return OpenReceipt(reply.body, grants_.at("north"));
  }
  std::vector<Json> Replays() {
    std::vector<Json> found;
    const Json audit = AdminJson("GET", "/v1/audit?limit=500");
    for (const Json& entry : audit.at("entries"))
      if (entry.at("action") == "shipments.replayed") found.push_back(entry.at("detail"));
    return found;
  }
  std::string Held(const Receipt& receipt) {
    return receipt.streams.empty() ? "[]" : DumpJson(receipt.streams[0].received.ToJson());
  }

  fs::path backup_ = directory_.path() / "backup";
};

TEST_F(ShipmentReplayTest, TakesWhatTheStoreForgotBeforeTheFirstReceiptAndLeavesWhatIsGone) {
  StartHub();
  JoinSite(north_);
  PushShipment(north_, "first", north_.Ship({north_.Seal({})}));
  BackUp();
  PushShipment(north_, "second", north_.Ship({north_.Seal({.first_seq = 11})}));
  const TestSegment gone = north_.Seal({.first_seq = 21});
  PushShipment(north_, "third", north_.Ship({gone}));
  PushShipment(north_, "fourth", north_.Ship({north_.Seal({.first_seq = 31})}));
  const std::string hex(gone.entry.digest.hex());
  fs::remove(Data() / "registry/blobs/sha256" / hex.substr(0, 2) / hex);
  const Json before = AdminJson("GET", "/v1/sites/north");
  PutBack();
  const Receipt receipt = ReceiptNow();
  EXPECT_EQ(receipt.hub_restores, 1U);
  EXPECT_EQ(Held(receipt), "[[1,20],[31,40]]");
  ASSERT_EQ(Replays().size(), 1U);
  EXPECT_EQ(Replays()[0], (Json{{"shipments", 3}, {"rows", 20}, {"left", 1}}));
  // It heard nothing of the site by that.
  const Json after = AdminJson("GET", "/v1/sites/north");
  EXPECT_LE(after.at("last_contact_us"), before.at("last_contact_us"));
  // The site sends what it still has, and nothing is taken again by the next start.
  PushShipment(north_, "fifth", north_.Ship({gone}));
  StopHub();
  StartHub();
  EXPECT_EQ(Held(ReceiptNow()), "[[1,40]]");
  EXPECT_EQ(Replays().size(), 1U);
}

TEST_F(ShipmentReplayTest, ASiteThatTheStoreForgotHasItsTurnWhenItJoinsAgain) {
  StartHub();
  BackUp();
  JoinSite(north_);
  PushShipment(north_, "first", north_.Ship({north_.Seal({})}));
  PutBack();
  EXPECT_EQ(AdminJson("GET", "/v1/sites").at("sites").size(), 0U);
  JoinSite(north_);  // with the key that it had
  const Receipt receipt = ReceiptNow();
  EXPECT_EQ(receipt.hub_restores, 1U);
  EXPECT_EQ(Held(receipt), "[[1,10]]");
}

TEST_F(ShipmentReplayTest, AHubThatForgotNothingBeginsNothing) {
  StartHub();
  JoinSite(north_);
  PushShipment(north_, "first", north_.Ship({north_.Seal({})}));
  BackUp();
  PutBack();
  EXPECT_EQ(ReceiptNow().hub_restores, 0U);
  PushShipment(north_, "second", north_.Ship({north_.Seal({.first_seq = 11})}));
  EXPECT_EQ(ReceiptNow().hub_restores, 0U);
  EXPECT_TRUE(Replays().empty());
}

}  // namespace
}  // namespace skerry
