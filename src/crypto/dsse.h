// DSSE 1.0 envelopes (secure-systems-lab/dsse): JSON with payload, payloadType and signatures over
// the pre-authentication encoding. Statements, receipts and desired states travel in them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/keys.h"

namespace skerry {

// "DSSEv1 <len> <type> <len> <payload>"
std::string DssePreAuthEncoding(std::string_view payload_type, std::string_view payload);

// The envelope as compact JSON, one signature, keyid = key.KeyId().
std::string SignDsse(std::string_view payload_type, std::string_view payload,
                     const PrivateKey& key);

struct DsseContent {
  std::string payload;
  std::string key_id;  // of the key that verified it
};

// Verifies at least one signature by one of `keys` and the payload type, then gives the payload's
// bytes. kInvalidArgument: not an envelope; kPermissionDenied: no signature by a known key holds,
// the message names the key ids seen.
Result<DsseContent> VerifyDsse(std::string_view envelope, std::string_view payload_type,
                               std::span<const PublicKey> keys);

// The payload without any check of signatures, for tools that only show it.
Result<std::string> PeekDssePayload(std::string_view envelope);

}  // namespace skerry
