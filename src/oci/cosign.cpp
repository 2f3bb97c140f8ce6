#include "oci/cosign.h"

#include <fmt/format.h>

#include "base/limits.h"
#include "codec/json.h"
#include "codec/text.h"
#include "crypto/dsse.h"
#include "oci/media_types.h"

namespace skerry {
namespace {

constexpr std::string_view kStatementType = "https://in-toto.io/Statement/v1";
constexpr std::string_view kSimpleSigning = "cosign container image signature";
constexpr std::string_view kSignatureAnnotation = "dev.cosignproject.cosign/signature";
constexpr std::string_view kPredicateAnnotation = "dev.sigstore.bundle.predicateType";

std::string StatementAbout(const Digest& subject, std::string_view predicate_type,
                           const Json& predicate) {
  const Json digest = {{std::string(subject.algorithm()), std::string(subject.hex())}};
  return DumpJson({{"_type", kStatementType},
                   {"subject", Json::array({{{"name", ""}, {"digest", digest}}})},
                   {"predicateType", predicate_type},
                   {"predicate", predicate}});
}

// Sigstore's hint for a key pair: base64 of the SHA-256 of the key's SubjectPublicKeyInfo.
Result<std::string> HintOf(const PublicKey& key) {
  SKERRY_ASSIGN_OR_RETURN(const std::string hash, DecodeHex(key.key_id()));
  return EncodeBase64(hash);
}

// The envelope with its key ids taken out. They are not signed and every tool has its own form of
// them, so each signature is tried against each key.
Result<DsseEnvelope> EnvelopeOf(std::string_view bundle_json) {
  SKERRY_ASSIGN_OR_RETURN(const Json bundle, ParseJson(bundle_json, limits::kSignatureBundleBytes),
                          "bundle");
  const JsonObject object(bundle, "bundle");
  SKERRY_ASSIGN_OR_RETURN(const std::string media_type, object.String("mediaType"));
  if (media_type != media_types::kSigstoreBundle)
    return Fail(ErrorCode::kInvalidArgument, "the bundle is of type {}, we read {}", media_type,
                media_types::kSigstoreBundle);
  SKERRY_ASSIGN_OR_RETURN(const Json* envelope_json, object.Member("dsseEnvelope"));
  SKERRY_ASSIGN_OR_RETURN(
      DsseEnvelope envelope,
      DsseEnvelope::FromJson(DumpJson(*envelope_json), limits::kSignatureBundleBytes));
  for (DsseEnvelope::Signature& signature : envelope.signatures) signature.key_id.clear();
  return envelope;
}

// The predicate of a statement about `subject`.
Result<Json> PredicateIn(std::string_view statement_json, const Digest& subject,
                         std::string_view predicate_type) {
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(statement_json, limits::kSignatureBundleBytes),
                          "statement");
  const JsonObject statement(json, "statement");
  SKERRY_ASSIGN_OR_RETURN(const std::string type, statement.String("_type"));
  SKERRY_ASSIGN_OR_RETURN(const std::string predicate, statement.String("predicateType"));
  // Other predicates say other things about the subject (an SBOM is no approval).
  if (type != kStatementType || predicate != predicate_type)
    return Fail(ErrorCode::kPermissionDenied, "the statement is a {} of {}, not {}", type,
                predicate, predicate_type == kCosignSignature ? "a signature" : predicate_type);
  SKERRY_ASSIGN_OR_RETURN(const Json* subjects, statement.Array("subject"));
  std::string seen;
  for (std::size_t i = 0; i < subjects->size(); ++i) {
    const JsonObject element((*subjects)[i], statement.ElementPath("subject", i));
    SKERRY_ASSIGN_OR_RETURN(const JsonObject digests, element.Object("digest"));
    const std::string algorithm(subject.algorithm());
    SKERRY_ASSIGN_OR_RETURN(const std::string hex, digests.StringOr(algorithm.c_str(), ""));
    if (hex == subject.hex()) return json.value("predicate", Json());
    seen += (seen.empty() ? "" : ", ") + hex;
  }
  return Fail(ErrorCode::kPermissionDenied, "the signature is one of {}, not of {}",
              seen.empty() ? "nothing" : seen, subject.ToString());
}

// Whether the payload of a legacy signature names the subject.
Status CheckSimpleSigning(std::string_view payload, const Digest& subject) {
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(payload, limits::kSignatureBundleBytes),
                          "signature");
  const JsonObject object(json, "signature");
  SKERRY_ASSIGN_OR_RETURN(const JsonObject critical, object.Object("critical"));
  SKERRY_ASSIGN_OR_RETURN(const std::string type, critical.String("type"));
  if (type != kSimpleSigning)
    return Fail(ErrorCode::kPermissionDenied, "the payload is a \"{}\", not a \"{}\"", type,
                kSimpleSigning);
  SKERRY_ASSIGN_OR_RETURN(const JsonObject image, critical.Object("image"));
  SKERRY_ASSIGN_OR_RETURN(const std::string digest, image.String("docker-manifest-digest"));
  if (digest == subject.ToString()) return {};
  return Fail(ErrorCode::kPermissionDenied, "the signature is one of {}, not of {}", digest,
              subject.ToString());
}

}  // namespace

Result<Artifact> MakeCosignBundle(const Descriptor& subject, const PrivateKey& key) {
  return MakeAttestation(subject, kCosignSignature, Json::object(), key);
}

Result<Artifact> MakeAttestation(const Descriptor& subject, std::string_view predicate_type,
                                 const Json& predicate, const PrivateKey& key) {
  SKERRY_ASSIGN_OR_RETURN(DsseEnvelope envelope,
                          SignDsse(media_types::kInTotoStatement,
                                   StatementAbout(subject.digest, predicate_type, predicate), key));
  for (DsseEnvelope::Signature& signature : envelope.signatures) signature.key_id.clear();
  SKERRY_ASSIGN_OR_RETURN(const Json envelope_json, ParseJson(envelope.ToJson()));
  SKERRY_ASSIGN_OR_RETURN(const std::string hint, HintOf(key.public_key()));
  const Json bundle = {{"mediaType", media_types::kSigstoreBundle},
                       {"verificationMaterial", {{"publicKey", {{"hint", hint}}}}},
                       {"dsseEnvelope", envelope_json}};
  // What a referrer points at by; its annotations are not part of that.
  Descriptor target;
  target.media_type = subject.media_type;
  target.digest = subject.digest;
  target.size = subject.size;
  return MakeDocumentArtifact(media_types::kSigstoreBundle, media_types::kSigstoreBundle,
                              DumpJson(bundle),
                              {{"dev.sigstore.bundle.content", "dsse-envelope"},
                               {std::string(kPredicateAnnotation), std::string(predicate_type)}},
                              std::move(target));
}

std::string LegacySignatureTag(const Digest& subject) {
  return fmt::format("{}-{}.sig", subject.algorithm(), subject.hex());
}

Result<Artifact> MakeLegacySignature(const Descriptor& subject, std::string_view reference,
                                     const PrivateKey& key) {
  const std::string payload =
      DumpJson({{"critical",
                 {{"identity", {{"docker-reference", reference}}},
                  {"image", {{"docker-manifest-digest", subject.digest.ToString()}}},
                  {"type", kSimpleSigning}}},
                {"optional", nullptr}});
  SKERRY_ASSIGN_OR_RETURN(const std::string signature, key.Sign(payload));
  BlobSource layer =
      BlobSource::OfBytes(std::string(media_types::kSimpleSigning), payload,
                          {{std::string(kSignatureAnnotation), EncodeBase64(signature)}});
  const Json config = {
      {"architecture", ""},
      {"os", ""},
      {"config", Json::object()},
      {"rootfs",
       {{"type", "layers"}, {"diff_ids", Json::array({layer.descriptor.digest.ToString()})}}}};
  return MakeArtifact(media_types::kLegacySignature,
                      BlobSource::OfBytes(std::string(media_types::kImageConfig), DumpJson(config)),
                      {std::move(layer)});
}

Status VerifyLegacySignature(const Artifact& image, const Digest& subject,
                             std::span<const PublicKey> keys) {
  SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(image.manifest_bytes));
  Status last = Fail(ErrorCode::kPermissionDenied, "the image holds no signature by a known key");
  for (const Descriptor& layer : manifest.layers) {
    const BlobSource* blob = image.FindBlob(layer.digest);
    if (layer.media_type != media_types::kSimpleSigning || blob == nullptr) continue;
    const auto signature = DecodeBase64(layer.Annotation(kSignatureAnnotation));
    if (!signature) continue;
    SKERRY_RETURN_IF_ERROR(blob->Verify());
    SKERRY_ASSIGN_OR_RETURN(const std::string payload, blob->Read(limits::kSignatureBundleBytes));
    for (const PublicKey& key : keys) {
      if (!key.Verify(payload, *signature)) continue;
      last = CheckSimpleSigning(payload, subject);
      if (last) return last;
    }
  }
  return last;
}

bool MayBeSignature(const Descriptor& referrer) {
  const std::string type = referrer.Annotation(kPredicateAnnotation);
  return type.empty() || type == kCosignSignature;
}

Result<std::string> PredicateTypeOf(std::string_view bundle_json) {
  SKERRY_ASSIGN_OR_RETURN(const DsseEnvelope envelope, EnvelopeOf(bundle_json));
  SKERRY_ASSIGN_OR_RETURN(const Json json,
                          ParseJson(envelope.payload, limits::kSignatureBundleBytes), "statement");
  return JsonObject(json, "statement").String("predicateType");
}

Result<Json> VerifyAttestation(std::string_view bundle_json, const Digest& subject,
                               std::string_view predicate_type, std::span<const PublicKey> keys) {
  SKERRY_ASSIGN_OR_RETURN(const DsseEnvelope envelope, EnvelopeOf(bundle_json));
  SKERRY_ASSIGN_OR_RETURN(const std::string statement,
                          VerifyDsse(envelope.ToJson(), media_types::kInTotoStatement, keys,
                                     2 * limits::kSignatureBundleBytes));
  return PredicateIn(statement, subject, predicate_type);
}

Status VerifyCosignBundle(std::string_view bundle_json, const Digest& subject,
                          std::span<const PublicKey> keys) {
  SKERRY_RETURN_IF_ERROR(VerifyAttestation(bundle_json, subject, kCosignSignature, keys));
  return {};
}

}  // namespace skerry
