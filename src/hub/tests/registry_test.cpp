// What the hub does with its registry: it is kept clean, and sites lose nothing by it.
#include "hub/tests/hub_fixture.h"
#include "oci/media_types.h"

namespace skerry {
namespace {

TEST_F(HubTest, CollectionTakesNothingOfASite) {
  StartHub();
  JoinSite(north_);
  const Artifact first = north_.Ship({north_.Seal({.rows = 20})});
  const std::string receipt = PushShipment(north_, "first", first);
  // A shipment on its way: its segment is here, its manifest is not.
  const Artifact second = north_.Ship({north_.Seal({.first_seq = 21, .rows = 5})});
  HttpClient client(SiteOptions(north_));
  RegistryClient registry(hub_->url(), client);
  for (const BlobSource& blob : second.blobs)
    if (!blob.descriptor.data) Must(registry.PushBlob("sites/north/outbox", blob));
  EXPECT_EQ(AdminJson("POST", "/v1/registry/collect", "{}")["links"], 0);
  const auto put = registry.PutManifest("sites/north/outbox", "second", second.manifest_bytes,
                                        second.manifest.media_type);
  ASSERT_TRUE(put) << put.error().ToString();

  // Even without any grace, what a shipment or a receipt names stays.
  AdminJson("POST", "/v1/registry/collect", R"({"grace_s":0})");
  for (const auto& [tag, shipment] : {std::pair{"first", &first}, std::pair{"second", &second}}) {
    const Artifact pulled =
        Must(registry.PullArtifact("sites/north/outbox", tag, directory_.path() / tag));
    EXPECT_EQ(pulled.manifest.digest, shipment->manifest.digest);
  }
  EXPECT_EQ(Must(registry.Tags("sites/north/receipts")).size(), 3U);
  EXPECT_EQ(OpenReceipt(put->body, grants_.at("north")).streams[0].received.ToJson().dump(),
            "[[1,25]]");
  const Json sum = AdminJson("GET", "/v1/sites/north/reconciliation?recount=1");
  EXPECT_EQ(sum["recount"]["rows"], 25);
  EXPECT_EQ(Admin("POST", "/v1/registry/collect", R"({"grace_s":99999999})").status, 400);
  EXPECT_EQ(Call(SiteOptions(north_), "POST", "/v1/registry/collect", "{}").status, 401);
}

}  // namespace
}  // namespace skerry
