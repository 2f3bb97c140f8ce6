// Errors are values. Every function that can fail returns Result<T>; nothing is thrown across a
// module's boundary. The adapters (one a third-party library) turn foreign errors into ours.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace skerry {

// At most 15 codes. Each is mapped once to HTTP, gRPC and the exit status (http/status.h, cli).
enum class ErrorCode {
  kInvalidArgument,     // the caller's input is wrong; the message names the field        400
  kUnauthenticated,     // no or unknown credentials                                       401
  kPermissionDenied,    // known, but not allowed; a refused signature                     403
  kNotFound,            //                                                                 404
  kAlreadyExists,       // an identity is taken                                            409
  kConflict,            // same identity, other content; a version that goes back          409
  kFailedPrecondition,  // the system is not in the state that this needs                  412
  kTooLarge,            // over a named limit                                              413
  kOutOfRange,          // an offset or range that does not fit                            416
  kResourceExhausted,   // a quota, queue or disk is full; try later                       503
  kUnavailable,         // not ready or not reachable; try later                           503
  kDeadlineExceeded,    //                                                                 504
  kDataLoss,            // stored or received bytes are damaged                            500
  kUnimplemented,       // asked for something that this version does not have             501
  kInternal,            // a defect or an unexpected answer of the system                  500
};

std::string_view ErrorCodeName(ErrorCode code);

// A code and a sentence for a person: what happened, to which thing, and what to do.
// `Wrap` puts the context in front ("reading schema.json: line 3: ...").
class [[nodiscard]] Error {
 public:
  Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

  ErrorCode code() const { return code_; }
  const std::string& message() const { return message_; }

  Error&& Wrap(std::string_view context) && {
    message_.insert(0, fmt::format("{}: ", context));
    return std::move(*this);
  }
  // "not found: models/milling has no tag 3"
  std::string ToString() const;

 private:
  ErrorCode code_;
  std::string message_;
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

// Fail(ErrorCode::kNotFound, "no model named {}", name) converts to any Result<T>.
template <typename... Args>
tl::unexpected<Error> Fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::make_unexpected(Error(code, fmt::format(format, std::forward<Args>(args)...)));
}

// Passes an error on, with context in front of it.
template <typename T>
tl::unexpected<Error> Propagate(Result<T>&& failed) {
  return tl::make_unexpected(std::move(failed).error());
}
template <typename T>
tl::unexpected<Error> Propagate(Result<T>&& failed, std::string_view context) {
  return tl::make_unexpected(std::move(failed.error()).Wrap(context));
}

}  // namespace skerry

#define SKERRY_CONCAT_INNER(a, b) a##b
#define SKERRY_CONCAT(a, b) SKERRY_CONCAT_INNER(a, b)

// Returns the error of `expr` from the enclosing function, if it has one. An optional second
// argument is context put before the message.
#define SKERRY_RETURN_IF_ERROR(...)                                                  \
  do {                                                                               \
    if (auto skerry_status = SKERRY_FIRST(__VA_ARGS__); !skerry_status)              \
      return ::skerry::Propagate(std::move(skerry_status) SKERRY_REST(__VA_ARGS__)); \
  } while (false)

// SKERRY_ASSIGN_OR_RETURN(auto bytes, ReadFile(path, kMaxBytes) [, context]);
#define SKERRY_ASSIGN_OR_RETURN(target, ...) \
  SKERRY_ASSIGN_OR_RETURN_IMPL(SKERRY_CONCAT(skerry_result_, __LINE__), target, __VA_ARGS__)
#define SKERRY_ASSIGN_OR_RETURN_IMPL(result, target, ...)                              \
  auto result = SKERRY_FIRST(__VA_ARGS__);                                             \
  if (!result) return ::skerry::Propagate(std::move(result) SKERRY_REST(__VA_ARGS__)); \
  target = std::move(*result)

#define SKERRY_FIRST(first, ...) first
#define SKERRY_REST(first, ...) __VA_OPT__(, __VA_ARGS__)
