#include "http/cross_origin.h"

#include <algorithm>

namespace skerry::http_detail {

std::string AllowedOrigin(const std::vector<std::string>& allowed, const HttpRequest& request) {
  if (allowed.empty()) return {};
  const std::string origin(request.Header("Origin"));
  if (origin.empty() || allowed.front() == "*") return origin.empty() ? "" : "*";
  return std::ranges::find(allowed, origin) != allowed.end() ? origin : "";
}

std::optional<HttpResponse> AnswerPreflight(const std::string& origin, const HttpRequest& request,
                                            const std::string& methods) {
  if (origin.empty() || request.method != "OPTIONS" ||
      request.Header("Access-Control-Request-Method").empty())
    return std::nullopt;
  HttpResponse response = HttpResponse::Empty(204);
  response.SetHeader("Access-Control-Allow-Methods", methods);
  response.SetHeader("Access-Control-Allow-Headers",
                     std::string(request.Header("Access-Control-Request-Headers")));
  response.SetHeader("Access-Control-Max-Age", "600");
  return response;
}

void AllowOrigin(const std::vector<std::string>& allowed, const std::string& origin,
                 HttpResponse& response) {
  if (!allowed.empty()) response.SetHeader("Vary", "Origin");
  if (origin.empty()) return;
  response.SetHeader("Access-Control-Allow-Origin", origin);
  response.SetHeader("Access-Control-Expose-Headers",
                     "Inference-Header-Content-Length, Retry-After");
}

}  // namespace skerry::http_detail
