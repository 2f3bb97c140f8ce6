// Talks to a hub or site process that runs on this machine, found by its data directory: reads
// `<data>/endpoint.json` (URL, token, CA), which only its owner can read. One thread at a time.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "codec/json.h"
#include "http/client.h"

namespace skerry {

class ControlClient {
 public:
  // kNotFound when no process serves the directory; says how to start one. Calls wait for an answer
  // without a byte for `patience`: an export, a verification or a round with the hub takes as long
  // as it takes, and a process that dies closes the connection.
  static Result<ControlClient> ForData(const std::filesystem::path& data,
                                       std::chrono::milliseconds patience = std::chrono::hours(24));

  const std::string& url() const { return url_; }
  // By which others reach it; the same as url() where nothing else is known.
  const std::string& public_url() const { return public_url_; }
  HttpClient& http() { return *http_; }

  // JSON in, JSON out; an answer over 299 is an error with the server's own words.
  Result<Json> Get(std::string_view path);
  Result<Json> Post(std::string_view path, const Json& body);
  Result<Json> Put(std::string_view path, const Json& body);
  // The answer's body as it is.
  Result<std::string> Call(std::string_view method, std::string_view path, std::string body,
                           std::string_view content_type);

 private:
  ControlClient(std::string url, std::string public_url, std::unique_ptr<HttpClient> http)
      : url_(std::move(url)), public_url_(std::move(public_url)), http_(std::move(http)) {}
  std::string url_, public_url_;
  std::unique_ptr<HttpClient> http_;
};

}  // namespace skerry
