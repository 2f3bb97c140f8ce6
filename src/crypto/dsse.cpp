#include "crypto/dsse.h"

#include <algorithm>

#include "base/limits.h"
#include "codec/json.h"
#include "codec/text.h"

namespace skerry {
namespace {

Result<std::string> Base64Member(const JsonObject& object, const char* key) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, object.String(key));
  SKERRY_ASSIGN_OR_RETURN(std::string bytes, DecodeBase64(text),
                          fmt::format("{}.{}", object.path(), key));
  return bytes;
}

std::string ListOfIds(const std::vector<std::string>& ids) {
  return ids.empty() ? "none" : fmt::format("{}", fmt::join(ids, ", "));
}

bool AnyKeyVerifies(const DsseEnvelope::Signature& signature, std::string_view signed_bytes,
                    std::span<const PublicKey> keys) {
  return std::any_of(keys.begin(), keys.end(), [&](const PublicKey& key) {
    const bool meant = signature.key_id.empty() || signature.key_id == key.key_id();
    return meant && key.Verify(signed_bytes, signature.signature).has_value();
  });
}

}  // namespace

std::string DsseEnvelope::ToJson() const {
  Json list = Json::array();
  for (const Signature& one : signatures) {
    Json entry = {{"sig", EncodeBase64(one.signature)}};
    if (!one.key_id.empty()) entry["keyid"] = one.key_id;
    list.push_back(std::move(entry));
  }
  return DumpJson({{"payload", EncodeBase64(payload)},
                   {"payloadType", payload_type},
                   {"signatures", std::move(list)}});
}

Result<DsseEnvelope> DsseEnvelope::FromJson(std::string_view json, std::size_t max_bytes) {
  SKERRY_ASSIGN_OR_RETURN(const Json document, ParseJson(json, max_bytes), "DSSE envelope");
  const JsonObject object(document, "DSSE envelope");
  DsseEnvelope envelope;
  SKERRY_ASSIGN_OR_RETURN(envelope.payload_type, object.String("payloadType"));
  SKERRY_ASSIGN_OR_RETURN(envelope.payload, Base64Member(object, "payload"));
  SKERRY_ASSIGN_OR_RETURN(const Json* list, object.Array("signatures"));
  if (list->size() > limits::kDsseSignatures)
    return Fail(ErrorCode::kTooLarge, "DSSE envelope: {} signatures are over the limit of {}",
                list->size(), limits::kDsseSignatures);
  for (std::size_t i = 0; i < list->size(); ++i) {
    const JsonObject entry((*list)[i], object.ElementPath("signatures", i));
    Signature one;
    SKERRY_ASSIGN_OR_RETURN(one.key_id, entry.StringOr("keyid", ""));
    SKERRY_ASSIGN_OR_RETURN(one.signature, Base64Member(entry, "sig"));
    envelope.signatures.push_back(std::move(one));
  }
  return envelope;
}

std::string DssePreAuthEncoding(std::string_view payload_type, std::string_view payload) {
  return fmt::format("DSSEv1 {} {} {} {}", payload_type.size(), payload_type, payload.size(),
                     payload);
}

Result<DsseEnvelope> SignDsse(std::string_view payload_type, std::string_view payload,
                              const PrivateKey& key) {
  SKERRY_ASSIGN_OR_RETURN(std::string signature,
                          key.Sign(DssePreAuthEncoding(payload_type, payload)));
  return DsseEnvelope{std::string(payload_type),
                      std::string(payload),
                      {{key.public_key().key_id(), std::move(signature)}}};
}

Result<std::string> VerifyDsse(std::string_view envelope_json, std::string_view payload_type,
                               std::span<const PublicKey> keys, std::size_t max_bytes) {
  SKERRY_ASSIGN_OR_RETURN(DsseEnvelope envelope, DsseEnvelope::FromJson(envelope_json, max_bytes));
  if (envelope.payload_type != payload_type)
    return Fail(ErrorCode::kInvalidArgument, "the signed document is of type '{}', not '{}'",
                envelope.payload_type, payload_type);
  const std::string signed_bytes = DssePreAuthEncoding(payload_type, envelope.payload);
  std::vector<std::string> seen;
  for (const DsseEnvelope::Signature& signature : envelope.signatures) {
    if (AnyKeyVerifies(signature, signed_bytes, keys)) return std::move(envelope.payload);
    seen.push_back(signature.key_id.empty() ? "(unnamed)" : signature.key_id.substr(0, 12));
  }
  std::vector<std::string> wanted;
  for (const PublicKey& key : keys) wanted.push_back(key.key_id().substr(0, 12));
  return Fail(ErrorCode::kPermissionDenied,
              "no signature on the document of type '{}' holds: signed by key {}, trusted are {}",
              payload_type, ListOfIds(seen), ListOfIds(wanted));
}

}  // namespace skerry
