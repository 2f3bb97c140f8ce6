// The one mapping from error codes to HTTP.
#pragma once

#include "base/error.h"
#include "http/message.h"

namespace skerry {

int HttpStatusOf(ErrorCode code);
// The code that a client gives to an answer that is no success.
ErrorCode ErrorCodeOf(int http_status);

// {"error": "..."} with the status of its code; 503 carries Retry-After, 401 nothing more (the
// route knows its scheme).
HttpResponse ErrorResponse(const Error& error);

}  // namespace skerry
