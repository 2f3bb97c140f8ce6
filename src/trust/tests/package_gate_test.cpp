#include "trust/package_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "model/tests/fixture_package.h"
#include "oci/cosign.h"
#include "oci/modelpack.h"
#include "trust/tests/trust_fixture.h"

namespace skerry {
namespace {

using testing::HasSubstr;

class PackageGateTest : public TrustTest {
 protected:
  void SetUp() override {
    package_ = directory_.path() / "package";
    fixture::WritePackage(package_);
    Pack("1");
  }

  // What a hub would publish under this version, from the directory as it is now.
  void Pack(const std::string& version) {
    artifact_ = *PackModel(package_, "milling", version);
    ref_ = {"milling", version, artifact_.manifest.digest};
    state_ = State(1);
    state_.active = ref_;
  }

  std::string SignedBy(const PrivateKey& key, const Descriptor& subject) const {
    const Artifact bundle = *MakeCosignBundle(subject, key);
    const Manifest manifest = *Manifest::Parse(bundle.manifest_bytes);
    return *bundle.FindBlob(manifest.layers.at(0).digest)->Read(1 << 20);
  }

  Status CheckManifest(const std::vector<std::string>& bundles) {
    return gate_.CheckManifest(ref_, artifact_.manifest_bytes, bundles, state_);
  }

  std::unique_ptr<SiteIdentity> identity_ = OpenJoined();
  // Without a limit on memory: a sanitizer's shadow is larger than any sound one.
  PackageGate gate_{*identity_,
                    {.smoke_program = SelfExecutable(), .smoke_limits = {.memory_bytes = 0}}};
  std::filesystem::path package_;
  Artifact artifact_;
  ModelRef ref_;
  DesiredState state_;
};

TEST_F(PackageGateTest, SignedPackagePassesEveryCheck) {
  const Status manifest = CheckManifest({SignedBy(model_key_, artifact_.manifest)});
  EXPECT_TRUE(manifest) << manifest.error().message();
  const Status package = gate_.CheckPackage(ref_, package_);
  EXPECT_TRUE(package) << package.error().message();
  EXPECT_TRUE(gate_.Admit(ref_));
}

TEST_F(PackageGateTest, UnsignedIsRefused) {
  const Status checked = CheckManifest({});
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code(), ErrorCode::kPermissionDenied);
  EXPECT_THAT(checked.error().message(), HasSubstr("signature check of milling:1"));
}

TEST_F(PackageGateTest, SignatureByAnotherKeyIsRefusedUnlessARightOneIsBesideIt) {
  const std::string strangers = SignedBy(*PrivateKey::Generate(), artifact_.manifest);
  EXPECT_EQ(CheckManifest({strangers}).error().code(), ErrorCode::kPermissionDenied);
  EXPECT_TRUE(CheckManifest({strangers, SignedBy(model_key_, artifact_.manifest)}));
}

TEST_F(PackageGateTest, SignatureOfAnotherDigestIsRefused) {
  const std::string first = SignedBy(model_key_, artifact_.manifest);
  Pack("2");
  EXPECT_FALSE(CheckManifest({first}));
}

TEST_F(PackageGateTest, AlteredManifestIsRefused) {
  const std::string bundle = SignedBy(model_key_, artifact_.manifest);
  artifact_.manifest_bytes.back() = ' ';
  const Status checked = CheckManifest({bundle});
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().message(), HasSubstr("signature check"));
}

TEST_F(PackageGateTest, OlderVersionIsRefusedAfterANewerOneWasAdmitted) {
  const std::string bundle = SignedBy(model_key_, artifact_.manifest);
  ASSERT_TRUE(gate_.Admit({"milling", "2", Digest::Sha256("two")}));
  const Status checked = CheckManifest({bundle});
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code(), ErrorCode::kConflict);
  EXPECT_THAT(checked.error().message(), HasSubstr("version order check of milling:1"));
  state_.fallback = ref_;
  EXPECT_TRUE(CheckManifest({bundle})) << "the fallback that the desired state names may pass";
}

TEST_F(PackageGateTest, FailedPackageLeavesTheFloorWhereItWas) {
  Pack("9");
  ASSERT_TRUE(WriteFileDurably(package_ / "schema.json", "{}"));
  ASSERT_FALSE(gate_.CheckPackage(ref_, package_));
  fixture::WritePackage(package_);
  Pack("1");
  EXPECT_TRUE(CheckManifest({SignedBy(model_key_, artifact_.manifest)}));
}

TEST_F(PackageGateTest, TasksThatSitesDoNotCarryAreRefused) {
  ModelSchema schema = fixture::Schema();
  schema.task = ModelTask::kMulticlass;
  ASSERT_TRUE(WriteFileDurably(package_ / "schema.json", DumpJson(schema.ToJson())));
  const Status checked = gate_.CheckPackage(ref_, package_);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code(), ErrorCode::kUnimplemented);
  EXPECT_THAT(checked.error().message(), HasSubstr("sites carry binary models"));
}

TEST_F(PackageGateTest, SchemaOfAnotherModelIsRefused) {
  ref_.name = "drilling";
  const Status checked = gate_.CheckPackage(ref_, package_);
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().message(), HasSubstr("schema check of drilling:1"));
}

TEST_F(PackageGateTest, TooLargeIsRefusedByItsManifestAndByItsFiles) {
  const PackageGate gate(*identity_,
                         {.smoke_program = SelfExecutable(), .max_package_bytes = 1000});
  const std::vector<std::string> bundles{SignedBy(model_key_, artifact_.manifest)};
  const Status manifest = gate.CheckManifest(ref_, artifact_.manifest_bytes, bundles, state_);
  ASSERT_FALSE(manifest);
  EXPECT_THAT(manifest.error().message(), HasSubstr("size check of milling:1"));
  const Status package = gate.CheckPackage(ref_, package_);
  ASSERT_FALSE(package);
  EXPECT_EQ(package.error().code(), ErrorCode::kTooLarge);
}

TEST_F(PackageGateTest, PackageThatKillsItsReaderIsRefusedAndThisProcessGoesOn) {
  std::ofstream(package_ / "crash") << "x";
  const Status checked = gate_.CheckPackage(ref_, package_);
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().message(), HasSubstr("smoke run check of milling:1"));
  std::filesystem::remove(package_ / "crash");
  EXPECT_TRUE(gate_.CheckPackage(ref_, package_));
}

TEST_F(PackageGateTest, PackageThatEatsMemoryIsRefusedAndThisProcessGoesOn) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's shadow needs more address space than the limit";
#endif
  const PackageGate gate(*identity_, {.smoke_program = SelfExecutable()});
  std::ofstream(package_ / "eat") << "x";
  const Status checked = gate.CheckPackage(ref_, package_);
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().message(), HasSubstr("smoke run check of milling:1"));
}

TEST_F(PackageGateTest, TruncatedModelIsRefusedBySmokeRun) {
  const std::uintmax_t bytes = std::filesystem::file_size(package_ / "model.onnx");
  std::filesystem::resize_file(package_ / "model.onnx", bytes / 2);
  const Status checked = gate_.CheckPackage(ref_, package_);
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().message(), HasSubstr("smoke run"));
}

}  // namespace
}  // namespace skerry
