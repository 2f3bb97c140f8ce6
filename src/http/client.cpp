#include "http/client.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <mutex>

#include "codec/json.h"
#include "http/status.h"
#include "http/url.h"

namespace skerry {
namespace {

constexpr std::size_t kShownBodyBytes = 200;
constexpr int kUnsentBytes = 8 << 10;  // of a gated body, in the kernel

void StartCurlOnce() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

// The state of one call, which libcurl's callbacks fill.
struct Transfer {
  const HttpCall* call = nullptr;
  CURL* easy = nullptr;
  TransferGate* gate = nullptr;
  HttpReply reply;
  Status failure;  // of the sink or the gate, or over max_reply_bytes
  std::uint64_t received = 0;
  std::size_t reserved = 0;  // of what the gate has set aside, what is left
  int file = -1;
  std::uint64_t sent = 0;  // of the body
  std::array<char, CURL_ERROR_SIZE> message{};

  ~Transfer() {
    if (file >= 0) close(file);
  }
};

std::size_t OnHeader(char* data, std::size_t, std::size_t size, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  std::string_view line(data, size);
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  // A status line begins another header: that of an interim answer came before.
  if (line.starts_with("HTTP/")) transfer.reply.headers.clear();
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return size;
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  transfer.reply.headers.emplace_back(line.substr(0, colon), value);
  return size;
}

std::size_t OnBody(char* data, std::size_t, std::size_t size, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  const HttpCall& call = *transfer.call;
  long status = 0;
  curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
  transfer.received += size;
  if (transfer.gate != nullptr) {
    const std::size_t reserved = std::min(size, transfer.reserved);
    transfer.reserved -= reserved;
    transfer.failure = transfer.gate->Pass(size, reserved);
    if (!transfer.failure) {
      transfer.gate->Charge(size, reserved);
      return 0;
    }
  }
  const bool wanted = call.sink_status == 0 || status == call.sink_status;
  if (call.sink && status >= 200 && status < 300 && wanted) {
    transfer.failure = call.sink({data, size});
    return transfer.failure ? size : 0;
  }
  if (transfer.received > call.max_reply_bytes) {
    transfer.failure = Fail(ErrorCode::kTooLarge, "the answer is over the limit of {} bytes",
                            call.max_reply_bytes);
    return 0;
  }
  transfer.reply.body.append(data, size);
  return size;
}

std::size_t OnUpload(char* out, std::size_t, std::size_t size, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  const HttpCall& call = *transfer.call;
  const std::uint64_t length = call.file ? call.file->length : call.body.size();
  std::size_t piece =
      static_cast<std::size_t>(std::min<std::uint64_t>(size, length - transfer.sent));
  if (transfer.gate != nullptr && piece > 0) {
    piece = std::min(piece, std::max<std::size_t>(1, transfer.gate->piece_bytes()));
    transfer.failure = transfer.gate->Pass(piece, 0);
    if (!transfer.failure) return CURL_READFUNC_ABORT;
  }
  if (call.file) {
    const ssize_t got =
        pread(transfer.file, out, piece, static_cast<off_t>(call.file->offset + transfer.sent));
    if (got < 0 || (got == 0 && piece > 0)) {
      transfer.failure = Fail(ErrorCode::kDataLoss, "{} became shorter while it was sent",
                              call.file->path.string());
      return CURL_READFUNC_ABORT;
    }
    piece = static_cast<std::size_t>(got);
  } else {
    std::memcpy(out, call.body.data() + transfer.sent, piece);
  }
  transfer.sent += piece;
  return piece;
}

// libcurl sends again on a fresh connection when a kept one turns out to be closed.
int OnSeek(void* context, curl_off_t offset, int origin) {
  auto& transfer = *static_cast<Transfer*>(context);
  if (origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  transfer.sent = static_cast<std::uint64_t>(offset);
  return CURL_SEEKFUNC_OK;
}

int OnSocket(void*, curl_socket_t socket, curlsocktype) {
  // A satellite loses packets that no queue dropped, and cubic takes each for a full queue. A
  // kernel that does not have it, or not for this user (net.ipv4.tcp_allowed_congestion_control),
  // goes on as it is.
  constexpr std::string_view kCongestionControl = "bbr";
  setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, kCongestionControl.data(),
             kCongestionControl.size());
  // A kernel that does not know it buffers more, and another connection waits longer.
  setsockopt(socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsentBytes, sizeof kUnsentBytes);
  return CURL_SOCKOPT_OK;
}

ErrorCode CodeOf(CURLcode code) {
  switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return ErrorCode::kInvalidArgument;
    case CURLE_OPERATION_TIMEDOUT: return ErrorCode::kDeadlineExceeded;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CACERT_BADFILE: return ErrorCode::kPermissionDenied;
    default: return ErrorCode::kUnavailable;
  }
}

// Under TLS 1.3 the server's refusal of our certificate comes as an alert behind the handshake, for
// which libcurl has no code of its own.
bool IsCertificateAlert(std::string_view message) {
  return message.find("alert") != std::string_view::npos &&
         (message.find("certificate") != std::string_view::npos ||
          message.find("unknown ca") != std::string_view::npos);
}

curl_blob BlobOf(const std::string& text) {
  return {const_cast<char*>(text.data()), text.size(), CURL_BLOB_NOCOPY};
}

}  // namespace

struct HttpClient::Impl {
  HttpClientOptions options;
  CURL* easy = nullptr;
  std::uint64_t sent_body_bytes = 0;
  std::uint64_t connections = 0;
  std::int64_t server_expires_us = 0;

  ~Impl() { curl_easy_cleanup(easy); }
  void SetConnection();
  void SetTls();
  // OpenSSL's callbacks: of a new context, and instead of its verification of a chain.
  static CURLcode OnTlsContext(CURL* easy, void* context, void* impl);
  static int VerifyChain(X509_STORE_CTX* store, void* impl);
  void SetBody(Transfer& transfer);
  // What the finished call has moved.
  void Count(const Transfer& transfer);
  curl_slist* MakeHeaders(const HttpCall& call) const;
};

void HttpClient::Impl::SetConnection() {
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(options.connect_timeout.count()));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                   std::max(1L, static_cast<long>(options.stall_timeout.count() / 1000)));
  curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
  if (options.gate != nullptr) curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, &OnSocket);
  SetTls();
}

void HttpClient::Impl::SetTls() {
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!options.ca_pem.empty()) {
    curl_blob ca = BlobOf(options.ca_pem);
    curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &ca);
    // Nobody else: not the system's store beside it.
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  }
  if (options.certificate_time_us) {
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, &OnTlsContext);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, this);
  }
  if (options.client_certificate_pem.empty()) return;
  curl_blob certificate = BlobOf(options.client_certificate_pem);
  curl_blob key = BlobOf(options.client_key_pem);
  curl_easy_setopt(easy, CURLOPT_SSLCERT_BLOB, &certificate);
  curl_easy_setopt(easy, CURLOPT_SSLCERTTYPE, "PEM");
  curl_easy_setopt(easy, CURLOPT_SSLKEY_BLOB, &key);
  curl_easy_setopt(easy, CURLOPT_SSLKEYTYPE, "PEM");
}

CURLcode HttpClient::Impl::OnTlsContext(CURL* /*easy*/, void* context, void* impl) {
  auto* tls = static_cast<SSL_CTX*>(context);
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(tls), X509_V_FLAG_NO_CHECK_TIME);
  SSL_CTX_set_cert_verify_callback(tls, &VerifyChain, impl);
  return CURLE_OK;
}

int HttpClient::Impl::VerifyChain(X509_STORE_CTX* store, void* impl) {
  if (X509_verify_cert(store) != 1) return 0;
  auto& self = *static_cast<Impl*>(impl);
  std::tm end{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(X509_STORE_CTX_get0_cert(store)), &end) != 1) return 0;
  self.server_expires_us = std::int64_t{timegm(&end)} * 1'000'000;
  if (self.server_expires_us > self.options.certificate_time_us()) return 1;
  X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_HAS_EXPIRED);
  return 0;
}

curl_slist* HttpClient::Impl::MakeHeaders(const HttpCall& call) const {
  // Waiting for "100 Continue" costs a round trip.
  curl_slist* list = curl_slist_append(nullptr, "Expect:");
  bool typed = false;
  for (const auto& [name, value] : call.headers) {
    typed = typed || strcasecmp(name.c_str(), "content-type") == 0;
    // "Name;" is how libcurl sends a header without a value.
    list = curl_slist_append(
        list, (value.empty() ? name + ";" : fmt::format("{}: {}", name, value)).c_str());
  }
  if (!typed) list = curl_slist_append(list, "Content-Type:");
  if (!options.bearer_token.empty())
    list = curl_slist_append(list,
                             fmt::format("Authorization: Bearer {}", options.bearer_token).c_str());
  return list;
}

void HttpClient::Impl::SetBody(Transfer& transfer) {
  const HttpCall& call = *transfer.call;
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call.method.c_str());
  if (call.method == "HEAD") curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  if (call.file || !call.body.empty()) {
    const std::uint64_t length = call.file ? call.file->length : call.body.size();
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(length));
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, &OnUpload);
    curl_easy_setopt(easy, CURLOPT_READDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, &OnSeek);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, &transfer);
  } else if (call.method == "POST" || call.method == "PUT" || call.method == "PATCH") {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t{0});
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
  }
}

void HttpClient::Impl::Count(const Transfer& transfer) {
  curl_off_t sent = 0;
  long opened = 0;
  long sent_head = 0;
  long received_head = 0;
  curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &sent);
  curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &opened);
  curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &sent_head);
  curl_easy_getinfo(easy, CURLINFO_HEADER_SIZE, &received_head);
  sent_body_bytes += static_cast<std::uint64_t>(sent);
  connections += static_cast<std::uint64_t>(opened);
  if (transfer.gate != nullptr)
    transfer.gate->Charge(static_cast<std::size_t>(sent_head + received_head), transfer.reserved);
}

HttpClient::HttpClient(HttpClientOptions options) : impl_(std::make_unique<Impl>()) {
  StartCurlOnce();
  impl_->options = std::move(options);
  impl_->easy = curl_easy_init();
}
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;
HttpClient::~HttpClient() = default;
std::uint64_t HttpClient::sent_body_bytes() const { return impl_->sent_body_bytes; }
std::uint64_t HttpClient::connections() const { return impl_->connections; }
std::int64_t HttpClient::server_certificate_expires_us() const { return impl_->server_expires_us; }

Result<HttpReply> HttpClient::Send(const HttpCall& call) {
  CURL* easy = impl_->easy;
  if (easy == nullptr) return Fail(ErrorCode::kInternal, "libcurl could not be started");
  SKERRY_ASSIGN_OR_RETURN(const Url url, Url::Parse(call.url));
  Transfer transfer;
  transfer.call = &call;
  transfer.easy = easy;
  if (call.file) {
    transfer.file = open(call.file->path.c_str(), O_RDONLY | O_CLOEXEC);
    if (transfer.file < 0)
      return Fail(ErrorCode::kNotFound, "opening {}: {}", call.file->path.string(),
                  std::strerror(errno));
  }
  if (impl_->options.gate != nullptr) {
    if (Status begun = impl_->options.gate->Begin(); !begun)
      return Propagate(std::move(begun), url.Origin());
    transfer.gate = impl_->options.gate;
    transfer.reserved = TransferGate::kReserveBytes;
  }
  curl_easy_reset(easy);  // keeps the connections
  impl_->SetConnection();
  const std::string absolute = url.Origin() + url.path;
  curl_easy_setopt(easy, CURLOPT_URL, absolute.c_str());
  curl_slist* headers = impl_->MakeHeaders(call);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  if (!impl_->options.basic_user.empty()) {
    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BASIC));
    curl_easy_setopt(easy, CURLOPT_USERNAME, impl_->options.basic_user.c_str());
    curl_easy_setopt(easy, CURLOPT_PASSWORD, impl_->options.basic_password.c_str());
  }
  impl_->SetBody(transfer);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &OnHeader);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &OnBody);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.message.data());
  const CURLcode code = curl_easy_perform(easy);
  curl_slist_free_all(headers);
  impl_->Count(transfer);
  if (!transfer.failure) return Propagate(std::move(transfer.failure), url.Origin());
  if (code != CURLE_OK)
    return Fail(
        IsCertificateAlert(transfer.message.data()) ? ErrorCode::kPermissionDenied : CodeOf(code),
        "{} {}: {}", call.method, url.Origin(),
        transfer.message[0] != '\0' ? transfer.message.data() : curl_easy_strerror(code));
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  transfer.reply.status = static_cast<int>(status);
  return std::move(transfer.reply);
}

bool LooksLikeAPage(const HttpReply& reply) {
  if (reply.status >= 300 && reply.status < 400 && reply.status != 304) return true;
  const std::size_t first = reply.body.find_first_not_of(" \t\r\n");
  return reply.Header("content-type").find("text/html") != std::string_view::npos ||
         (first != std::string::npos && reply.body[first] == '<');
}

Error ErrorOfReply(const HttpReply& reply, std::string_view doing) {
  std::string words = reply.body.substr(0, kShownBodyBytes);
  if (const auto document = ParseJson(reply.body); document && document->is_object())
    if (const auto error = document->find("error"); error != document->end() && error->is_string())
      words = error->get<std::string>();
  if (words.empty()) words = fmt::format("{} {}", reply.status, ReasonPhrase(reply.status));
  return Error(ErrorCodeOf(reply.status), fmt::format("{}: {}", doing, words));
}

}  // namespace skerry
