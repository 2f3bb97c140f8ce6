// DSSE 1.0 envelopes (secure-systems-lab/dsse, protocol.md and envelope.md): JSON with payload,
// payloadType and signatures over the pre-authentication encoding. Statements, receipts, status
// and grants travel in them. The form is in docs/formats/dsse.md.
//
// Values and free functions; thread-safe. `max_bytes` bounds the envelope's JSON text: callers give
// the named limit of their document (limits::kStatementBytes, ...).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/key.h"

namespace skerry {

// An envelope taken apart, nothing of it verified. Use VerifyDsse for anything that is acted upon.
struct DsseEnvelope {
  struct Signature {
    std::string key_id;     // a hint, not signed; may be empty
    std::string signature;  // raw bytes (DER)
  };
  std::string payload_type;  // a media type
  std::string payload;       // raw bytes
  std::vector<Signature> signatures;

  std::string ToJson() const;
  // kInvalidArgument for anything that is no envelope; kTooLarge over `max_bytes` or
  // limits::kDsseSignatures. Members that we do not know are ignored, as the standard asks.
  static Result<DsseEnvelope> FromJson(std::string_view json, std::size_t max_bytes);
};

// "DSSEv1 <length> <type> <length> <payload>": the bytes that are signed.
std::string DssePreAuthEncoding(std::string_view payload_type, std::string_view payload);

// An envelope with one signature, its key id that of `key`.
Result<DsseEnvelope> SignDsse(std::string_view payload_type, std::string_view payload,
                              const PrivateKey& key);

// The payload, once one signature by one of `keys` holds over it and `payload_type`. A signature
// with a key id is tried against the key of that id only, one without against every key.
// kInvalidArgument: no envelope, or of another type; kPermissionDenied: no signature of a known key
// holds (the message names the key ids that were seen and those that would do).
Result<std::string> VerifyDsse(std::string_view envelope_json, std::string_view payload_type,
                               std::span<const PublicKey> keys, std::size_t max_bytes);

}  // namespace skerry
