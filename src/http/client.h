// An HTTP client on libcurl: TLS with a pinned CA and a client certificate, connections kept
// between calls, uploads from a part of a file, downloads into a sink. One thread at a time; make
// one a thread. Redirects are not followed and proxies of the environment are not used: a site
// talks to its hub and to nobody else.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/limits.h"
#include "http/message.h"

namespace skerry {

// What an HttpClient asks before bytes pass, in either direction: the place for budgets, sync
// windows and pre-emption. Called on the thread that sends, which it may hold up.
class TransferGate {
 public:
  virtual ~TransferGate() = default;
  // No more bytes of a request's body than this are handed to the network at a time.
  virtual std::size_t piece_bytes() = 0;
  // Of one call, for what cannot be asked about beforehand: both heads, a small answer.
  static constexpr std::size_t kReserveBytes = 4U << 10U;
  // A call is about to begin: sets kReserveBytes aside. An error ends it before a byte has passed.
  virtual Status Begin() = 0;
  // So many bytes of a body are about to be sent, or have come. `reserved` of them had been set
  // aside. An error ends the call, as it is; what was set aside stays so.
  virtual Status Pass(std::size_t bytes, std::size_t reserved) = 0;
  // Bytes that have passed, and count. So many are no longer set aside.
  virtual void Charge(std::size_t bytes, std::size_t reserved) = 0;
};

struct HttpClientOptions {
  std::string ca_pem;  // whom to trust; empty: the system's store
  // Microseconds UTC, asked at each handshake. With it the server's certificate is judged by this
  // time instead of the machine's clock, which may be wrong: it is refused when it had expired
  // then, and never for being too new or for the times of its authority, which is pinned.
  std::function<std::int64_t()> certificate_time_us{};
  std::string client_certificate_pem, client_key_pem;
  std::string bearer_token;
  std::string basic_user, basic_password;
  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds stall_timeout{30'000};  // no byte in either direction for so long
  // Borrowed; null: nothing is asked. With one, little of a body waits in the kernel's buffers, so
  // that what another connection sends meanwhile has not to queue behind it.
  TransferGate* gate = nullptr;
};

struct HttpCall {
  std::string method = "GET";
  std::string url;
  HeaderList headers{};
  std::string body{};
  std::optional<FileBody> file{};  // instead of `body`
  // Gets the body of a 2xx answer as it comes, instead of HttpReply::body. Its error ends the call.
  std::function<Status(std::string_view)> sink{};
  // Of a 2xx answer to `sink`, where not every one will do (206 for a range); 0: any.
  int sink_status = 0;
  std::uint64_t max_reply_bytes = limits::kReplyBytes;
};

struct HttpReply {
  int status = 0;
  HeaderList headers;
  std::string body;
  std::string_view Header(std::string_view name) const { return FindHeader(headers, name); }
};

class HttpClient {
 public:
  explicit HttpClient(HttpClientOptions options);
  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) noexcept;
  ~HttpClient();

  // Any HTTP status is a reply. Errors: kUnavailable (not reachable, or cut before the end),
  // kDeadlineExceeded (stalled), kPermissionDenied (the server's certificate is not trusted, or
  // ours was refused), kTooLarge (over max_reply_bytes), kInvalidArgument (URL), and what `sink`
  // returned.
  Result<HttpReply> Send(const HttpCall& call);
  // Body bytes handed to the network since construction, of calls that failed too.
  std::uint64_t sent_body_bytes() const;
  // When the server's certificate expires, as of the last handshake with `certificate_time_us`;
  // 0 before.
  std::int64_t server_certificate_expires_us() const;
  // Connections opened since construction: kept ones are used again.
  std::uint64_t connections() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Networks that want a login answer everything with a page of their own, often with status 200, or
// with a redirect to one: whether this is such an answer.
bool LooksLikeAPage(const HttpReply& reply);

// The error behind an answer that is no success: {"error": "..."} where the body says so, else the
// first 200 bytes of it. "<doing>: ...".
Error ErrorOfReply(const HttpReply& reply, std::string_view doing);

}  // namespace skerry
