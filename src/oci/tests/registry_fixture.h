// A real registry behind a real server, and real clients of it. For tests.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "base/metrics.h"
#include "http/client.h"
#include "http/server.h"
#include "oci/registry.h"
#include "oci/registry_client.h"
#include "storage/file.h"

namespace skerry {

class RegistryTest : public testing::Test {
 protected:
  void SetUp() override { StartRegistry(); }
  void TearDown() override { StopRegistry(); }

  void StartRegistry(RegistryHooks hooks = {}, RegistryOptions options = {}) {
    registry_ = Registry::Open(data_.path() / "registry", std::move(hooks), options).value();
    server_ = HttpServer::Start({}, registry_->Routes(), metrics_).value();
    base_url_ = fmt::format("http://127.0.0.1:{}", server_->port());
  }
  void StopRegistry() {
    if (server_) server_->Drain(std::chrono::milliseconds(0));
    server_.reset();
    registry_.reset();
  }

  HttpReply Send(HttpCall call) {
    if (call.url.starts_with('/')) call.url = base_url_ + call.url;
    auto reply = http_.Send(call);
    EXPECT_TRUE(reply) << (reply ? "" : reply.error().ToString());
    return reply ? *reply : HttpReply{};
  }
  HttpReply Send(std::string method, std::string url, std::string body = {},
                 HeaderList headers = {}) {
    return Send(HttpCall{.method = std::move(method),
                         .url = std::move(url),
                         .headers = std::move(headers),
                         .body = std::move(body)});
  }
  // The error's code in the specification's form; "" when the body has another form.
  static std::string ErrorCodeIn(const HttpReply& reply) {
    const auto json = ParseJson(reply.body);
    if (!json || !json->contains("errors")) return "";
    return (*json)["errors"][0].value("code", "");
  }
  RegistryClient Client(std::size_t chunk_bytes = limits::kUploadChunkBytes) {
    return RegistryClient(base_url_, http_, chunk_bytes);
  }
  std::filesystem::path WriteData(std::string_view name, std::string_view bytes) {
    const auto path = data_.path() / name;
    EXPECT_TRUE(WriteFileDurably(path, bytes));
    return path;
  }
  // Bytes that differ everywhere, so that a misplaced piece shows.
  static std::string Pattern(std::size_t size) {
    std::string bytes(size, '\0');
    std::uint32_t state = 1;
    for (char& byte : bytes) {
      state = state * 1664525U + 1013904223U;
      byte = static_cast<char>(state >> 24U);
    }
    return bytes;
  }
  static Artifact Document(std::string text, std::optional<Descriptor> subject = std::nullopt,
                           std::string_view type = "application/vnd.example.thing.v1") {
    return MakeDocumentArtifact(type, "application/vnd.example.text", std::move(text), {},
                                std::move(subject))
        .value();
  }

  TemporaryDirectory data_ = TemporaryDirectory::Create("skerry-oci").value();
  MetricRegistry metrics_;
  HttpClient http_{HttpClientOptions{}};
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<HttpServer> server_;
  std::string base_url_;
};

}  // namespace skerry
