// Signed requests to one server of S3, sent until there is an answer that will do no better another
// time, and what is said of the others. Inside of s3. One thread at a time.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "http/client.h"
#include "s3/place.h"
#include "s3/signature.h"

namespace skerry {

struct S3Options {
  S3Place place = S3Place::FromEnvironment();
  const Clock* clock = nullptr;                // of the signatures; null: the system's
  std::function<bool()> cancelled{};           // may be empty; ends with kUnavailable "interrupted"
  std::chrono::milliseconds first_pause{250};  // before a second attempt; twice as long each time
  int attempts = limits::kS3Attempts;          // in a row without an answer or a byte
  std::string ca_pem{};                        // whom to trust; empty: the system's store
  std::chrono::milliseconds stall_timeout{30'000};  // no byte in either direction for so long
};

// What the keys were used for, for the advice on a refusal.
enum class S3Access : std::uint8_t { kRead, kWrite };

class S3Sender {
 public:
  explicit S3Sender(S3Options options);

  // The signed request, once. `call` says where the answer goes, and which file is the body.
  Result<HttpReply> SendOnce(const S3Name& name, const S3Request& request, HttpCall call);
  // Until there is an answer that will do no better another time.
  Result<HttpReply> Send(const S3Name& name, const S3Request& request, const HttpCall& call = {});
  // Whether another attempt may fare better: nobody answers, or is busy.
  static bool MayDoBetter(const Result<HttpReply>& reply);
  // False: enough of them. `failures` in a row there were.
  bool PauseAfter(int failures) const;
  bool Cancelled() const { return options_.cancelled && options_.cancelled(); }

  // Of an answer that is no success: codes as of S3Client.
  Error ErrorOf(const HttpReply& reply, const S3Name& name,
                S3Access access = S3Access::kRead) const;
  Error Unreachable(Error error, const S3Name& name) const;
  const S3Place& place() const { return options_.place; }

 private:
  Error Refusal(const std::string& code, const std::string& message, const S3Name& name,
                S3Access access) const;

  S3Options options_;
  SystemClock system_clock_{};
  HttpClient http_;
};

}  // namespace skerry
