// The ecosystem's own tools against our registry and layouts. Skipped by name where a tool is not
// on the machine.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>

#include "oci/cosign.h"
#include "oci/layout.h"
#include "oci/media_types.h"
#include "oci/model_statements.h"
#include "oci/modelpack.h"
#include "oci/tests/registry_fixture.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

struct Ran {
  int status;
  std::string output;  // both streams
};
Ran RunShell(const std::string& command) {
  Ran ran{-1, ""};
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return ran;
  char buffer[4096];
  while (const std::size_t got = fread(buffer, 1, sizeof buffer, pipe))
    ran.output.append(buffer, got);
  ran.status = WEXITSTATUS(pclose(pipe));
  return ran;
}
bool IsInstalled(const std::string& tool) { return RunShell("command -v " + tool).status == 0; }

#define SKERRY_NEEDS(tool) \
  if (!IsInstalled(tool)) GTEST_SKIP() << tool << " is not installed"

class ToolsTest : public RegistryTest {
 protected:
  void SetUp() override {
    RegistryTest::SetUp();
    host_ = fmt::format("127.0.0.1:{}", server_->port());
    const fs::path package = data_.path() / "package";
    ASSERT_TRUE(CreateDirectories(package));
    ASSERT_TRUE(WriteFileDurably(package / "model.onnx", Pattern(3'000'000)));
    ASSERT_TRUE(WriteFileDurably(package / "schema.json", "{}"));
    model_ = PackModel(package, "milling", "1").value();
    ASSERT_TRUE(Client().PushArtifact("models/milling", "1", model_));
  }
  void ExpectRuns(const std::string& command) {
    const Ran ran = RunShell("cd " + data_.path().string() + " && " + command);
    EXPECT_EQ(ran.status, 0) << command << "\n" << ran.output;
    output_ = ran.output;
  }
  std::string Read(const fs::path& path) {
    return ReadFile(data_.path() / path, 1U << 24U).value();
  }

  std::string host_;
  std::string output_;
  Artifact model_;
};

TEST_F(ToolsTest, SkopeoInspectsAndCopiesBothWays) {
  SKERRY_NEEDS("skopeo");
  ExpectRuns("skopeo inspect --raw --tls-verify=false docker://" + host_ + "/models/milling:1");
  EXPECT_EQ(output_, model_.manifest_bytes);
  ExpectRuns("skopeo list-tags --tls-verify=false docker://" + host_ + "/models/milling");
  ExpectRuns("skopeo copy --src-tls-verify=false docker://" + host_ +
             "/models/milling:1 oci:out:milling");
  const auto reader = LayoutReader::Open(data_.path() / "out").value();
  EXPECT_EQ(reader.Read(reader.Find("milling").value())->manifest.digest, model_.manifest.digest);
  ExpectRuns("skopeo copy --dest-tls-verify=false oci:out:milling docker://" + host_ + "/copy:1");
  EXPECT_EQ(registry_->Resolve("copy", "1").value(), model_.manifest.digest);
  ExpectRuns("skopeo delete --tls-verify=false docker://" + host_ + "/copy:1");
  EXPECT_FALSE(registry_->Resolve("copy", "1"));
}

// What docs/formats/artifacts.md says of it: skopeo reads configs of container images alone.
TEST_F(ToolsTest, SkopeoInspectsAModelOnlyAsItIs) {
  SKERRY_NEEDS("skopeo");
  const Ran ran =
      RunShell("skopeo inspect --tls-verify=false docker://" + host_ + "/models/milling:1");
  EXPECT_NE(ran.status, 0) << ran.output;
  EXPECT_NE(ran.output.find("unsupported"), std::string::npos) << ran.output;
}

TEST_F(ToolsTest, ModelSpecsOwnSchemaAcceptsOurConfig) {
  SKERRY_NEEDS("modelpack-check");
  const auto manifest = Manifest::Parse(model_.manifest_bytes).value();
  const BlobSource* config = model_.FindBlob(manifest.config->digest);
  ASSERT_NE(config, nullptr);
  WriteData("config.json", config->Read(1U << 20U).value());
  ExpectRuns("modelpack-check <config.json");
  WriteData("config.json", "{}");
  EXPECT_NE(RunShell("modelpack-check <" + (data_.path() / "config.json").string()).status, 0);
}

TEST_F(ToolsTest, SkopeoReadsOurLayout) {
  SKERRY_NEEDS("skopeo");
  auto writer = LayoutWriter::Create(data_.path() / "bundle").value();
  ASSERT_TRUE(writer.AddArtifact(model_, {{std::string(annotations::kRefName), "milling"}}));
  ASSERT_TRUE(writer.Finish());
  ExpectRuns("skopeo inspect --raw oci:bundle:milling");
  EXPECT_EQ(output_, model_.manifest_bytes);
  ExpectRuns("skopeo copy --dest-tls-verify=false oci:bundle:milling docker://" + host_ + "/b:1");
  EXPECT_EQ(registry_->Resolve("b", "1").value(), model_.manifest.digest);
}

TEST_F(ToolsTest, OrasPullsPushesAndDiscovers) {
  SKERRY_NEEDS("oras");
  ExpectRuns("oras pull --plain-http -o pulled " + host_ + "/models/milling:1");
  EXPECT_EQ(Read("pulled/model.onnx"), Pattern(3'000'000));
  WriteData("note.txt", "a note");
  ExpectRuns("oras push --plain-http " + host_ + "/notes:1 note.txt:text/plain");
  ExpectRuns("oras pull --plain-http -o notes " + host_ + "/notes:1");
  EXPECT_EQ(Read("notes/note.txt"), "a note");
  ExpectRuns("oras attach --plain-http --artifact-type application/vnd.example.note " + host_ +
             "/models/milling:1 note.txt:text/plain");
  ExpectRuns("oras discover --plain-http " + host_ + "/models/milling:1");
  EXPECT_NE(output_.find("application/vnd.example.note"), std::string::npos) << output_;
}

TEST_F(ToolsTest, OrasReadsOurLayout) {
  SKERRY_NEEDS("oras");
  auto writer = LayoutWriter::Create(data_.path() / "bundle").value();
  ASSERT_TRUE(writer.AddArtifact(model_, {{std::string(annotations::kRefName), "milling"}}));
  ASSERT_TRUE(writer.Finish());
  ExpectRuns("oras pull --oci-layout -o pulled bundle:milling");
  EXPECT_EQ(Read("pulled/model.onnx"), Pattern(3'000'000));
}

TEST_F(ToolsTest, CosignVerifiesOurBundle) {
  SKERRY_NEEDS("cosign");
  const PrivateKey key = PrivateKey::Generate().value();
  ASSERT_TRUE(
      Client().PushArtifact("models/milling", "", MakeCosignBundle(model_.manifest, key).value()));
  WriteData("cosign.pub", key.public_key().ToPem());
  WriteData("other.pub", PrivateKey::Generate()->public_key().ToPem());
  const std::string verify = "cosign verify --allow-http-registry --insecure-ignore-tlog=true ";
  const std::string target = host_ + "/models/milling@" + model_.manifest.digest.ToString();
  ExpectRuns(verify + "--key cosign.pub " + target);
  ASSERT_TRUE(Client().PushArtifact(
      "models/milling", "",
      MakeAttestation(model_.manifest, kSlsaProvenance,
                      {{"buildDefinition",
                        {{"buildType", "urn:example:1"}, {"externalParameters", Json::object()}}},
                       {"runDetails", {{"builder", {{"id", "urn:example:builder"}}}}}},
                      key)
          .value()));
  ExpectRuns(
      "cosign verify-attestation --allow-http-registry --insecure-ignore-tlog=true --type "
      "slsaprovenance1 --key cosign.pub " +
      target);
  EXPECT_NE(RunShell("cd " + data_.path().string() + " && " + verify + "--key other.pub " + target)
                .status,
            0);
}

TEST_F(ToolsTest, CosignVerifiesOurLegacySignatureAndWeItsOwn) {
  SKERRY_NEEDS("cosign");
  const PrivateKey key = PrivateKey::Generate().value();
  const std::string tag = LegacySignatureTag(model_.manifest.digest);
  ASSERT_TRUE(Client().PushArtifact(
      "models/milling", tag,
      MakeLegacySignature(model_.manifest, host_ + "/models/milling", key).value()));
  WriteData("cosign.pub", key.public_key().ToPem());
  const std::string target = host_ + "/models/milling@" + model_.manifest.digest.ToString();
  ExpectRuns(
      "cosign verify --allow-http-registry --insecure-ignore-tlog=true --new-bundle-format=false "
      "--key cosign.pub " +
      target);
  // cosign puts its own beside ours, into the same image.
  ExpectRuns("COSIGN_PASSWORD= cosign generate-key-pair");
  ExpectRuns(
      "COSIGN_PASSWORD= cosign sign --yes --key cosign.key --allow-http-registry "
      "--new-bundle-format=false --use-signing-config=false --tlog-upload=false " +
      target);
  const auto image = Client().PullArtifact("models/milling", tag, data_.path() / "signature");
  ASSERT_TRUE(image) << image.error().ToString();
  const PublicKey signer = PublicKey::FromPem(Read("cosign.pub")).value();
  const Status verified =
      VerifyLegacySignature(*image, model_.manifest.digest, std::span(&signer, 1));
  EXPECT_TRUE(verified) << verified.error().ToString();
  EXPECT_FALSE(VerifyLegacySignature(*image, Digest::Sha256("other"), std::span(&signer, 1)));
}

TEST_F(ToolsTest, WeVerifyWhatCosignSigned) {
  SKERRY_NEEDS("cosign");
  const std::string target = host_ + "/models/milling@" + model_.manifest.digest.ToString();
  ExpectRuns("COSIGN_PASSWORD= cosign generate-key-pair && cosign signing-config create >sc.json");
  ExpectRuns(
      "COSIGN_PASSWORD= cosign sign --yes --key cosign.key --allow-http-registry "
      "--signing-config sc.json " +
      target);
  const auto referrers = Client().Referrers("models/milling", model_.manifest.digest, "").value();
  ASSERT_EQ(referrers.size(), 1U);
  const auto pulled = Client().PullArtifact("models/milling", referrers[0].digest.ToString(),
                                            data_.path() / "signature");
  ASSERT_TRUE(pulled) << pulled.error().ToString();
  const auto manifest = Manifest::Parse(pulled->manifest_bytes).value();
  ASSERT_EQ(manifest.layers.size(), 1U);
  EXPECT_EQ(manifest.layers[0].media_type, media_types::kSigstoreBundle);
  const std::string bundle = pulled->FindBlob(manifest.layers[0].digest)->Read(1U << 20U).value();

  const PublicKey signer = PublicKey::FromPem(Read("cosign.pub")).value();
  const Status verified = VerifyCosignBundle(bundle, model_.manifest.digest, std::span(&signer, 1));
  EXPECT_TRUE(verified) << verified.error().ToString();
  const PublicKey other = PrivateKey::Generate()->public_key();
  EXPECT_EQ(VerifyCosignBundle(bundle, model_.manifest.digest, std::span(&other, 1)).error().code(),
            ErrorCode::kPermissionDenied);
}

}  // namespace
}  // namespace skerry
