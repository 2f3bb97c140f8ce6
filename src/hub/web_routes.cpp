// The routes of the global app: files that were compiled in.
#include "hub/api.h"
#include "hub/web_assets.h"

namespace skerry {
namespace {

// Nothing from elsewhere, no inline script: what the app needs is in the table.
constexpr const char* kContentSecurityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'";
constexpr std::string_view kStartPage = "/index.html";

void AddSecurityHeaders(HttpResponse& response) {
  response.SetHeader("Content-Security-Policy", kContentSecurityPolicy);
  response.SetHeader("X-Content-Type-Options", "nosniff");
  response.SetHeader("Referrer-Policy", "no-referrer");
}

HttpResponse AssetResponse(const WebAsset& asset) {
  HttpResponse response =
      HttpResponse::Text(200, std::string(asset.gzip_body), std::string(asset.content_type));
  response.SetHeader("Content-Encoding", "gzip");
  // Names under /assets/ carry a hash of their content, so what has one name never changes.
  response.SetHeader("Cache-Control", asset.path.starts_with("/assets/")
                                          ? "public, max-age=31536000, immutable"
                                          : "no-cache");
  AddSecurityHeaders(response);
  return response;
}

Route AssetRoute(std::string pattern, const WebAsset& asset) {
  return {.method = "GET",
          .pattern = std::move(pattern),
          .kind = RouteKind::kInline,
          .handler = [&asset](HttpRequest&, Responder responder) {
            responder.Send(AssetResponse(asset));
          }};
}

}  // namespace

std::vector<Route> WebRoutes() {
  std::vector<Route> routes;
  bool start_page = false;
  for (const WebAsset& asset : WebAssets()) {
    routes.push_back(AssetRoute(std::string(asset.path), asset));
    if (asset.path != kStartPage) continue;
    routes.push_back(AssetRoute("/", asset));
    start_page = true;
  }
  if (start_page) return routes;
  routes.push_back({.method = "GET",
                    .pattern = "/",
                    .kind = RouteKind::kInline,
                    .handler = [](HttpRequest&, Responder responder) {
                      HttpResponse response = HttpResponse::Text(
                          200,
                          "skerry hub. This binary was built without the app (web/dist); the API "
                          "is under /v1, the registry under /v2.\n");
                      AddSecurityHeaders(response);
                      responder.Send(std::move(response));
                    }});
  return routes;
}

}  // namespace skerry
