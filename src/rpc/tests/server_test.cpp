// Real gRPC over loopback against real models.
#include "rpc/server.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "open_inference.grpc.pb.h"
#include "serve/tests/serving_fixture.h"

namespace skerry {
namespace {

using grpc::StatusCode;
using inference::ModelInferRequest;
using inference::ModelInferResponse;
using testing::HasSubstr;

ModelInferRequest MillingRequest(float torque) {
  ModelInferRequest request;
  request.set_model_name("milling");
  request.set_id("r-1");
  auto& input = *request.add_inputs();
  input.set_name("input");
  input.set_datatype("FP32");
  input.add_shape(1);
  input.add_shape(3);
  const std::array<float, 3> row = {0, torque, 5};
  request.add_raw_input_contents(std::string(reinterpret_cast<const char*>(row.data()), 12));
  return request;
}

class RpcServerTest : public ServedModelsTest {
 protected:
  void SetUp() override {
    Serve("milling", fixture::LoadFixture());
    Serve("kept", fixture::LoadFixture(), CaptureMode::kSync);
    RpcServerOptions options;
    options.max_message_bytes = std::size_t{1} << 20U;
    options.parts = ServedParts();
    options.parts.capture = &sink_;
    options.parts.server_name = "skerry";
    options.parts.server_version = "0";
    auto server = RpcServer::Start(std::move(options));
    ASSERT_TRUE(server) << server.error().message();
    server_ = std::move(*server);
    channel_ = grpc::CreateChannel(fmt::format("127.0.0.1:{}", server_->port()),
                                   grpc::InsecureChannelCredentials());
    stub_ = inference::GRPCInferenceService::NewStub(channel_);
  }

  virtual ScoringParts ServedParts() { return Parts(); }

  grpc::Status Infer(const ModelInferRequest& request, ModelInferResponse& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return stub_->ModelInfer(&context, request, &response);
  }

  HeldSink sink_;
  std::unique_ptr<RpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<inference::GRPCInferenceService::Stub> stub_;
};

TEST_F(RpcServerTest, ScoresAPackage) {
  ModelInferResponse response;
  const grpc::Status status = Infer(MillingRequest(75), response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.model_name(), "milling");
  EXPECT_EQ(response.id(), "r-1");
  ASSERT_EQ(response.outputs_size(), 4);
  ASSERT_EQ(response.raw_output_contents_size(), 4);
  EXPECT_EQ(response.outputs(2).name(), "score");
  float score = 0;
  std::memcpy(&score, response.raw_output_contents(2).data(), sizeof(score));
  EXPECT_FLOAT_EQ(score, 0.9F);
  EXPECT_EQ(response.parameters().at("rows").int64_param(), 1);
  EXPECT_EQ(response.parameters().at("instance").string_param(),
            row_numbers_.instance().ToString());
}

TEST_F(RpcServerTest, GivesTheOutputsAskedForTypedWhereTheRequestWantsThemSo) {
  ModelInferRequest request = MillingRequest(20);
  request.clear_raw_input_contents();
  for (const float value : {0.0F, 20.0F, 5.0F})
    request.mutable_inputs(0)->mutable_contents()->add_fp32_contents(value);
  request.add_outputs()->set_name("prediction");
  ModelInferRequest typed = request;
  (*typed.mutable_parameters())["binary_data_output"].set_bool_param(false);
  ModelInferResponse response;
  grpc::Status status = Infer(typed, response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.outputs_size(), 1);
  EXPECT_EQ(response.outputs(0).contents().bytes_contents(0), "0");
  EXPECT_EQ(response.raw_output_contents_size(), 0);

  response.Clear();
  status = Infer(request, response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_FALSE(response.outputs(0).has_contents());
  EXPECT_EQ(response.raw_output_contents(0), std::string("\x01\0\0\0"
                                                         "0",
                                                         5));
}

TEST_F(RpcServerTest, GivesTheBestClasses) {
  ModelInferRequest request = MillingRequest(75);
  auto& output = *request.add_outputs();
  output.set_name("probabilities");
  (*output.mutable_parameters())["classification"].set_int64_param(1);
  ModelInferResponse response;
  const grpc::Status status = Infer(request, response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.outputs_size(), 1);
  EXPECT_EQ(response.outputs(0).datatype(), "BYTES");
  EXPECT_THAT(response.raw_output_contents(0), HasSubstr("0.9:1:1"));
}

TEST_F(RpcServerTest, AnswersForABareModel) {
  Serve("add", Bare("add", fixture::AddModelBytes()));
  ModelInferRequest request;
  request.set_model_name("add");
  for (const char* name : {"a", "b"}) {
    auto& input = *request.add_inputs();
    input.set_name(name);
    input.set_datatype("FP32");
    input.add_shape(1);
    input.add_shape(2);
    input.mutable_contents()->add_fp32_contents(1);
    input.mutable_contents()->add_fp32_contents(2);
  }
  (*request.mutable_parameters())["binary_data_output"].set_bool_param(false);
  ModelInferResponse response;
  const grpc::Status status = Infer(request, response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(response.outputs(0).contents().fp32_contents(), testing::ElementsAre(2, 4));
}

TEST_F(RpcServerTest, RefusalsCarryCodeAndReason) {
  ModelInferResponse response;
  ModelInferRequest unknown = MillingRequest(1);
  unknown.set_model_name("drilling");
  grpc::Status status = Infer(unknown, response);
  EXPECT_EQ(status.error_code(), StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("drilling"));
  ModelInferRequest version = MillingRequest(1);
  version.set_model_version("99");
  EXPECT_EQ(Infer(version, response).error_code(), StatusCode::NOT_FOUND);
  ModelInferRequest shape = MillingRequest(1);
  shape.mutable_inputs(0)->set_shape(1, 4);
  status = Infer(shape, response);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("\"input\""));
}

TEST_F(RpcServerTest, MessageOverTheLimitIsRefusedAndTheConnectionGoesOn) {
  ModelInferRequest request = MillingRequest(1);
  request.set_raw_input_contents(0, std::string(std::size_t{2} << 20U, '\0'));
  ModelInferResponse response;
  EXPECT_EQ(Infer(request, response).error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(Infer(MillingRequest(1), response).ok());
}

TEST_F(RpcServerTest, AnUnknownModelIsNotReady) {
  for (const auto& [name, ready] : {std::pair{"milling", true}, std::pair{"drilling", false}}) {
    grpc::ClientContext context;
    inference::ModelReadyRequest request;
    request.set_name(name);
    inference::ModelReadyResponse response;
    ASSERT_TRUE(stub_->ModelReady(&context, request, &response).ok());
    EXPECT_EQ(response.ready(), ready) << name;
  }
}

TEST_F(RpcServerTest, MetadataConfigAndIndexNameTheModels) {
  ASSERT_TRUE(repository_.PutVersions("milling", {{.package = fixture::LoadFixture({}, "1")},
                                                  {.package = fixture::LoadFixture({}, "2")}}));
  grpc::ClientContext context;
  inference::ModelMetadataRequest request;
  request.set_name("milling");
  inference::ModelMetadataResponse metadata;
  ASSERT_TRUE(stub_->ModelMetadata(&context, request, &metadata).ok());
  EXPECT_THAT(metadata.versions(), testing::ElementsAre("1", "2"));
  EXPECT_EQ(metadata.inputs(0).name(), "input");
  EXPECT_EQ(metadata.inputs(0).datatype(), "FP32");
  EXPECT_THAT(metadata.inputs(0).shape(), testing::ElementsAre(-1, 3));
  grpc::ClientContext config_context;
  inference::ModelConfigRequest config_request;
  config_request.set_name("milling");
  inference::ModelConfigResponse config;
  ASSERT_TRUE(stub_->ModelConfig(&config_context, config_request, &config).ok());
  EXPECT_EQ(config.config().input(0).data_type(), inference::TYPE_FP32);
  grpc::ClientContext index_context;
  inference::RepositoryIndexResponse index;
  ASSERT_TRUE(stub_->RepositoryIndex(&index_context, {}, &index).ok());
  EXPECT_EQ(index.models_size(), 3);  // milling 1 and 2, kept
}

TEST_F(RpcServerTest, StatisticsCountWhatWasAnsweredAndRefused) {
  ModelInferResponse response;
  ASSERT_TRUE(Infer(MillingRequest(75), response).ok());
  ModelInferRequest wrong = MillingRequest(1);
  wrong.mutable_inputs(0)->set_name("inputs");
  ASSERT_FALSE(Infer(wrong, response).ok());
  grpc::ClientContext context;
  inference::ModelStatisticsRequest request;
  request.set_name("milling");
  request.set_version("1");
  inference::ModelStatisticsResponse statistics;
  ASSERT_TRUE(stub_->ModelStatistics(&context, request, &statistics).ok());
  ASSERT_EQ(statistics.model_stats_size(), 1);
  const inference::ModelStatistics& milling = statistics.model_stats(0);
  EXPECT_EQ(milling.name(), "milling");
  EXPECT_EQ(milling.version(), "1");
  EXPECT_EQ(milling.inference_count(), 1U);
  EXPECT_EQ(milling.execution_count(), 1U);
  EXPECT_EQ(milling.inference_stats().success().count(), 1U);
  EXPECT_EQ(milling.inference_stats().fail().count(), 1U);
  EXPECT_GT(milling.last_inference(), 0U);
  ASSERT_EQ(milling.batch_stats_size(), 1);
  EXPECT_EQ(milling.batch_stats(0).batch_size(), 1U);
  grpc::ClientContext all_context;
  inference::ModelStatisticsResponse all;
  ASSERT_TRUE(stub_->ModelStatistics(&all_context, {}, &all).ok());
  EXPECT_EQ(all.model_stats_size(), 2);  // milling and kept
  grpc::ClientContext absent_context;
  request.set_name("drilling");
  EXPECT_EQ(stub_->ModelStatistics(&absent_context, request, &all).error_code(),
            StatusCode::NOT_FOUND);
}

TEST_F(RpcServerTest, WithoutALibraryModelsAreNeitherLoadedNorUnloaded) {
  grpc::ClientContext load_context;
  inference::RepositoryModelLoadRequest load;
  load.set_model_name("milling");
  inference::RepositoryModelLoadResponse loaded;
  const grpc::Status refused = stub_->RepositoryModelLoad(&load_context, load, &loaded);
  EXPECT_EQ(refused.error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(refused.error_message(), HasSubstr("--repository-api"));
  grpc::ClientContext unload_context;
  inference::RepositoryModelUnloadRequest unload;
  unload.set_model_name("milling");
  inference::RepositoryModelUnloadResponse unloaded;
  EXPECT_EQ(stub_->RepositoryModelUnload(&unload_context, unload, &unloaded).error_code(),
            StatusCode::PERMISSION_DENIED);
  ModelInferResponse response;
  EXPECT_TRUE(Infer(MillingRequest(75), response).ok());
}

class RpcLibraryTest : public RpcServerTest {
 protected:
  void SetUp() override {
    library_.emplace(repository_, clock_,
                     ModelLibraryOptions{LibraryControl::kOnRequest, directory_.path()});
    RpcServerTest::SetUp();
  }
  ScoringParts ServedParts() override {
    ScoringParts parts = Parts();
    parts.library = &*library_;
    return parts;
  }
  void Write(const std::string& version, const std::string& bytes) const {
    std::filesystem::create_directories(directory_.path() / "tree" / version);
    fixture::WriteBytes(directory_.path() / "tree" / version / "model.onnx", bytes);
  }
  grpc::Status Load(const std::string& name, const std::string& parameter = "") {
    grpc::ClientContext context;
    inference::RepositoryModelLoadRequest request;
    request.set_model_name(name);
    if (!parameter.empty()) (*request.mutable_parameters())[parameter].set_string_param("x");
    inference::RepositoryModelLoadResponse response;
    return stub_->RepositoryModelLoad(&context, request, &response);
  }
  grpc::Status Unload(const std::string& name) {
    grpc::ClientContext context;
    inference::RepositoryModelUnloadRequest request;
    request.set_model_name(name);
    inference::RepositoryModelUnloadResponse response;
    return stub_->RepositoryModelUnload(&context, request, &response);
  }
  // "tree/1 READY", ...
  std::vector<std::string> Index() {
    grpc::ClientContext context;
    inference::RepositoryIndexResponse index;
    EXPECT_TRUE(stub_->RepositoryIndex(&context, {}, &index).ok());
    std::vector<std::string> lines;
    for (const auto& model : index.models())
      lines.push_back(fmt::format("{}/{} {}", model.name(), model.version(), model.state()));
    return lines;
  }

  TemporaryDirectory directory_ = TemporaryDirectory::Create("library").value();
  std::optional<ModelLibrary> library_;
};

TEST_F(RpcLibraryTest, ModelsAreLoadedAndUnloadedOnRequest) {
  EXPECT_EQ(Load("tree").error_code(), StatusCode::NOT_FOUND);
  Write("1", fixture::TreeModelBytes({}));
  Write("2", fixture::TreeModelBytes({}));
  ASSERT_TRUE(Load("tree").ok());
  EXPECT_THAT(Index(), testing::IsSupersetOf({"tree/1 READY", "tree/2 READY"}));
  ModelInferRequest request = MillingRequest(75);
  request.set_model_name("tree");
  ModelInferResponse response;
  ASSERT_TRUE(Infer(request, response).ok());
  EXPECT_EQ(response.model_version(), "2");
  Write("2", "damaged");
  const grpc::Status damaged = Load("tree");
  EXPECT_EQ(damaged.error_code(), StatusCode::DATA_LOSS) << damaged.error_message();
  EXPECT_TRUE(Infer(request, response).ok()) << "the good one goes on";
  EXPECT_EQ(Load("tree", "config").error_code(), StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(Load("tree", "file:1/model.onnx").error_code(), StatusCode::UNIMPLEMENTED);
  ASSERT_TRUE(Unload("tree").ok());
  EXPECT_EQ(Infer(request, response).error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(Unload("tree").error_code(), StatusCode::NOT_FOUND);
}

TEST_F(RpcServerTest, AStreamAnswersInOrderAndOutlivesARefusal) {
  grpc::ClientContext context;
  const auto stream = stub_->ModelStreamInfer(&context);
  ModelInferRequest unknown = MillingRequest(1);
  unknown.set_model_name("drilling");
  for (const ModelInferRequest& request : {MillingRequest(75), unknown, MillingRequest(20)})
    ASSERT_TRUE(stream->Write(request));
  stream->WritesDone();
  inference::ModelStreamInferResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.error_message(), "");
  EXPECT_EQ(response.infer_response().outputs_size(), 4);
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_THAT(response.error_message(), HasSubstr("drilling"));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.error_message(), "");
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(RpcServerTest, ASyncCaptureIsAnsweredAfterItsCommit) {
  ModelInferRequest request = MillingRequest(1);
  request.set_model_name("kept");
  std::atomic<bool> answered = false;
  grpc::Status status;
  std::thread caller([&] {
    ModelInferResponse response;
    status = Infer(request, response);
    answered = true;
  });
  sink_.AwaitOne();
  EXPECT_FALSE(answered);
  sink_.End(Fail(ErrorCode::kResourceExhausted, "the disk is full"));
  caller.join();
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("the disk is full"));
}

TEST_F(RpcServerTest, ATriedCaptureThatFailsIsAnsweredAndSaysSo) {
  Serve("tried", fixture::LoadFixture(), CaptureMode::kTry);
  ModelInferRequest request = MillingRequest(1);
  request.set_model_name("tried");
  grpc::Status status;
  ModelInferResponse response;
  std::thread caller([&] { status = Infer(request, response); });
  sink_.AwaitOne();
  sink_.End(Fail(ErrorCode::kResourceExhausted, "the disk is full"));
  caller.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
  ASSERT_TRUE(response.parameters().contains("captured"));
  EXPECT_FALSE(response.parameters().at("captured").bool_param());
}

TEST_F(RpcServerTest, DrainAnswersWhatIsUnderWay) {
  ModelInferRequest request = MillingRequest(1);
  request.set_model_name("kept");
  grpc::Status status;
  std::thread caller([&] {
    ModelInferResponse response;
    status = Infer(request, response);
  });
  sink_.AwaitOne();
  std::thread drain([&] { server_->Drain(std::chrono::seconds(20)); });
  sink_.End({});
  caller.join();
  drain.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
  ModelInferResponse response;
  EXPECT_EQ(Infer(MillingRequest(1), response).error_code(), StatusCode::UNAVAILABLE);
}

TEST_F(RpcServerTest, ACallerThatGoesAwayLeavesTheServerWhole) {
  ModelInferRequest request = MillingRequest(1);
  request.set_model_name("kept");
  grpc::ClientContext context;
  std::thread caller([&] {
    ModelInferResponse response;
    EXPECT_EQ(stub_->ModelInfer(&context, request, &response).error_code(), StatusCode::CANCELLED);
  });
  sink_.AwaitOne();
  context.TryCancel();
  caller.join();
  sink_.End({});
  ModelInferResponse response;
  EXPECT_TRUE(Infer(MillingRequest(1), response).ok());
}

TEST_F(RpcServerTest, ADeadlineThatPassesEndsTheCall) {
  ModelInferRequest request = MillingRequest(1);
  request.set_model_name("kept");
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  ModelInferResponse response;
  EXPECT_EQ(stub_->ModelInfer(&context, request, &response).error_code(),
            StatusCode::DEADLINE_EXCEEDED);
  sink_.End({});
}

TEST_F(RpcServerTest, ModelsAreSwappedUnderLoadWithoutAFailedCall) {
  std::atomic<bool> over = false;
  std::atomic<int> failed = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 2; ++i)
    callers.emplace_back([&] {
      ModelInferResponse response;
      while (!over)
        if (!Infer(MillingRequest(75), response).ok()) ++failed;
    });
  for (int i = 0; i < 20; ++i)
    Serve("milling", fixture::LoadFixture({}, std::to_string(i)), CaptureMode::kOff);
  over = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(failed, 0);
}

TEST_F(RpcServerTest, RefusesPlainTextBeyondLoopbackAndAPortInUse) {
  RpcServerOptions options;
  options.parts = Parts();
  options.address = "0.0.0.0";
  auto open = RpcServer::Start(options);
  ASSERT_FALSE(open);
  EXPECT_EQ(open.error().code(), ErrorCode::kInvalidArgument);
  options.address = "::ffff:127.0.0.1";  // does not count as loopback
  EXPECT_FALSE(RpcServer::Start(options));
  options.plain = PlainHttp::kAnywhere;
  EXPECT_TRUE(RpcServer::Start(options));
  options.address = "127.0.0.1";
  options.port = server_->port();
  auto taken = RpcServer::Start(options);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code(), ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace skerry
