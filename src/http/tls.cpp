#include "http/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

namespace skerry::http_detail {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

// Tells clients which certificate is asked for, so that a browser without one does not ask its
// user. The number of authorities.
int NameAuthorities(asio::ssl::context& context, const std::string& ca_pem) {
  int authorities = 0;
  BIO* text = BIO_new_mem_buf(ca_pem.data(), static_cast<int>(ca_pem.size()));
  while (X509* authority = PEM_read_bio_X509(text, nullptr, nullptr, nullptr)) {
    SSL_CTX_add_client_CA(context.native_handle(), authority);
    X509_free(authority);
    ++authorities;
  }
  ERR_clear_error();  // the end of the text is one
  BIO_free(text);
  return authorities;
}

}  // namespace

Result<std::unique_ptr<asio::ssl::context>> MakeTls(const TlsServerOptions& options) {
  auto context = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  error_code error;
  context->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                           asio::ssl::context::no_tlsv1_1,
                       error);
  if (!error) context->use_certificate_chain(asio::buffer(options.certificate_pem), error);
  if (error)
    return Fail(ErrorCode::kInvalidArgument, "the server's certificate: {}", error.message());
  // An encrypted key would be asked for on the terminal.
  context->set_password_callback(
      [](std::size_t, asio::ssl::context::password_purpose) { return std::string(); }, error);
  context->use_private_key(asio::buffer(options.key_pem), asio::ssl::context::pem, error);
  if (error) return Fail(ErrorCode::kInvalidArgument, "the server's key: {}", error.message());
  if (options.client_ca_pem.empty()) return context;
  context->add_certificate_authority(asio::buffer(options.client_ca_pem), error);
  if (error) return Fail(ErrorCode::kInvalidArgument, "the client CA: {}", error.message());
  if (NameAuthorities(*context, options.client_ca_pem) == 0)
    return Fail(ErrorCode::kInvalidArgument, "the client CA: there is no certificate in it (PEM)");
  const bool required = options.client_certificates == ClientCertificates::kRequired;
  context->set_verify_mode(
      asio::ssl::verify_peer | (required ? asio::ssl::verify_fail_if_no_peer_cert : 0), error);
  if (options.client_times == ClientTimes::kHandler)
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context->native_handle()),
                                X509_V_FLAG_NO_CHECK_TIME);
  static constexpr std::string_view kSessionContext = "skerry";
  SSL_CTX_set_session_id_context(context->native_handle(),
                                 reinterpret_cast<const unsigned char*>(kSessionContext.data()),
                                 kSessionContext.size());
  return context;
}

void ReadCertificate(SSL* ssl, PeerIdentity& peer) {
  X509* certificate = SSL_get1_peer_certificate(ssl);
  if (certificate == nullptr) return;
  BIO* out = BIO_new(BIO_s_mem());
  if (out != nullptr && PEM_write_bio_X509(out, certificate) == 1) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(out, &data);
    peer.certificate_pem.assign(data, static_cast<std::size_t>(size));
  }
  char name[256] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
  peer.certificate_name = name;
  BIO_free(out);
  X509_free(certificate);
}

}  // namespace skerry::http_detail

namespace skerry {

Status CheckTls(const TlsServerOptions& options) {
  SKERRY_RETURN_IF_ERROR(http_detail::MakeTls(options));
  return {};
}

}  // namespace skerry
