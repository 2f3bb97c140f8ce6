#include "cli/capture_options.h"

#include "base/limits.h"
#include "http/url.h"

namespace skerry {
namespace {

Result<std::string> ReadSecret(const std::string& file, std::uint64_t max_bytes) {
  SKERRY_RETURN_IF_ERROR(CheckPrivateFile(file));
  return ReadFile(file, max_bytes);
}

Result<HttpClientOptions> ClientOptions(const CaptureOptions& options) {
  HttpClientOptions http;
  if (!options.ca.empty()) {
    SKERRY_ASSIGN_OR_RETURN(http.ca_pem, ReadFile(options.ca, limits::kCertificateBytes));
  }
  if (options.certificate.empty() != options.certificate_key.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "--capture-cert and --capture-cert-key go together; give both");
  if (!options.certificate.empty()) {
    SKERRY_ASSIGN_OR_RETURN(http.client_certificate_pem,
                            ReadFile(options.certificate, limits::kCertificateBytes));
    SKERRY_ASSIGN_OR_RETURN(http.client_key_pem,
                            ReadSecret(options.certificate_key, limits::kKeyFileBytes));
  }
  if (options.key_file.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "--capture wants --capture-key-file: a key that 'skerry api-key' made for the "
                "site's --scorer-keys");
  SKERRY_ASSIGN_OR_RETURN(http.bearer_token, ReadSecret(options.key_file, limits::kKeyFileBytes));
  while (!http.bearer_token.empty() && http.bearer_token.back() == '\n')
    http.bearer_token.pop_back();
  return http;
}

Status CheckUrl(const CaptureOptions& options, const AccessOptions& access) {
  SKERRY_ASSIGN_OR_RETURN(const Url url, Url::Parse(options.url), "--capture");
  if (url.tls() || IsLoopback(url.host) || access.plain_http) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "plain HTTP to {} would show rows and the key to the network: give an https URL, or "
              "--plain-http where something between speaks TLS",
              url.host);
}

Result<CaptureMode> ModeOf(const CaptureOptions& options, CaptureOutage outage) {
  SKERRY_ASSIGN_OR_RETURN(const CaptureMode mode, ParseCaptureMode(options.mode), "--capture-mode");
  if (mode != CaptureMode::kSync && mode != CaptureMode::kAsync)
    return Fail(ErrorCode::kInvalidArgument, "--capture-mode is {}, must be sync or async",
                options.mode);
  if (mode == CaptureMode::kSync)
    return outage == CaptureOutage::kAnswer ? CaptureMode::kTry : mode;
  if (options.outage.empty()) return mode;
  return Fail(ErrorCode::kInvalidArgument,
              "--capture-outage says what answers do while the site is away; with --capture-mode "
              "async no answer waits for it: leave one out");
}

}  // namespace

void DeclareCapture(CLI::App& app, CaptureOptions& options) {
  const auto add = [&](const char* name, auto& value, const char* help) {
    return app.add_option(name, value, help)->group("Capture by a site");
  };
  add("--capture", options.url,
      "a site's URL: serve the package that it runs, and hand every scored row over to it");
  add("--capture-key-file", options.key_file,
      "a file with a key of the site's --scorer-keys, mode 0600");
  add("--capture-ca", options.ca, "whom to trust as the site (PEM); the system's store by default");
  add("--capture-cert", options.certificate,
      "the certificate to show, where the site asks for one (PEM)");
  add("--capture-cert-key", options.certificate_key, "its private key (PEM, mode 0600)");
  add("--capture-mode", options.mode,
      "sync: an answer waits until the site says that its rows are durable; async: it does not, "
      "and what a bounded queue cannot hold is counted")
      ->capture_default_str();
  add("--capture-outage", options.outage,
      "while the site is away: wait for it, up to the timeout (the default); answer, without "
      "capture and counted; or refuse with 503");
  add("--capture-timeout-ms", options.timeout_ms, "how long an answer waits for its rows")
      ->check(CLI::Range(10, 600'000))
      ->capture_default_str();
  add("--capture-cache", options.cache,
      "a directory that keeps the site's package, so that a start needs no site")
      ->type_name("DIR");
}

Result<SiteLink> LinkToSite(const CaptureOptions& options, const AccessOptions& access,
                            ModelRepository& repository, const RowNumbers& numbers,
                            const Clock& clock, MetricRegistry& metrics) {
  SKERRY_RETURN_IF_ERROR(CheckUrl(options, access));
  SKERRY_ASSIGN_OR_RETURN(const CaptureOutage outage,
                          ParseCaptureOutage(options.outage.empty() ? "wait" : options.outage),
                          "--capture-outage");
  SKERRY_ASSIGN_OR_RETURN(const CaptureMode mode, ModeOf(options, outage));
  SKERRY_ASSIGN_OR_RETURN(const HttpClientOptions http, ClientOptions(options));
  SiteLink link;
  SitePackageOptions package;
  package.url = options.url;
  package.http = http;
  package.capture = mode;
  package.directory = options.cache;
  if (options.cache.empty()) {
    SKERRY_ASSIGN_OR_RETURN(link.cache, TemporaryDirectory::Create("skerry-package"));
    package.directory = link.cache->path();
  }
  SKERRY_ASSIGN_OR_RETURN(link.package, SitePackage::Start(std::move(package), repository, clock));
  SiteCaptureOptions capture;
  capture.url = options.url;
  capture.http = http;
  capture.scorer = numbers.instance();
  capture.outage = outage;
  if (mode == CaptureMode::kAsync)
    capture.timeout = {};
  else
    capture.timeout = std::chrono::milliseconds(options.timeout_ms);
  capture.clock = &clock;
  capture.metrics = &metrics;
  capture.on_active = [follow = link.package.get()](const Digest& active) { follow->Hint(active); };
  SKERRY_ASSIGN_OR_RETURN(link.capture, SiteCapture::Start(std::move(capture)));
  return link;
}

}  // namespace skerry
