#include "sync/bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "base/ids.h"
#include "base/limits.h"
#include "oci/cosign.h"
#include "oci/modelpack.h"
#include "sync/shipment_artifact.h"
#include "sync/tests/site_fixture.h"

namespace skerry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class BundleTest : public SiteFixture {
 protected:
  BundleTest() { OpenSite(); }

  // What a hub puts on the medium for the site.
  void WriteToSite(const std::filesystem::path& path, const std::string& site,
                   const std::vector<std::pair<BundleKind, std::string>>& documents,
                   const std::vector<ModelRef>& models = {},
                   const std::optional<PolicyRef>& policy = std::nullopt,
                   const std::optional<Artifact>& desired = std::nullopt) {
    BundleWriter writer =
        BundleWriter::Create(path, {RandomHex(16), BundleDirection::kToSite, site}).value();
    for (const auto& [kind, document] : documents)
      Must(writer.AddDocument(kind, BundleKindName(kind), document));
    if (desired) Must(writer.AddArtifact(BundleKind::kDesiredState, "desired-state", *desired));
    for (const ModelRef& model : models) {
      const std::string repository = "models/" + model.name;
      Must(writer.AddArtifact(
          BundleKind::kModel, model.ToString(),
          hub_.registry().GetArtifact(repository, model.digest.ToString()).value()));
      const auto signatures = hub_.registry().Referrers(repository, model.digest, "").value();
      for (const Descriptor& signature : signatures)
        Must(writer.AddArtifact(
            BundleKind::kSignature, model.ToString(),
            hub_.registry().GetArtifact(repository, signature.digest.ToString()).value()));
    }
    if (policy)
      Must(
          writer.AddArtifact(BundleKind::kPolicy, policy->ToString(),
                             hub_.registry()
                                 .GetArtifact("policies/" + policy->name, policy->digest.ToString())
                                 .value()));
    Must(writer.Finish());
  }

  // Grant, desired state, policy and model in one.
  std::filesystem::path WriteWholeBundle(const std::string& name) {
    Must(identity_->TakeToken(hub_.MakeToken("north", "")));
    const std::string grant = hub_.Grant(identity_->MakeRequest().value()).value();
    model_ = hub_.Publish(MakePackage("one"), "milling", "1");
    policy_ref_ = hub_.PublishPolicy("milling", "1", OpenPolicyYaml());
    DesiredState state;
    state.version = 1;
    state.active = model_;
    state.policy = policy_ref_;
    WriteToSite(Path(name), "north",
                {{BundleKind::kReceipt, hub_.CurrentReceipt()}, {BundleKind::kJoinGrant, grant}},
                {model_}, policy_ref_, hub_.SetDesired(state));
    return Path(name);
  }

  static std::string Describe(const BundleReport& report) {
    return DumpJsonPretty(report.ToJson());
  }

  TestHub hub_{Path("hub"), TestHub::Transport::kPlain, clock_};
  ModelRef model_;
  PolicyRef policy_ref_;
};

TEST_F(BundleTest, WhatIsWrittenIsReadInTheOrderOfItsUse) {
  WriteToSite(Path("b"), "north",
              {{BundleKind::kReceipt, "receipt"}, {BundleKind::kJoinGrant, "grant"}});
  const BundleReader reader = BundleReader::Open(Path("b")).value();
  EXPECT_EQ(reader.header().site, "north");
  EXPECT_EQ(reader.header().direction, BundleDirection::kToSite);
  ASSERT_EQ(reader.parts().size(), 2U);
  EXPECT_EQ(reader.parts()[0].kind, BundleKind::kJoinGrant);
  EXPECT_EQ(reader.ReadDocument(reader.parts()[0], 100).value(), "grant");
  EXPECT_EQ(reader.ReadDocument(reader.parts()[1], 100).value(), "receipt");
}

TEST_F(BundleTest, PartsThatGoTheOtherWayAreNotWritten) {
  BundleWriter writer =
      BundleWriter::Create(Path("b"), {"1", BundleDirection::kToHub, "north"}).value();
  EXPECT_EQ(writer.AddDocument(BundleKind::kJoinGrant, "join-grant", "x").error().code(),
            ErrorCode::kInvalidArgument);
  EXPECT_FALSE(BundleReader::Open(Path("b"))) << "not finished: no bundle";
}

TEST_F(BundleTest, DirectoryThatIsNoBundleIsRefused) {
  EXPECT_FALSE(BundleReader::Open(Path("nothing")));
  std::filesystem::create_directory(Path("empty"));
  EXPECT_FALSE(BundleReader::Open(Path("empty")));
}

TEST_F(BundleTest, OneBundleJoinsDeploysAndIsHarmlessThreeTimes) {
  const auto path = WriteWholeBundle("b");
  const auto first = ImportSiteBundle(BundleParts(), path);
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(first->Count(PartResult::kRefused), 0U) << Describe(*first);
  EXPECT_EQ(first->Count(PartResult::kMissing), 0U) << Describe(*first);
  EXPECT_TRUE(identity_->joined());
  EXPECT_THAT(target_.models, ElementsAre(model_));
  EXPECT_THAT(target_.policies, ElementsAre(policy_ref_));
  for (int i = 0; i < 2; ++i) {
    const auto again = ImportSiteBundle(BundleParts(), path);
    ASSERT_TRUE(again) << again.error().message();
    EXPECT_EQ(again->Count(PartResult::kRepeated), again->parts.size()) << Describe(*again);
  }
  EXPECT_EQ(target_.models.size(), 1U);
}

TEST_F(BundleTest, ArchiveJoinsAndDeploysAndLeavesNoCopies) {
  const auto path = WriteWholeBundle("b.tar");
  EXPECT_TRUE(std::filesystem::is_regular_file(path));
  const auto report = ImportSiteBundle(BundleParts(), path);
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(report->Count(PartResult::kRefused) + report->Count(PartResult::kMissing), 0U)
      << Describe(*report);
  EXPECT_THAT(target_.models, ElementsAre(model_));
  for (const auto& entry : std::filesystem::directory_iterator(Path("site/sync")))
    EXPECT_FALSE(entry.path().filename().string().starts_with("bundle")) << entry.path();
  EXPECT_EQ(ImportSiteBundle(BundleParts(), path)->Count(PartResult::kRepeated),
            report->parts.size());
}

TEST_F(BundleTest, InterruptedExportIsGoneOnWithUnderItsId) {
  Capture(1200);
  for (const char* name : {"out", "out.tar"}) {
    const BundleReport first = ExportSiteBundle(BundleParts(), Path(name)).value();
    // As if the courier had pulled the stick before the index was written.
    if (std::string(name) == "out") {
      std::filesystem::remove(Path(name) / "index.json");
    } else {
      std::filesystem::rename(Path(name), Path("out.tar.partial"));
      const auto size = std::filesystem::file_size(Path("out.tar.partial"));
      std::filesystem::resize_file(Path("out.tar.partial"), size - 4'096);
    }
    Capture(50, 9);
    const auto second = ExportSiteBundle(BundleParts(), Path(name));
    ASSERT_TRUE(second) << second.error().message();
    EXPECT_EQ(second->header.id, first.header.id);
    EXPECT_GT(second->parts.size(), first.parts.size());
    const BundleReader reader = BundleReader::Open(Path(name)).value();
    EXPECT_THAT(reader.other_outcomes(), IsEmpty());
    const Json description = DescribeBundle(reader, true);
    EXPECT_EQ(description["whole"], second->parts.size()) << description.dump(2);
    EXPECT_EQ(ExportSiteBundle(BundleParts(), Path(name)).error().code(),
              ErrorCode::kAlreadyExists);
  }
}

TEST_F(BundleTest, CustodyTellsWhoHadWhichBundleAndSurvivesACutLine) {
  JoinDirectly(hub_);
  Capture(120);
  const BundleReport out = ExportSiteBundle(BundleParts(), Path("out")).value();
  // The hub's answer tells of its own doings.
  const auto hub_list = CustodyList::Open(Path("hub-custody.jsonl")).value();
  CustodyEntry entry;
  entry.bundle = out.header.id;
  entry.site = "north";
  entry.direction = "to-hub";
  entry.action = "import";
  entry.by = "hub";
  entry.clock = "synced";
  entry.at_us = clock_.UtcMicros() + 5'000'000;
  const std::string told = hub_list->Tell(entry, hub_.key()).value();
  WriteToSite(Path("back"), "north", {{BundleKind::kCustody, told}});
  EXPECT_EQ(ImportSiteBundle(BundleParts(), Path("back")).value().Count(PartResult::kApplied), 1U);
  EXPECT_EQ(ImportSiteBundle(BundleParts(), Path("back")).value().Count(PartResult::kRepeated), 1U);
  const Json list = custody_->ToJson()["bundles"];
  ASSERT_EQ(list.size(), 2U) << list.dump(2);
  const Json of_out = list[1]["custody"];
  ASSERT_EQ(of_out.size(), 2U) << of_out.dump(2);
  EXPECT_EQ(of_out[0]["by"], "site:north");
  EXPECT_EQ(of_out[0]["rows"]["sample"], 120) << of_out.dump(2);
  EXPECT_EQ(of_out[1]["by"], "hub");
  // A crash in the middle of an append costs that line.
  const auto before = custody_->entries();
  custody_.reset();
  std::ofstream(Path("custody.jsonl"), std::ios::app) << R"({"bundle":"cut)";
  custody_ = CustodyList::Open(Path("custody.jsonl")).value();
  EXPECT_EQ(custody_->entries(), before);
  ASSERT_TRUE(custody_->Add({entry}));
  custody_ = CustodyList::Open(Path("custody.jsonl")).value();
  EXPECT_EQ(custody_->entries(), before) << "the entry was known";
}

TEST_F(BundleTest, UnfinishedBundleOfAnotherSiteIsLeftAlone) {
  WriteToSite(Path("b"), "south", {{BundleKind::kReceipt, hub_.CurrentReceipt()}});
  std::filesystem::remove(Path("b") / "index.json");
  EXPECT_EQ(ExportSiteBundle(BundleParts(), Path("b")).error().code(), ErrorCode::kAlreadyExists);
}

TEST_F(BundleTest, DescriptionNamesEveryBlobThatIsMissing) {
  const auto path = WriteWholeBundle("b");
  EXPECT_FALSE(DescribeBundle(BundleReader::Open(path).value(), false).contains("whole"));
  const Artifact model = hub_.registry().GetArtifact("models/milling", "1").value();
  for (const std::size_t i : {1U, 2U})
    std::filesystem::remove(path / "blobs" / "sha256" /
                            std::string(model.blobs[i].descriptor.digest.hex()));
  const Json description = DescribeBundle(BundleReader::Open(path).value(), true);
  EXPECT_EQ(description["damaged"], 1);
  EXPECT_EQ(description["whole"], description["parts"].size() - 1);
  for (const Json& part : description["parts"])
    EXPECT_EQ(part.value("faults", Json::array()).size(), part["kind"] == "model" ? 2U : 0U);
}

TEST_F(BundleTest, OneBundleAtATime) {
  const auto work = bundle_progress_.Begin("export").value();
  EXPECT_EQ(ExportSiteBundle(BundleParts(), Path("x")).error().code(),
            ErrorCode::kFailedPrecondition);
  EXPECT_FALSE(std::filesystem::exists(Path("x")));
}

TEST_F(BundleTest, AnotherSitesBundleIsRefusedAsAWhole) {
  WriteToSite(Path("b"), "south", {{BundleKind::kReceipt, hub_.CurrentReceipt()}});
  const auto report = ImportSiteBundle(BundleParts(), Path("b"));
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), ErrorCode::kPermissionDenied);
  EXPECT_THAT(report.error().message(), HasSubstr("south"));
}

TEST_F(BundleTest, BundleOnItsWayToTheHubIsRefused) {
  BundleWriter writer =
      BundleWriter::Create(Path("b"), {"1", BundleDirection::kToHub, "north"}).value();
  Must(writer.AddDocument(BundleKind::kStatus, "status", "x"));
  Must(writer.Finish());
  EXPECT_EQ(ImportSiteBundle(BundleParts(), Path("b")).error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(BundleTest, ForgedAndOlderDocumentsAreRefusedOneByOne) {
  const auto path = WriteWholeBundle("b");
  ImportSiteBundle(BundleParts(), path).value();
  TestHub stranger(Path("stranger"), TestHub::Transport::kPlain, clock_);
  stranger.MakeToken("north", "");
  DesiredState state;
  state.version = 9;
  state.active = model_;
  WriteToSite(Path("forged"), "north", {{BundleKind::kReceipt, stranger.CurrentReceipt()}}, {},
              std::nullopt, stranger.SetDesired(state));
  const auto report = ImportSiteBundle(BundleParts(), Path("forged")).value();
  EXPECT_EQ(report.Count(PartResult::kRefused), 2U) << Describe(report);
  EXPECT_EQ(identity_->desired()->version, 1U);
}

TEST_F(BundleTest, EveryFlippedBitIsFoundAndTheOtherPartsAreUsed) {
  const auto path = WriteWholeBundle("b");
  // Joined, since a site that has not joined rightly believes nothing beside the grant.
  ImportSiteBundle(BundleParts(), path).value();
  std::vector<std::filesystem::path> blobs;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path / "blobs"))
    if (entry.is_regular_file()) blobs.push_back(entry.path());
  for (std::size_t i = 0; i < blobs.size(); ++i) {
    const std::string copy_name = "copy" + std::to_string(i);
    std::filesystem::copy(path, Path(copy_name), std::filesystem::copy_options::recursive);
    const auto blob = Path(copy_name) / std::filesystem::relative(blobs[i], path);
    std::string bytes = ReadFile(blob, 1U << 30U).value();
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
    std::filesystem::remove(blob);
    std::ofstream(blob, std::ios::binary) << bytes;

    CloseSite();
    std::filesystem::remove_all(Path("site/packages"));
    std::filesystem::remove_all(Path("site/sync"));
    std::filesystem::remove_all(Path("site/policies"));
    target_ = RecordingTarget();
    OpenSite();
    const auto report = ImportSiteBundle(BundleParts(), Path(copy_name));
    ASSERT_TRUE(report) << report.error().message();
    const bool of_the_empty_config = bytes.size() == 2;  // known to everybody, so nothing is lost
    EXPECT_EQ(report->Count(PartResult::kMissing) == 0, of_the_empty_config) << Describe(*report);
    for (const PartOutcome& part : report->parts)
      EXPECT_EQ(part.reason.empty(), part.result < PartResult::kMissing) << Describe(*report);
    EXPECT_LE(report->Count(PartResult::kMissing) + report->Count(PartResult::kRefused), 2U)
        << Describe(*report);
    std::filesystem::remove_all(Path(copy_name));
  }
}

TEST_F(BundleTest, HalfCopiedBundleGivesItsWholePartsAndNamesTheOthers) {
  const auto path = WriteWholeBundle("b");
  const auto large = Path("b") / "blobs" / "sha256";
  const Artifact model = hub_.registry().GetArtifact("models/milling", "1").value();
  std::filesystem::remove(large / std::string(model.blobs.back().descriptor.digest.hex()));
  const auto report = ImportSiteBundle(BundleParts(), path).value();
  EXPECT_TRUE(identity_->joined());
  EXPECT_THAT(target_.policies, ElementsAre(policy_ref_));
  EXPECT_THAT(target_.models, IsEmpty());
  EXPECT_THAT(report.ToJson()["missing"].dump(), HasSubstr("model milling:1"));
  // A second, whole copy brings the rest.
  WriteToSite(Path("second"), "north", {}, {model_});
  ImportSiteBundle(BundleParts(), Path("second")).value();
  EXPECT_THAT(target_.models, ElementsAre(model_));
}

TEST_F(BundleTest, ModelThatNoDesiredStateNamesIsRefused) {
  const auto path = WriteWholeBundle("b");
  ImportSiteBundle(BundleParts(), path).value();
  const ModelRef other = hub_.Publish(MakePackage("two", 50), "milling", "2");
  WriteToSite(Path("other"), "north", {}, {other});
  const auto report = ImportSiteBundle(BundleParts(), Path("other")).value();
  EXPECT_EQ(report.Count(PartResult::kRefused), 2U) << Describe(report);
  EXPECT_THAT(target_.models, ElementsAre(model_));
}

TEST_F(BundleTest, ExportCarriesTheRequestTheStatusAndEveryPendingShipment) {
  Must(identity_->TakeToken(hub_.MakeToken("north", "")));
  Capture(1200);
  const auto report = ExportSiteBundle(BundleParts(), Path("out"));
  ASSERT_TRUE(report) << report.error().message();
  const BundleReader reader = BundleReader::Open(Path("out")).value();
  EXPECT_EQ(reader.header().direction, BundleDirection::kToHub);
  std::uint64_t rows = 0;
  bool request = false;
  bool status = false;
  for (const BundlePart& part : reader.parts()) {
    if (part.kind == BundleKind::kJoinRequest) {
      const auto parsed = JoinRequest::FromJson(reader.ReadDocument(part, 1 << 20).value());
      request = hub_.Grant(parsed.value()).has_value();
    }
    if (part.kind == BundleKind::kStatus) {
      const std::vector<PublicKey> keys{identity_->key().public_key()};
      status = VerifyStatus(reader.ReadDocument(part, 1 << 20).value(), keys).has_value();
    }
    if (part.kind != BundleKind::kShipment) continue;
    const Artifact artifact = reader.ReadArtifact(part).value();
    const Manifest manifest = Manifest::Parse(artifact.manifest_bytes).value();
    const std::vector<PublicKey> keys{identity_->key().public_key()};
    const auto statement =
        VerifyStatement(artifact.FindBlob(manifest.config->digest)->Read(1 << 20).value(), keys);
    ASSERT_TRUE(statement) << statement.error().message();
    for (const SegmentEntry& segment : statement->segments) {
      EXPECT_NE(artifact.FindBlob(segment.digest), nullptr);
      rows += segment.primary_rows;
    }
  }
  EXPECT_TRUE(request);
  EXPECT_TRUE(status);
  EXPECT_EQ(rows, 1200U);
}

TEST_F(BundleTest, ExportCarriesMoreShipmentsThanALinkIsOfferedAtOnce) {
  Must(identity_->TakeToken(hub_.MakeToken("north", "")));
  const std::size_t many = limits::kShipmentsOffered + 4;
  for (std::size_t i = 0; i < many; ++i) {
    Capture(1);
    Must(outbox_->SealNow());
    ASSERT_TRUE(outbox_->PendingShipments()) << "makes a statement of it";
  }
  EXPECT_EQ(outbox_->PendingShipments().value().size(), limits::kShipmentsOffered);
  const auto report = ExportSiteBundle(BundleParts(), Path("out"));
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(std::ranges::count(report->parts, "shipment", &PartOutcome::kind),
            static_cast<std::ptrdiff_t>(many));
  EXPECT_EQ(report->Count(PartResult::kMissing), 0U);
}

TEST_F(BundleTest, ExportIntoADirectoryThatHoldsSomethingIsRefused) {
  std::filesystem::create_directory(Path("full"));
  std::ofstream(Path("full") / "holiday.jpg") << "x";
  EXPECT_EQ(ExportSiteBundle(BundleParts(), Path("full")).error().code(),
            ErrorCode::kAlreadyExists);
}

}  // namespace
}  // namespace skerry
