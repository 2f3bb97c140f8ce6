#include "cli/health.h"

#include "cli/control_client.h"
#include "http/client.h"

namespace skerry {

Status AnswersFor(const std::filesystem::path& data, std::chrono::milliseconds patience) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(data, patience));
  const bool is_hub = std::filesystem::exists(data / "hub.db");
  SKERRY_RETURN_IF_ERROR(control.Call("GET", is_hub ? "/healthz" : "/v1/site", "", ""),
                         control.url());
  return {};
}

Status ScoresAt(const std::filesystem::path& data, std::chrono::milliseconds patience) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(data, patience));
  SKERRY_RETURN_IF_ERROR(control.Post("/v1/site/check", Json::object()), control.url());
  return {};
}

Status IsReady(const std::string& url, const std::string& ca_pem,
               std::chrono::milliseconds patience) {
  HttpClientOptions options;
  options.connect_timeout = options.stall_timeout = patience;
  options.ca_pem = ca_pem;
  HttpClient client(std::move(options));
  HttpCall call;
  call.url = url + "/v2/health/ready";
  SKERRY_ASSIGN_OR_RETURN(const HttpReply reply, client.Send(call));
  if (reply.status >= 300) return tl::make_unexpected(ErrorOfReply(reply, call.url));
  return {};
}

}  // namespace skerry
