// Lets sites in: makes join tokens and answers join requests with a certificate and a signed grant.
//
// A token is good for one key. The same key asking again with it (an answer was lost, a bundle is
// imported twice) gets its grant again; another key is refused (kConflict, 409). A site that joins
// again with a new token keeps its old keys for verifying old shipments.
// Borrows what it is given; thread-safe. Durable before it answers.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "crypto/certificate.h"
#include "crypto/key.h"
#include "hub/site_directory.h"
#include "hub/store.h"
#include "hub/trust_desk.h"
#include "trust/join.h"

namespace skerry {

class JoinDesk {
 public:
  JoinDesk(HubStore& store, const CertificateAuthority& authority, const PrivateKey& hub_key,
           TrustDesk& trust, const Clock& clock)
      : store_(&store),
        authority_(&authority),
        hub_key_(&hub_key),
        trust_(&trust),
        clock_(&clock) {}

  // kInvalidArgument for a name against the grammar. `hub_url` goes into the token as it is.
  Result<JoinToken> MakeToken(std::string_view site, std::string_view hub_url);

  struct Answer {
    std::string grant;      // the envelope
    bool repeated = false;  // this key had joined with this token before
  };
  // kPermissionDenied: no such token, a wrong proof, a token of another site; kConflict: a token
  // that another key has used.
  Result<Answer> Join(const JoinRequest& request, Road road);

  // A new certificate for a key that has joined: `csr_pem` is signed by it and asks for the site's
  // name, which proves both; a certificate in hand is not needed, so one that has expired does no
  // harm. The certificate that the hub issued last is given again (`repeated`) until it is due.
  // kPermissionDenied: a wrong proof, a key that is not this site's or was revoked.
  Result<Answer> Renew(std::string_view site, std::string_view csr_pem, Road road);

  // Shuts the site out: none of its keys may call or renew until it joins anew with a new token.
  // What it has signed stays good. kNotFound: no such site. How many keys that were.
  Result<std::uint64_t> Revoke(std::string_view site);

  // The grant of the key that joined last, for a bundle. kNotFound when none has.
  Result<std::string> GrantOf(std::string_view site);

 private:
  struct Entry {
    std::string certificate_pem;
    bool repeated = false;
  };
  Result<Entry> Register(const JoinRequest& request, const PublicKey& key, Road road);
  Result<std::string> MakeGrant(std::string_view site, std::string certificate_pem);

  HubStore* store_;
  const CertificateAuthority* authority_;
  const PrivateKey* hub_key_;
  TrustDesk* trust_;
  const Clock* clock_;
};

}  // namespace skerry
