#include "oci/cosign.h"

#include "base/limits.h"
#include "codec/json.h"
#include "codec/text.h"
#include "crypto/dsse.h"
#include "oci/media_types.h"

namespace skerry {
namespace {

constexpr std::string_view kStatementType = "https://in-toto.io/Statement/v1";
constexpr std::string_view kPredicateType = "https://sigstore.dev/cosign/sign/v1";

std::string StatementAbout(const Digest& subject) {
  const Json digest = {{std::string(subject.algorithm()), std::string(subject.hex())}};
  return DumpJson({{"_type", kStatementType},
                   {"subject", Json::array({{{"name", ""}, {"digest", digest}}})},
                   {"predicateType", kPredicateType},
                   {"predicate", Json::object()}});
}

// Sigstore's hint for a key pair: base64 of the SHA-256 of the key's SubjectPublicKeyInfo.
Result<std::string> HintOf(const PublicKey& key) {
  SKERRY_ASSIGN_OR_RETURN(const std::string hash, DecodeHex(key.key_id()));
  return EncodeBase64(hash);
}

// The envelope with its key ids taken out. They are not signed and every tool has its own form of
// them, so each signature is tried against each key.
Result<std::string> EnvelopeOf(std::string_view bundle_json) {
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
  return envelope.ToJson();
}

Status CheckStatement(std::string_view statement_json, const Digest& subject) {
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(statement_json, limits::kSignatureBundleBytes),
                          "statement");
  const JsonObject statement(json, "statement");
  SKERRY_ASSIGN_OR_RETURN(const std::string type, statement.String("_type"));
  SKERRY_ASSIGN_OR_RETURN(const std::string predicate, statement.String("predicateType"));
  // Other predicates say other things about the subject (an SBOM is no approval).
  if (type != kStatementType || predicate != kPredicateType)
    return Fail(ErrorCode::kPermissionDenied, "the statement is a {} of {}, not a signature", type,
                predicate);
  SKERRY_ASSIGN_OR_RETURN(const Json* subjects, statement.Array("subject"));
  std::string seen;
  for (std::size_t i = 0; i < subjects->size(); ++i) {
    const JsonObject element((*subjects)[i], statement.ElementPath("subject", i));
    SKERRY_ASSIGN_OR_RETURN(const JsonObject digests, element.Object("digest"));
    const std::string algorithm(subject.algorithm());
    SKERRY_ASSIGN_OR_RETURN(const std::string hex, digests.StringOr(algorithm.c_str(), ""));
    if (hex == subject.hex()) return {};
    seen += (seen.empty() ? "" : ", ") + hex;
  }
  return Fail(ErrorCode::kPermissionDenied, "the signature is one of {}, not of {}",
              seen.empty() ? "nothing" : seen, subject.ToString());
}

}  // namespace

Result<Artifact> MakeCosignBundle(const Descriptor& subject, const PrivateKey& key) {
  SKERRY_ASSIGN_OR_RETURN(DsseEnvelope envelope, SignDsse(media_types::kInTotoStatement,
                                                          StatementAbout(subject.digest), key));
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
                               {"dev.sigstore.bundle.predicateType", std::string(kPredicateType)}},
                              std::move(target));
}

Status VerifyCosignBundle(std::string_view bundle_json, const Digest& subject,
                          std::span<const PublicKey> keys) {
  SKERRY_ASSIGN_OR_RETURN(const std::string envelope, EnvelopeOf(bundle_json));
  SKERRY_ASSIGN_OR_RETURN(
      const std::string statement,
      VerifyDsse(envelope, media_types::kInTotoStatement, keys, 2 * limits::kSignatureBundleBytes));
  return CheckStatement(statement, subject);
}

}  // namespace skerry
