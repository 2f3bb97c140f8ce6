// Bundles that come to a running hub and go back from it.
#include <gmock/gmock.h>

#include "hub/tests/hub_fixture.h"
#include "oci/media_types.h"
#include "sync/bundle.h"
#include "sync/custody.h"
#include "sync/tuf_artifact.h"
#include "trust/certificate_times.h"
#include "trust/desired_state.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

class HubBundleTest : public HubTest {
 protected:
  fs::path WriteBundle(const std::string& name, const JoinToken& token, const Artifact& shipment) {
    const fs::path path = directory_.path() / name;
    BundleWriter writer =
        Must(BundleWriter::Create(path, {name, BundleDirection::kToHub, "north"}));
    Must(writer.AddDocument(BundleKind::kJoinRequest, "join-request",
                            Must(MakeJoinRequest(token, north_.key())).ToJson()));
    Must(writer.AddDocument(BundleKind::kStatus, "status",
                            north_.SignStatusOf(north_.MakeStatus({.scored = 10}))));
    Must(writer.AddArtifact(BundleKind::kShipment, "shipment-1", shipment));
    Must(writer.Finish());
    return path;
  }
  Json Import(const fs::path& path) {
    return AdminJson("POST", "/v1/bundles/import", Json{{"path", path.string()}}.dump());
  }
};

TEST_F(HubBundleTest, SameBundleThreeTimesIsTakenOnce) {
  StartHub();
  const fs::path path =
      WriteBundle("b1", NewToken("north"), north_.Ship({north_.Seal({.rows = 10})}));
  const Json first = Import(path);
  EXPECT_EQ(first["applied"], 3) << first.dump();
  for (int i = 0; i < 2; ++i) {
    const Json again = Import(path);
    EXPECT_EQ(again["applied"], 0) << again.dump();
    EXPECT_EQ(again["repeated"], 3);
  }
  const Json sum = AdminJson("GET", "/v1/sites/north/reconciliation?recount=1");
  EXPECT_EQ(sum["terms"]["received"], 10);
  EXPECT_EQ(sum["balanced"], true);
  EXPECT_EQ(sum["recount"]["rows"], 10);
  EXPECT_EQ(sum["recount"]["duplicates"], 0);
  EXPECT_EQ(AdminJson("GET", "/v1/sites/north")["last_road"], "media");
}

TEST_F(HubBundleTest, AReceiptThatTellsMoreThanThisHubHoldsBeginsAnotherIncarnationOnce) {
  StartHub();
  JoinSite(north_);
  const fs::path backup = directory_.path() / "backup";
  hub_.reset();
  fs::copy(Data(), backup, fs::copy_options::recursive);
  StartHub();
  const std::string held = PushShipment(north_, "a", north_.Ship({north_.Seal({})}));
  hub_.reset();
  fs::remove_all(Data());
  fs::rename(backup, Data());
  StartHub();
  const fs::path path = directory_.path() / "b1";
  BundleWriter writer = Must(BundleWriter::Create(path, {"b1", BundleDirection::kToHub, "north"}));
  Must(writer.AddDocument(BundleKind::kReceipt, "receipt", held));
  Must(writer.Finish());
  EXPECT_EQ(Import(path)["applied"], 1);
  EXPECT_EQ(Import(path)["repeated"], 1);
  const HttpReply now = Call(SiteOptions(north_), "GET", "/v1/sites/north/receipt");
  EXPECT_EQ(OpenReceipt(now.body, grants_.at("north")).hub_restores, 1U);
}

TEST_F(HubBundleTest, CertificateRequestOfAStatusIsAnsweredInTheNextBundle) {
  StartHub();
  JoinSite(north_);
  clock_.Advance(400 * kDayMicros);
  const HttpClientOptions admin = [&] {
    HttpClientOptions options = AdminOptions();
    options.certificate_time_us = [] { return std::int64_t{0}; };
    return options;
  }();
  const auto bring = [&](const std::string& id, const PrivateKey& key) {
    const fs::path path = directory_.path() / id;
    BundleWriter writer = Must(BundleWriter::Create(path, {id, BundleDirection::kToHub, "north"}));
    SiteStatus status = north_.MakeStatus({});
    status.certificate_request = Must(MakeCertificateRequest(key, "north"));
    Must(writer.AddDocument(BundleKind::kStatus, "status", north_.SignStatusOf(status)));
    Must(writer.Finish());
    return Must(ParseJson(
        Call(admin, "POST", "/v1/bundles/import", Json{{"path", path.string()}}.dump()).body));
  };
  const auto grant_back = [&](const std::string& name) {
    const fs::path path = directory_.path() / name;
    Call(admin, "POST", "/v1/bundles/export",
         Json{{"site", "north"}, {"path", path.string()}}.dump());
    const BundleReader reader = Must(BundleReader::Open(path));
    const PublicKey hub_key = Must(PublicKey::FromPem(grants_.at("north").hub_key_pems.at(0)));
    for (const BundlePart& part : reader.parts())
      if (part.kind == BundleKind::kJoinGrant)
        return Must(VerifyRenewal(Must(reader.ReadDocument(part, 1U << 20U)), {&hub_key, 1},
                                  "north", grants_.at("north").ca_pem, north_.key().public_key()));
    return JoinGrant();
  };
  const Json strange = bring("b1", Must(PrivateKey::Generate()));
  EXPECT_EQ(strange["applied"], 1) << strange.dump();
  EXPECT_THAT(strange["parts"][0]["reason"].get<std::string>(), testing::HasSubstr("not one of"));
  EXPECT_EQ(grant_back("back1").certificate_pem, grants_.at("north").certificate_pem);
  EXPECT_EQ(bring("b2", north_.key())["applied"], 1);
  const JoinGrant renewed = grant_back("back2");
  EXPECT_EQ(Must(ParseCertificate(renewed.certificate_pem)).not_after_us / kDayMicros,
            (clock_.UtcMicros() + 365 * kDayMicros) / kDayMicros);
}

TEST_F(HubBundleTest, FlippedBitInABundleLeavesTheOtherParts) {
  StartHub();
  const TestSegment segment = north_.Seal({.rows = 10});
  const fs::path path = WriteBundle("b1", NewToken("north"), north_.Ship({segment}));
  const fs::path blob = path / "blobs" / "sha256" / segment.entry.digest.hex();
  std::string bytes = Must(ReadFile(blob, 1U << 20U));
  bytes[100] = static_cast<char>(bytes[100] ^ 1);
  Must(WriteFileDurably(blob, bytes));
  const Json report = Import(path);
  EXPECT_EQ(report["applied"], 2) << report.dump();
  EXPECT_EQ(report["missing"].size(), 1U);
  EXPECT_EQ(AdminJson("GET", "/v1/sites/north/reconciliation")["terms"]["received"], 0);
}

// The courier pulled the stick: blobs are missing, the one that was being copied is short.
TEST_F(HubBundleTest, HalfCopiedBundleGivesItsWholePartsAndTheWholeOneTheRest) {
  StartHub();
  const TestSegment first = north_.Seal({.rows = 10});
  const TestSegment second = north_.Seal({.first_seq = 11, .rows = 5});
  const fs::path path = WriteBundle("b1", NewToken("north"), north_.Ship({first, second}));
  const fs::path half = directory_.path() / "half";
  fs::copy(path, half, fs::copy_options::recursive);
  const fs::path blobs = half / "blobs" / "sha256";
  fs::remove(blobs / second.entry.digest.hex());
  fs::resize_file(blobs / first.entry.digest.hex(), first.entry.bytes / 2);
  const Json report = Import(half);
  EXPECT_EQ(report["applied"], 2) << report.dump();
  EXPECT_EQ(report["missing"].size(), 1U) << report.dump();
  EXPECT_EQ(AdminJson("GET", "/v1/sites/north/reconciliation")["terms"]["received"], 0);
  // index.json is written last; without it the plan tells what was to come.
  fs::remove(half / "index.json");
  const Json unfinished = Import(half);
  EXPECT_EQ(unfinished["repeated"], 2) << unfinished.dump();
  EXPECT_EQ(unfinished["missing"].size(), 2U) << unfinished.dump();
  fs::remove(half / "contents.json");
  EXPECT_EQ(Admin("POST", "/v1/bundles/import", Json{{"path", half.string()}}.dump()).status / 100,
            4);
  EXPECT_EQ(Import(path)["applied"], 1);
  EXPECT_EQ(AdminJson("GET", "/v1/sites/north/reconciliation")["terms"]["received"], 15);
}

// The manifest of a shipment is signed by nobody: it may not bring what the statement does not
// name.
TEST_F(HubBundleTest, LayersBesideTheSignedStatementAreRefusedAndNotStored) {
  StartHub();
  const TestSegment segment = north_.Seal({.rows = 10});
  const Artifact honest = north_.Ship({segment});
  std::vector<BlobSource> layers(honest.blobs.begin() + 1, honest.blobs.end());
  layers.push_back(
      BlobSource::OfBytes("application/vnd.apache.parquet", std::string(100'000, 'x')));
  const Digest bomb = layers.back().descriptor.digest;
  const Artifact forged =
      Must(MakeArtifact(media_types::kShipmentArtifact, honest.blobs[0], std::move(layers)));
  const Json report = Import(WriteBundle("b1", NewToken("north"), forged));
  EXPECT_EQ(report["refused"].size(), 1U) << report.dump();
  EXPECT_NE(report["refused"].dump().find(bomb.hex()), std::string::npos) << report.dump();
  for (const auto& entry : fs::recursive_directory_iterator(Data()))
    EXPECT_NE(entry.path().filename().string(), bomb.hex());
  EXPECT_EQ(AdminJson("GET", "/v1/sites/north/reconciliation")["terms"]["received"], 0);
}

TEST_F(HubBundleTest, CustodyIsToldAndKept) {
  StartHub();
  Import(WriteBundle("b1", NewToken("north"), north_.Ship({north_.Seal({.rows = 10})})));
  const fs::path back = directory_.path() / "back";
  AdminJson("POST", "/v1/bundles/export", Json{{"site", "north"}, {"path", back.string()}}.dump());
  const Json list = AdminJson("GET", "/v1/bundles?site=north")["bundles"];
  ASSERT_EQ(list.size(), 2U) << list.dump(2);
  EXPECT_EQ(list[0]["custody"][0]["action"], "export");
  EXPECT_EQ(list[1]["bundle"], "b1");
  EXPECT_EQ(list[1]["custody"][0]["action"], "import");
  EXPECT_EQ(list[1]["custody"][0]["parts"], 3);
  EXPECT_EQ(list[1]["custody"][0]["rows"]["sample"], 10) << list.dump(2);
  EXPECT_EQ(AdminJson("GET", "/v1/bundles?site=south")["bundles"].size(), 0U);
}

// What a site says of others' doings, or what another key signs, is not taken.
TEST_F(HubBundleTest, ForgedCustodyIsRefused) {
  StartHub();
  Import(WriteBundle("b1", NewToken("north"), north_.Ship({north_.Seal({.rows = 10})})));
  CustodyEntry entry{.bundle = "b9",
                     .site = "north",
                     .direction = "to-hub",
                     .action = "export",
                     .by = "site:north",
                     .at_us = 1,
                     .clock = "synced"};
  const auto list = Must(CustodyList::Open(directory_.path() / "forged.jsonl"));
  const auto import = [&](const std::string& name, const PrivateKey& key) {
    const fs::path path = directory_.path() / name;
    BundleWriter writer =
        Must(BundleWriter::Create(path, {name, BundleDirection::kToHub, "north"}));
    Must(writer.AddDocument(BundleKind::kCustody, "custody", Must(list->Tell(entry, key))));
    Must(writer.Finish());
    return Import(path);
  };
  const PrivateKey stranger = Must(PrivateKey::LoadOrCreate(directory_.path() / "stranger.key"));
  EXPECT_EQ(import("c1", stranger)["refused"].size(), 1U);
  EXPECT_EQ(import("c2", north_.key())["applied"], 1);
  EXPECT_EQ(import("c3", north_.key())["repeated"], 1);
  entry.by = "hub";
  EXPECT_EQ(import("c4", north_.key())["applied"], 0);
}

TEST_F(HubBundleTest, ArchiveIsTakenLikeADirectory) {
  StartHub();
  const fs::path path =
      WriteBundle("b1.tar", NewToken("north"), north_.Ship({north_.Seal({.rows = 10})}));
  EXPECT_TRUE(fs::is_regular_file(path));
  EXPECT_EQ(Import(path)["applied"], 3);
  EXPECT_EQ(Import(path)["repeated"], 3);
  EXPECT_EQ(AdminJson("GET", "/v1/sites/north/reconciliation")["terms"]["received"], 10);
  const fs::path back = directory_.path() / "back.tar";
  AdminJson("POST", "/v1/bundles/export", Json{{"site", "north"}, {"path", back.string()}}.dump());
  EXPECT_EQ(Must(BundleReader::Open(back)).parts().size(), 4U);  // and metadata, custody
  EXPECT_EQ(AdminJson("GET", "/v1/bundles/progress")["running"], false);
}

TEST_F(HubBundleTest, WhatGoesBackIsGrantReceiptDesiredStateAndModel) {
  StartHub();
  const JoinToken token = NewToken("north");
  Import(WriteBundle("b1", token, north_.Ship({north_.Seal({.rows = 10})})));
  Must(
      Push(AdminOptions(), "models/milling", "1", MakePackage(directory_.path() / "package", "1")));
  AdminJson("PUT", "/v1/sites/north/desired", R"({"model":"milling:1","fallback":"milling:1"})");
  const fs::path back = directory_.path() / "back";
  AdminJson("POST", "/v1/bundles/export", Json{{"site", "north"}, {"path", back.string()}}.dump());
  const BundleReader reader = Must(BundleReader::Open(back));
  EXPECT_EQ(reader.header().direction, BundleDirection::kToSite);
  std::map<BundleKind, BundlePart> parts;
  for (const BundlePart& part : reader.parts()) parts.emplace(part.kind, part);
  ASSERT_EQ(parts.size(), 5U);
  const JoinGrant grant =
      Must(VerifyJoinGrant(Must(reader.ReadDocument(parts.at(BundleKind::kJoinGrant), 1U << 20U)),
                           token, north_.key().public_key()));
  const Receipt receipt =
      OpenReceipt(Must(reader.ReadDocument(parts.at(BundleKind::kReceipt), 1U << 20U)), grant);
  EXPECT_EQ(receipt.streams.at(0).received.ToJson().dump(), "[[1,10]]");
  EXPECT_TRUE(reader.ReadArtifact(parts.at(BundleKind::kModel)));
  EXPECT_TRUE(
      ArtifactTufSource::Make(Must(reader.ReadArtifact(parts.at(BundleKind::kDesiredState)))));
  // A bundle to a site is not for a hub.
  EXPECT_EQ(Admin("POST", "/v1/bundles/import", Json{{"path", back.string()}}.dump()).status, 400);
  EXPECT_EQ(
      Admin("POST", "/v1/bundles/import", Json{{"path", "/nowhere/at/all"}}.dump()).status / 100,
      4);
}

}  // namespace
}  // namespace skerry
