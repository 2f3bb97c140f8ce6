// A server with a client beside it, for tests.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "http/client.h"
#include "http/server.h"

namespace skerry {

inline HttpCall Call(std::string method, std::string url, std::string body = "") {
  HttpCall call;
  call.method = std::move(method);
  call.url = std::move(url);
  call.body = std::move(body);
  return call;
}

inline Handler Echo() {
  return [](HttpRequest& request, Responder responder) {
    responder.Send(HttpResponse::Text(200, request.Param("x") + "|" + request.body));
  };
}

class ServerTest : public ::testing::Test {
 protected:
  void Start(std::vector<Route> routes, HttpServerOptions options = {}) {
    auto server = HttpServer::Start(std::move(options), std::move(routes), metrics_);
    ASSERT_TRUE(server) << server.error().message();
    server_ = std::move(*server);
  }
  std::string Url(const std::string& path) const {
    return fmt::format("http://127.0.0.1:{}{}", server_->port(), path);
  }
  Result<HttpReply> Send(std::string method, const std::string& path, std::string body = "") {
    return client_.Send(Call(std::move(method), Url(path), std::move(body)));
  }

  MetricRegistry metrics_;
  HttpClient client_{{}};
  std::unique_ptr<HttpServer> server_;
};

}  // namespace skerry
