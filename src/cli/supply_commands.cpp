// pack, sign, verify, push, pull: a model package as an OCI artifact.
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>

#include <cstdio>
#include <memory>

#include "base/ids.h"
#include "cli/command.h"
#include "cli/control_client.h"
#include "cli/terminal.h"
#include "crypto/key.h"
#include "oci/cosign.h"
#include "oci/layout.h"
#include "oci/media_types.h"
#include "oci/modelpack.h"
#include "oci/registry_client.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

bool IsSignatureOf(const Artifact& artifact, const Digest& subject) {
  const auto manifest = Manifest::Parse(artifact.manifest_bytes);
  return manifest && manifest->subject && manifest->subject->digest == subject;
}

// What a layout made by pack holds: one model, and the signatures of it.
struct PackedModel {
  Artifact model;
  ModelPackFacts facts;
  std::vector<Artifact> signatures;
};

Result<PackedModel> ReadPackedModel(const fs::path& layout) {
  SKERRY_ASSIGN_OR_RETURN(const LayoutReader reader, LayoutReader::Open(layout), layout.string());
  PackedModel packed;
  std::vector<Artifact> others;
  for (const Descriptor& entry : reader.entries()) {
    SKERRY_ASSIGN_OR_RETURN(Artifact artifact, reader.Read(entry), layout.string());
    if (artifact.manifest.artifact_type == media_types::kModelArtifact)
      packed.model = std::move(artifact);
    else
      others.push_back(std::move(artifact));
  }
  if (packed.model.manifest_bytes.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "{} holds no packed model; make one with 'skerry pack'", layout.string());
  SKERRY_ASSIGN_OR_RETURN(const std::string config,
                          packed.model.blobs.front().Read(limits::kManifestBytes));
  SKERRY_ASSIGN_OR_RETURN(packed.facts, ReadModelPackFacts(config), layout.string());
  for (Artifact& artifact : others)
    if (IsSignatureOf(artifact, packed.model.manifest.digest))
      packed.signatures.push_back(std::move(artifact));
  return packed;
}

Status WriteLayout(const fs::path& directory, const PackedModel& packed) {
  SKERRY_ASSIGN_OR_RETURN(LayoutWriter writer, LayoutWriter::Create(directory));
  SKERRY_RETURN_IF_ERROR(
      writer.AddArtifact(packed.model, {{std::string(annotations::kRefName), packed.facts.version},
                                        {std::string(annotations::kKind), "model"}}));
  for (const Artifact& signature : packed.signatures)
    SKERRY_RETURN_IF_ERROR(
        writer.AddArtifact(signature, {{std::string(annotations::kKind), "signature"}}));
  return writer.Finish();
}

// Writes the new layout beside the old one and exchanges them in one step.
Status ReplaceLayout(const fs::path& layout, const PackedModel& packed) {
  fs::path beside = layout;
  beside += ".new-" + RandomHex(4);
  Status status = WriteLayout(beside, packed);
  if (status && renameat2(AT_FDCWD, beside.c_str(), AT_FDCWD, layout.c_str(), RENAME_EXCHANGE) != 0)
    status = Fail(ErrorCode::kInternal, "exchanging {} failed", layout.string());
  std::error_code ignored;  // what is left is the old layout, or an unfinished new one
  fs::remove_all(beside, ignored);
  return status;
}

Result<PublicKey> ReadPublicKey(const fs::path& file) {
  SKERRY_ASSIGN_OR_RETURN(const std::string pem, ReadFile(file, 1U << 16U));
  if (pem.find("PRIVATE KEY") != std::string::npos) {
    SKERRY_ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Load(file), file.string());
    return key.public_key();
  }
  auto key = PublicKey::FromPem(pem);
  if (!key) return Propagate(std::move(key), file.string());
  return key;
}

struct RegistryArguments {
  std::string hub;  // data directory of a hub on this machine
  void Declare(CLI::App& app) {
    app.add_option("--hub", hub, "data directory of the running hub")->required();
  }
};

Status CheckSignatures(const Digest& digest, const std::vector<std::string>& bundles,
                       const PublicKey& key) {
  const std::vector<PublicKey> keys{key};
  if (bundles.empty())
    return Fail(ErrorCode::kPermissionDenied, "{} has no signature; sign it with 'skerry sign'",
                digest.ToString());
  Status last;
  for (const std::string& bundle : bundles) {
    last = VerifyCosignBundle(bundle, digest, keys);
    if (last) return last;
  }
  return last;
}

Status Pull(const std::string& name_version, const std::string& hub, const fs::path& out,
            const std::string& key_file) {
  SKERRY_ASSIGN_OR_RETURN(const NameVersion wanted, ParseNameVersion(name_version));
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(hub));
  SKERRY_ASSIGN_OR_RETURN(
      const PublicKey key,
      ReadPublicKey(key_file.empty() ? fs::path(hub) / "keys/model.key" : fs::path(key_file)));
  RegistryClient registry(control.url(), control.http());
  const std::string repository = "models/" + wanted.name;
  SKERRY_ASSIGN_OR_RETURN(const TemporaryDirectory work, TemporaryDirectory::Create("skerry-pull"));
  SKERRY_ASSIGN_OR_RETURN(const Artifact model,
                          registry.PullArtifact(repository, wanted.version, work.path()));
  SKERRY_ASSIGN_OR_RETURN(
      const auto referrers,
      registry.Referrers(repository, model.manifest.digest, media_types::kSigstoreBundle));
  std::vector<std::string> bundles;
  for (const Descriptor& referrer : referrers) {
    SKERRY_ASSIGN_OR_RETURN(
        const Artifact artifact,
        registry.PullArtifact(repository, referrer.digest.ToString(), work.path()));
    SKERRY_ASSIGN_OR_RETURN(std::string bundle, ReadDocument(artifact, media_types::kSigstoreBundle,
                                                             limits::kManifestBytes));
    bundles.push_back(std::move(bundle));
  }
  SKERRY_RETURN_IF_ERROR(CheckSignatures(model.manifest.digest, bundles, key));
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(model.manifest_bytes));
  SKERRY_RETURN_IF_ERROR(UnpackModel(
      manifest,
      [&](const Descriptor& blob) -> Result<fs::path> {
        const BlobSource* source = model.FindBlob(blob.digest);
        if (source == nullptr)
          return Fail(ErrorCode::kNotFound, "blob {} is not in the artifact",
                      blob.digest.ToString());
        return std::get<fs::path>(source->content);
      },
      out));
  std::printf("%s: %s %s, signature verified\n", out.c_str(), name_version.c_str(),
              model.manifest.digest.ToString().c_str());
  return {};
}

}  // namespace

CommandRun DeclarePack(CLI::App& app) {
  struct Arguments {
    std::string package, name, version, out;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("package", args->package, "a model package's directory")->required();
  app.add_option("--name", args->name, "the model's name")->required();
  app.add_option("--version", args->version, "its version")->required();
  app.add_option("--out", args->out, "the OCI image layout to make")->required();
  return [args]() -> Status {
    PackedModel packed;
    SKERRY_ASSIGN_OR_RETURN(packed.model, PackModel(args->package, args->name, args->version));
    packed.facts = {args->name, args->version};
    SKERRY_RETURN_IF_ERROR(WriteLayout(args->out, packed));
    std::printf("%s: %s:%s %s\n", args->out.c_str(), args->name.c_str(), args->version.c_str(),
                packed.model.manifest.digest.ToString().c_str());
    return {};
  };
}

CommandRun DeclareSign(CLI::App& app) {
  struct Arguments {
    std::string layout, key;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("layout", args->layout, "a layout made by 'skerry pack'")->required();
  app.add_option("--key", args->key, "a P-256 private key (PEM, mode 0600)")->required();
  return [args]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Load(args->key), args->key);
    SKERRY_ASSIGN_OR_RETURN(PackedModel packed, ReadPackedModel(args->layout));
    SKERRY_ASSIGN_OR_RETURN(Artifact signature, MakeCosignBundle(packed.model.manifest, key));
    packed.signatures.push_back(std::move(signature));
    SKERRY_RETURN_IF_ERROR(ReplaceLayout(args->layout, packed));
    std::printf("%s\n  signed by key %s\n", packed.model.manifest.digest.ToString().c_str(),
                key.public_key().key_id().substr(0, 16).c_str());
    return {};
  };
}

CommandRun DeclareVerify(CLI::App& app) {
  struct Arguments {
    std::string layout, key;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("layout", args->layout, "a layout with a packed model")->required();
  app.add_option("--key", args->key, "the public key (PEM) that must have signed it")->required();
  return [args]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(const PublicKey key, ReadPublicKey(args->key));
    SKERRY_ASSIGN_OR_RETURN(const PackedModel packed, ReadPackedModel(args->layout));
    std::vector<std::string> bundles;
    for (const Artifact& signature : packed.signatures) {
      SKERRY_ASSIGN_OR_RETURN(
          std::string bundle,
          ReadDocument(signature, media_types::kSigstoreBundle, limits::kManifestBytes));
      bundles.push_back(std::move(bundle));
    }
    SKERRY_RETURN_IF_ERROR(CheckSignatures(packed.model.manifest.digest, bundles, key));
    std::printf("%s:%s %s: every blob is whole; signed by key %s\n", packed.facts.name.c_str(),
                packed.facts.version.c_str(), packed.model.manifest.digest.ToString().c_str(),
                key.key_id().substr(0, 16).c_str());
    return {};
  };
}

CommandRun DeclarePush(CLI::App& app) {
  struct Arguments {
    std::string layout;
    RegistryArguments registry;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("layout", args->layout, "a layout made by 'skerry pack'")->required();
  args->registry.Declare(app);
  return [args]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(const PackedModel packed, ReadPackedModel(args->layout));
    SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args->registry.hub));
    RegistryClient registry(control.url(), control.http());
    const std::string repository = "models/" + packed.facts.name;
    SKERRY_RETURN_IF_ERROR(registry.PushArtifact(repository, packed.facts.version, packed.model));
    for (const Artifact& signature : packed.signatures)
      SKERRY_RETURN_IF_ERROR(registry.PushArtifact(repository, "", signature));
    std::printf("%s/%s:%s\n  %s, %zu signature(s)\n", control.url().c_str(), repository.c_str(),
                packed.facts.version.c_str(), packed.model.manifest.digest.ToString().c_str(),
                packed.signatures.size());
    return {};
  };
}

CommandRun DeclarePull(CLI::App& app) {
  struct Arguments {
    std::string model, out, key;
    RegistryArguments registry;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("model", args->model, "NAME:VERSION")->required();
  app.add_option("--out", args->out, "the package directory to make")->required();
  app.add_option("--key", args->key, "the key that must have signed it; the hub's by default");
  args->registry.Declare(app);
  return [args] { return Pull(args->model, args->registry.hub, args->out, args->key); };
}

}  // namespace skerry
