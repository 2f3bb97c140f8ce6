#include "http/status.h"

#include "codec/json.h"

namespace skerry {

int HttpStatusOf(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument: return 400;
    case ErrorCode::kUnauthenticated: return 401;
    case ErrorCode::kPermissionDenied: return 403;
    case ErrorCode::kNotFound: return 404;
    case ErrorCode::kAlreadyExists:
    case ErrorCode::kConflict: return 409;
    case ErrorCode::kFailedPrecondition: return 412;
    case ErrorCode::kTooLarge: return 413;
    case ErrorCode::kOutOfRange: return 416;
    case ErrorCode::kResourceExhausted:
    case ErrorCode::kUnavailable: return 503;
    case ErrorCode::kDeadlineExceeded: return 504;
    case ErrorCode::kUnimplemented: return 501;
    case ErrorCode::kDataLoss:
    case ErrorCode::kInternal: return 500;
  }
  return 500;
}

ErrorCode ErrorCodeOf(int http_status) {
  switch (http_status) {
    case 401: return ErrorCode::kUnauthenticated;
    case 403: return ErrorCode::kPermissionDenied;
    case 404: return ErrorCode::kNotFound;
    case 409: return ErrorCode::kConflict;
    case 412: return ErrorCode::kFailedPrecondition;
    case 413: return ErrorCode::kTooLarge;
    case 416: return ErrorCode::kOutOfRange;
    case 429:
    case 502:
    case 503: return ErrorCode::kUnavailable;
    case 408:
    case 504: return ErrorCode::kDeadlineExceeded;
    case 501: return ErrorCode::kUnimplemented;
    default: break;
  }
  return http_status >= 400 && http_status < 500 ? ErrorCode::kInvalidArgument
                                                 : ErrorCode::kInternal;
}

HttpResponse ErrorResponse(const Error& error) {
  HttpResponse response = HttpResponse::JsonText(HttpStatusOf(error.code()),
                                                 DumpJson(Json{{"error", error.message()}}));
  if (response.status == 503) response.SetHeader("Retry-After", "1");
  return response;
}

}  // namespace skerry
