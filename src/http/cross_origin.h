// Whose pages may call in a browser, and what a browser has to be told for it. Internal to http.
//
// Source: Fetch standard, 3.2 (the CORS protocol).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "http/message.h"

namespace skerry::http_detail {

// The origin of the page that sent the request as the answer names it, if it is one of `allowed`
// (HttpServerOptions::allowed_origins); else empty.
std::string AllowedOrigin(const std::vector<std::string>& allowed, const HttpRequest& request);

// What a browser asks with OPTIONS before it sends what a form could not; no key comes with it.
// Nothing for any other request. `methods`: those of the path, with commas.
std::optional<HttpResponse> AnswerPreflight(const std::string& origin, const HttpRequest& request,
                                            const std::string& methods);

// The headers of an answer to that origin; of a server that allows none, none.
void AllowOrigin(const std::vector<std::string>& allowed, const std::string& origin,
                 HttpResponse& response);

}  // namespace skerry::http_detail
