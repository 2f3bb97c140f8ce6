// What the tests of every protocol serve: models with all that scoring needs, and an HTTP server of
// them. For tests.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "http/client.h"
#include "model/tests/fixture_package.h"
#include "serve/scoring_server.h"
#include "storage/file.h"

namespace skerry {

// Keeps what it is given until the test says how it ended.
class HeldSink final : public CaptureSink {
 public:
  void Capture(std::shared_ptr<const RowBatch> batch, std::function<void(Status)> done) override {
    const std::scoped_lock lock(mutex_);
    waiting_.emplace_back(std::move(batch), std::move(done));
    arrived_.notify_all();
  }
  void CaptureUnwaited(const std::shared_ptr<const RowBatch>& batch, Counter* lost) override {
    Capture(batch, [lost, rows = batch->rows](const Status& kept) {
      if (!kept && lost != nullptr) lost->Add(rows);
    });
  }
  void AwaitOne() {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [this] { return !waiting_.empty(); });
  }
  // Waits for the next batch and ends it; returns it.
  std::shared_ptr<const RowBatch> End(Status status) {
    AwaitOne();
    std::unique_lock lock(mutex_);
    auto [batch, done] = std::move(waiting_.front());
    waiting_.erase(waiting_.begin());
    lock.unlock();
    done(std::move(status));
    return batch;
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<std::pair<std::shared_ptr<const RowBatch>, std::function<void(Status)>>> waiting_;
};

class ServedModelsTest : public testing::Test {
 protected:
  // Without capture, library and queue.
  ScoringParts Parts() {
    return {.repository = &repository_,
            .row_numbers = &row_numbers_,
            .clock = &clock_,
            .metrics = &metrics_};
  }
  void Serve(const std::string& name, std::shared_ptr<const ModelPackage> package,
             CaptureMode mode = CaptureMode::kOff) {
    ASSERT_TRUE(repository_.Put(name, {.package = std::move(package), .capture = mode}));
  }
  static std::shared_ptr<const ModelPackage> Bare(const std::string& name,
                                                  const std::string& bytes) {
    const auto directory = TemporaryDirectory::Create("bare").value();
    fixture::WriteBytes(directory.path() / "model.onnx", bytes);
    return LoadBareOnnx(directory.path() / "model.onnx", name).value();
  }

  SystemClock clock_;
  MetricRegistry metrics_;
  RowNumbers row_numbers_{InstanceId::Random()};
  ModelRepository repository_;
};

class ScoringHttpTest : public ServedModelsTest {
 protected:
  void TearDown() override { server_.reset(); }

  void StartServer(ScoringParts parts) {
    ScoringServerOptions options;
    options.http.loops = 2;
    options.parts = std::move(parts);
    auto server = ScoringServer::Start(std::move(options));
    ASSERT_TRUE(server) << server.error().message();
    server_ = std::move(*server);
  }
  HttpReply Call(const std::string& method, const std::string& path, const std::string& body = "",
                 const std::string& content_type = "application/json") {
    HttpClient client({});
    HttpCall call;
    call.method = method;
    call.url = fmt::format("http://127.0.0.1:{}{}", server_->port(), path);
    call.body = body;
    call.headers = {{"Content-Type", content_type}};
    auto reply = client.Send(call);
    EXPECT_TRUE(reply) << reply.error().message();
    return reply ? *reply : HttpReply();
  }

  std::unique_ptr<ScoringServer> server_;
};

}  // namespace skerry
