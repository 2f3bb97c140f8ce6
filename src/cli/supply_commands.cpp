// pack, sign, verify, push, pull: a model package, or a release of skerry, as an OCI artifact.
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>

#include <cstdio>
#include <memory>

#include "base/ids.h"
#include "base/limits.h"
#include "cli/command.h"
#include "cli/control_client.h"
#include "cli/terminal.h"
#include "crypto/key.h"
#include "image/image.h"
#include "image/image_types.h"
#include "oci/cosign.h"
#include "oci/layout.h"
#include "oci/media_types.h"
#include "oci/model_statements.h"
#include "oci/modelpack.h"
#include "oci/reference.h"
#include "oci/registry_client.h"
#include "oci/release.h"
#include "storage/file.h"
#include "train/import_model.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

bool SpeaksOf(const Artifact& artifact, const Digest& subject) {
  const auto manifest = Manifest::Parse(artifact.manifest_bytes);
  return manifest && manifest->subject && manifest->subject->digest == subject;
}

// What a layout made by pack holds: one model or release, and the signatures and attestations about
// it.
struct PackedModel {
  Artifact model;
  ModelPackFacts facts;
  bool is_release = false;
  std::vector<Artifact> referrers;
  std::vector<Artifact> legacy;  // signatures in cosign's form before version 3
};

Result<PackedModel> ReadPackedModel(const fs::path& layout) {
  SKERRY_ASSIGN_OR_RETURN(const LayoutReader reader, LayoutReader::Open(layout), layout.string());
  PackedModel packed;
  std::vector<Artifact> others;
  for (const Descriptor& entry : reader.entries()) {
    SKERRY_ASSIGN_OR_RETURN(Artifact artifact, reader.Read(entry), layout.string());
    packed.is_release =
        packed.is_release || artifact.manifest.artifact_type == media_types::kReleaseArtifact;
    if (artifact.manifest.artifact_type == media_types::kModelArtifact ||
        artifact.manifest.artifact_type == media_types::kReleaseArtifact)
      packed.model = std::move(artifact);
    else
      others.push_back(std::move(artifact));
  }
  if (packed.model.manifest_bytes.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "{} holds no packed model or release; make one with 'skerry pack' or "
                "'skerry release pack'",
                layout.string());
  SKERRY_ASSIGN_OR_RETURN(const std::string config,
                          packed.model.blobs.front().Read(limits::kManifestBytes));
  if (packed.is_release) {
    SKERRY_ASSIGN_OR_RETURN(ReleaseFacts release, ReleaseFacts::FromJson(config), layout.string());
    packed.facts = {std::move(release.name), std::move(release.version)};
  } else {
    SKERRY_ASSIGN_OR_RETURN(packed.facts, ReadModelPackFacts(config), layout.string());
  }
  for (Artifact& artifact : others) {
    const bool legacy = artifact.manifest.artifact_type == media_types::kLegacySignature;
    if (legacy)
      packed.legacy.push_back(std::move(artifact));
    else if (SpeaksOf(artifact, packed.model.manifest.digest))
      packed.referrers.push_back(std::move(artifact));
  }
  return packed;
}

std::string RepositoryOf(const PackedModel& packed) {
  return (packed.is_release ? "releases/" : "models/") + packed.facts.name;
}

Status WriteLayout(const fs::path& directory, const PackedModel& packed) {
  SKERRY_ASSIGN_OR_RETURN(LayoutWriter writer, LayoutWriter::Create(directory));
  SKERRY_RETURN_IF_ERROR(writer.AddArtifact(
      packed.model, {{std::string(annotations::kRefName), packed.facts.version},
                     {std::string(annotations::kKind), packed.is_release ? "release" : "model"}}));
  for (const Artifact& referrer : packed.referrers)
    SKERRY_RETURN_IF_ERROR(writer.AddArtifact(
        referrer, {{std::string(annotations::kKind),
                    MayBeSignature(referrer.manifest) ? "signature" : "attestation"}}));
  for (const Artifact& image : packed.legacy)
    SKERRY_RETURN_IF_ERROR(writer.AddArtifact(
        image,
        {{std::string(annotations::kRefName), LegacySignatureTag(packed.model.manifest.digest)},
         {std::string(annotations::kKind), "signature"}}));
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

Result<std::vector<std::string>> BundlesOf(const std::vector<Artifact>& referrers) {
  std::vector<std::string> bundles;
  for (const Artifact& referrer : referrers) {
    SKERRY_ASSIGN_OR_RETURN(std::string bundle, ReadDocument(referrer, media_types::kSigstoreBundle,
                                                             limits::kManifestBytes));
    bundles.push_back(std::move(bundle));
  }
  return bundles;
}

Status CheckSignatures(const Digest& digest, const std::vector<std::string>& bundles,
                       const std::vector<Artifact>& legacy, const PublicKey& key) {
  const std::vector<PublicKey> keys{key};
  Status last = Fail(ErrorCode::kPermissionDenied,
                     "{} has no signature; sign it with 'skerry sign'", digest.ToString());
  for (const std::string& bundle : bundles) {
    SKERRY_ASSIGN_OR_RETURN(const std::string type, PredicateTypeOf(bundle));
    if (type != kCosignSignature) continue;
    last = VerifyCosignBundle(bundle, digest, keys);
    if (last) return last;
  }
  for (const Artifact& image : legacy) {
    last = VerifyLegacySignature(image, digest, keys);
    if (last) return last;
  }
  return last;
}

// The predicate of that type that `key` has attested of the digest; null where there is none.
Json AttestedBy(const PublicKey& key, const Digest& digest, std::string_view type,
                const std::vector<std::string>& bundles) {
  for (const std::string& bundle : bundles)
    if (auto predicate = VerifyAttestation(bundle, digest, type, std::span(&key, 1)); predicate)
      return std::move(*predicate);
  return {};
}

// What is known of a packed model, and by whose word.
Json ChainOfTrust(const PackedModel& packed, const PublicKey& key,
                  const std::vector<std::string>& bundles) {
  const Digest& digest = packed.model.manifest.digest;
  return {{packed.is_release ? "release" : "model", packed.facts.name + ":" + packed.facts.version},
          {"digest", digest.ToString()},
          {"blobs", packed.model.blobs.size()},
          {"signed_by", key.key_id()},
          {"provenance", AttestedBy(key, digest, kSlsaProvenance, bundles)},
          {"sbom", AttestedBy(key, digest, kCycloneDxBom, bundles)}};
}

void PrintChain(const Json& chain) {
  const std::string key = chain.at("signed_by").get<std::string>().substr(0, 16);
  const char* const what = chain.contains("release") ? "release" : "model";
  std::printf("%s %s\n", chain.at(what).get<std::string>().c_str(),
              chain.at("digest").get<std::string>().c_str());
  std::printf("1. every one of %zu blobs has the digest that the manifest names\n",
              chain.at("blobs").get<std::size_t>());
  std::printf("2. the manifest is signed by key %s\n", key.c_str());
  if (chain.contains("release")) return;
  const Json& provenance = chain.at("provenance");
  if (provenance.is_null()) {
    std::puts("3. that key attests no provenance");
  } else {
    std::puts("3. that key attests what it was made of (SLSA provenance v1):");
    for (const Json& source : provenance.at("/buildDefinition/resolvedDependencies"_json_pointer))
      for (const auto& [algorithm, hex] : source.at("digest").items())
        std::printf("     %s %s:%s\n", source.at("name").get<std::string>().c_str(),
                    algorithm.c_str(), hex.get<std::string>().c_str());
    for (const auto& [name, version] :
         provenance.at("/runDetails/builder/version"_json_pointer).items())
      std::printf("     by %s %s\n", name.c_str(), version.get<std::string>().c_str());
  }
  const Json& bom = chain.at("sbom");
  if (bom.is_null())
    std::puts("4. that key attests no bill of materials");
  else
    std::printf("4. that key attests a bill of %zu materials (CycloneDX %s)\n",
                bom.at("components").size(), bom.at("specVersion").get<std::string>().c_str());
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
  std::vector<Artifact> signatures;
  for (const Descriptor& referrer : referrers) {
    if (!MayBeSignature(referrer)) continue;
    SKERRY_ASSIGN_OR_RETURN(
        Artifact artifact,
        registry.PullArtifact(repository, referrer.digest.ToString(), work.path()));
    signatures.push_back(std::move(artifact));
  }
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> bundles, BundlesOf(signatures));
  std::vector<Artifact> legacy;
  if (auto image =
          registry.PullArtifact(repository, LegacySignatureTag(model.manifest.digest), work.path());
      image)
    legacy.push_back(std::move(*image));
  SKERRY_RETURN_IF_ERROR(CheckSignatures(model.manifest.digest, bundles, legacy, key));
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

Status PackDirectory(const fs::path& package, const ImportOptions& named, const fs::path& out) {
  PackedModel packed;
  SKERRY_ASSIGN_OR_RETURN(packed.model, PackModel(package, named.name, named.version));
  packed.facts = {named.name, named.version};
  SKERRY_RETURN_IF_ERROR(WriteLayout(out, packed));
  std::printf("%s: %s:%s %s\n", out.c_str(), named.name.c_str(), named.version.c_str(),
              packed.model.manifest.digest.ToString().c_str());
  return {};
}

Status Pack(ImportOptions import, const std::string& package, const fs::path& out) {
  if (!IsForeignModel(import.model)) return PackDirectory(import.model, import, out);
  if (import.sample.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "{} was trained elsewhere: say with --sample a file of rows as clients will send "
                "them, from which fields and reference are read",
                import.model.string());
  SKERRY_ASSIGN_OR_RETURN(const TemporaryDirectory work, TemporaryDirectory::Create("skerry-pack"));
  import.out = package.empty() ? work.path() / "package" : fs::path(package);
  SKERRY_ASSIGN_OR_RETURN(const ImportedModel imported, ImportModel(import));
  std::printf("%s: task %s, %zu features; on %s rows of the sample its answers are the graph's\n",
              import.name.c_str(), std::string(ModelTaskName(imported.schema.task)).c_str(),
              imported.schema.feature_count(), WithThousands(imported.compared_rows).c_str());
  return PackDirectory(import.out, import, out);
}

struct PushArguments {
  std::string layout, hub, to, user, token_file, ca;
  bool plain_http = false;
};

// A registry to push to, and what things are called there; empty: by their own names.
struct PushTarget {
  std::string url, repository, tag;
  std::string shown_url;  // by which others reach it
  std::unique_ptr<HttpClient> http;
};

Result<PushTarget> OpenTarget(const PushArguments& args) {
  if (args.hub.empty() == args.to.empty())
    return Fail(ErrorCode::kInvalidArgument, "name a hub (--hub) or a registry (--to)");
  PushTarget target;
  if (!args.hub.empty()) {
    SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.hub));
    target.url = control.url();
    target.shown_url = control.public_url();
    target.http = std::make_unique<HttpClient>(std::move(control.http()));
    return target;
  }
  SKERRY_ASSIGN_OR_RETURN(const Reference reference, Reference::Parse(args.to));
  if (reference.registry.empty() || reference.tag.empty())
    return Fail(ErrorCode::kInvalidArgument, "--to is \"{}\", must be REGISTRY/REPOSITORY:TAG",
                args.to);
  HttpClientOptions options;
  if (!args.token_file.empty()) {
    SKERRY_RETURN_IF_ERROR(CheckPrivateFile(args.token_file));
    SKERRY_ASSIGN_OR_RETURN(std::string secret, ReadFile(args.token_file, 1U << 14U));
    while (secret.ends_with('\n')) secret.pop_back();
    options.basic_user = args.user;
    (args.user.empty() ? options.bearer_token : options.basic_password) = std::move(secret);
  }
  if (!args.ca.empty()) {
    SKERRY_ASSIGN_OR_RETURN(options.ca_pem, ReadFile(args.ca, limits::kCertificateBytes));
  }
  target.url = (args.plain_http ? "http://" : "https://") + reference.registry;
  target.shown_url = target.url;
  target.repository = reference.repository;
  target.tag = reference.tag;
  target.http = std::make_unique<HttpClient>(std::move(options));
  return target;
}

Status PushModel(const PushArguments& args, PushTarget& target) {
  SKERRY_ASSIGN_OR_RETURN(const PackedModel packed, ReadPackedModel(args.layout));
  if (target.repository.empty()) target.repository = RepositoryOf(packed);
  if (target.tag.empty()) target.tag = packed.facts.version;
  RegistryClient registry(target.url, *target.http);
  SKERRY_RETURN_IF_ERROR(registry.PushArtifact(target.repository, target.tag, packed.model));
  for (const Artifact& referrer : packed.referrers)
    SKERRY_RETURN_IF_ERROR(registry.PushArtifact(target.repository, "", referrer));
  for (const Artifact& image : packed.legacy)
    SKERRY_RETURN_IF_ERROR(registry.PushArtifact(
        target.repository, LegacySignatureTag(packed.model.manifest.digest), image));
  std::printf("%s/%s:%s\n  %s, %zu signature(s) and attestation(s)\n", target.shown_url.c_str(),
              target.repository.c_str(), target.tag.c_str(),
              packed.model.manifest.digest.ToString().c_str(),
              packed.referrers.size() + packed.legacy.size());
  return {};
}

Status PushImageLayout(const LayoutReader& layout, const Descriptor& entry, PushTarget& target) {
  if (target.tag.empty()) target.tag = entry.Annotation(annotations::kRefName);
  if (target.repository.empty()) {
    SKERRY_ASSIGN_OR_RETURN(const Artifact index, layout.ReadManifest(entry));
    SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(index.manifest_bytes));
    const auto title = manifest.annotations.find(std::string(annotations::kTitle));
    if (title == manifest.annotations.end())
      return Fail(ErrorCode::kInvalidArgument, "the image has no title; name a place with --to");
    target.repository = "images/" + title->second;
  }
  RegistryClient registry(target.url, *target.http);
  SKERRY_ASSIGN_OR_RETURN(const Digest digest,
                          PushImage(layout, registry, target.repository, target.tag));
  std::printf("%s/%s:%s\n  %s\n", target.shown_url.c_str(), target.repository.c_str(),
              target.tag.c_str(), digest.ToString().c_str());
  return {};
}

Status Push(const PushArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(PushTarget target, OpenTarget(args));
  SKERRY_ASSIGN_OR_RETURN(const LayoutReader layout, LayoutReader::Open(args.layout), args.layout);
  for (const Descriptor& entry : layout.entries())
    if (entry.Annotation(annotations::kKind) == annotations::kKindImage)
      return PushImageLayout(layout, entry, target);
  return PushModel(args, target);
}

}  // namespace

CommandRun DeclarePack(CLI::App& app) {
  struct Arguments {
    std::string out, package;
    ImportOptions import;
  };
  auto args = std::make_shared<Arguments>();
  ImportOptions& import = args->import;
  app.add_option("model", import.model,
                 "a model package's directory, an .onnx file, or an MLflow model's directory")
      ->required();
  app.add_option("--name", import.name, "the model's name")->required();
  app.add_option("--version", import.version, "its version")->required();
  app.add_option("--out", args->out, "the OCI image layout to make")->required();
  const auto add = [&](const char* name, auto& value, const char* help) {
    return app.add_option(name, value, help)->group("Of a model that was trained elsewhere");
  };
  add("--sample", import.sample, "CSV, Parquet or NDJSON: rows as clients will send them");
  add("--label", import.label, "the column that holds the truth, in the sample or later");
  add("--task", import.task, "classification, multiclass or regression; by the graph else");
  add("--classes", import.classes, "in the order of the probabilities; as the graph says else")
      ->delimiter(',');
  add("--positive", import.positive, "of two classes that which is to be found; the second else");
  add("--output", import.output,
      "the graph's output; that with probabilities, or the only one else");
  add("--ignore", import.ignore, "columns of the sample that are no fields")->delimiter(',');
  add("--context", import.context, "columns that travel with a row and are no features")
      ->delimiter(',');
  add("--id", import.id, "the same, of names of somebody or something")->delimiter(',');
  add("--schema", import.schema, "a schema.json, instead of what graph and sample say");
  add("--threshold", import.threshold, "a score of at least this is the positive class")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  add("--package", args->package, "leave the model package in this new directory, too");
  return [args]() -> Status { return Pack(args->import, args->package, args->out); };
}

CommandRun DeclareSign(CLI::App& app) {
  struct Arguments {
    std::string layout, key;
    bool legacy = false;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("layout", args->layout, "a layout made by 'skerry pack' or 'skerry release pack'")
      ->required();
  app.add_option("--key", args->key, "a P-256 private key (PEM, mode 0600)")->required();
  app.add_flag("--legacy", args->legacy, "also in the form of cosign before version 3, as a tag");
  return [args]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Load(args->key), args->key);
    SKERRY_ASSIGN_OR_RETURN(PackedModel packed, ReadPackedModel(args->layout));
    SKERRY_ASSIGN_OR_RETURN(Artifact signature, MakeCosignBundle(packed.model.manifest, key));
    std::vector<Artifact> attested;
    if (!packed.is_release) {
      SKERRY_ASSIGN_OR_RETURN(attested, AttestModel(packed.model, key));
    }
    packed.referrers.push_back(std::move(signature));
    for (Artifact& attestation : attested) packed.referrers.push_back(std::move(attestation));
    if (args->legacy) {
      SKERRY_ASSIGN_OR_RETURN(
          Artifact image, MakeLegacySignature(packed.model.manifest, RepositoryOf(packed), key));
      packed.legacy.push_back(std::move(image));
    }
    SKERRY_RETURN_IF_ERROR(ReplaceLayout(args->layout, packed));
    std::printf("%s\n  signed by key %s, with %zu attestation(s)\n",
                packed.model.manifest.digest.ToString().c_str(),
                key.public_key().key_id().substr(0, 16).c_str(), attested.size());
    return {};
  };
}

CommandRun DeclareVerify(CLI::App& app) {
  struct Arguments {
    std::string layout, key;
    bool json = false;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("layout", args->layout, "a layout with a packed model or release")->required();
  app.add_option("--key", args->key, "the public key (PEM) that must have signed it")->required();
  app.add_flag("--json", args->json, "print what is known as JSON, with the attestations");
  return [args]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(const PublicKey key, ReadPublicKey(args->key));
    SKERRY_ASSIGN_OR_RETURN(const PackedModel packed, ReadPackedModel(args->layout));
    SKERRY_ASSIGN_OR_RETURN(const std::vector<std::string> bundles, BundlesOf(packed.referrers));
    SKERRY_RETURN_IF_ERROR(
        CheckSignatures(packed.model.manifest.digest, bundles, packed.legacy, key));
    const Json chain = ChainOfTrust(packed, key, bundles);
    if (args->json)
      std::fputs(DumpJsonPretty(chain).c_str(), stdout);
    else
      PrintChain(chain);
    return {};
  };
}

CommandRun DeclarePush(CLI::App& app) {
  auto args = std::make_shared<PushArguments>();
  app.add_option("layout", args->layout,
                 "a layout made by 'skerry pack', 'skerry release pack' or 'skerry image'")
      ->required();
  app.add_option("--hub", args->hub, "data directory of the running hub: into its registry");
  app.add_option("--to", args->to, "instead: REGISTRY/REPOSITORY:TAG of any OCI registry");
  app.add_flag("--plain-http", args->plain_http, "with --to: no TLS");
  app.add_option("--token-file", args->token_file, "with --to: the bearer token to show");
  app.add_option("--user", args->user, "with --to: an account; its secret is the token file's");
  app.add_option("--ca", args->ca, "with --to: the authority to trust (PEM)");
  return [args] { return Push(*args); };
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
