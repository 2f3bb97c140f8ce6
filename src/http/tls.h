// TLS of the server: contexts from PEM texts, and who a client is. Internal to http.
#pragma once

#include <boost/asio/ssl.hpp>
#include <memory>

#include "http/message.h"
#include "http/server.h"

namespace skerry::http_detail {

// TLS 1.2 and newer; with a client CA it asks for a certificate and verifies what comes, its
// times included unless the handler does that.
// kInvalidArgument says which of the texts is wrong.
Result<std::unique_ptr<boost::asio::ssl::context>> MakeTls(const TlsServerOptions& options);

// After the handshake: the client's certificate and common name, if it has shown one. The handshake
// has verified it.
void ReadCertificate(SSL* ssl, PeerIdentity& peer);

}  // namespace skerry::http_detail
