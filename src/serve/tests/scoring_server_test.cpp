// Real HTTP over loopback against real models.
#include "serve/scoring_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "codec/json.h"
#include "serve/tests/serving_fixture.h"

namespace skerry {
namespace {

using testing::HasSubstr;

class ScoringServerTest : public ScoringHttpTest {
 protected:
  void SetUp() override {
    Serve("milling", fixture::LoadFixture());
    ScoringParts parts = Parts();
    parts.capture = &sink_;
    parts.server_name = "skerry";
    parts.server_version = "0";
    StartServer(std::move(parts));
  }

  void ServeBare(const std::string& name, const std::string& bytes) {
    Serve(name, Bare(name, bytes));
  }
  Json Get(const std::string& path) { return ParseJson(Call("GET", path).body).value(); }
  Json Post(const std::string& path, const std::string& body,
            const std::string& content_type = "application/json") {
    const HttpReply reply = Call("POST", path, body, content_type);
    EXPECT_EQ(reply.status, 200) << reply.body;
    return ParseJson(reply.body).value();
  }
  // The error's text; the status is checked.
  std::string Refused(int status, const std::string& path, const std::string& body,
                      const std::string& content_type = "application/json") {
    const HttpReply reply = Call("POST", path, body, content_type);
    EXPECT_EQ(reply.status, status) << body << " -> " << reply.body;
    const auto json = ParseJson(reply.body);
    return json && json->contains("error") ? (*json)["error"].get<std::string>()
                                           : "no error: " + reply.body;
  }

  HeldSink sink_;
};

const std::string kInfer = "/v2/models/milling/infer";
std::string Matrix(const std::string& data, const std::string& shape = "[1,3]") {
  return R"({"inputs":[{"name":"input","shape":)" + shape + R"(,"datatype":"FP32","data":)" + data +
         "}]}";
}

TEST_F(ScoringServerTest, HealthAndMetadataFollowTheProtocol) {
  EXPECT_EQ(Get("/v2/health/live"), Json({{"live", true}}));
  EXPECT_EQ(Get("/v2/health/ready"), Json({{"ready", true}}));
  EXPECT_EQ(Get("/v2")["name"], "skerry");
  EXPECT_EQ(Get("/v2/models/milling/ready")["ready"], true);
  EXPECT_EQ(Get("/v2/models/milling/versions/1/ready")["ready"], true);
  const Json metadata = Get("/v2/models/milling");
  EXPECT_EQ(metadata["versions"], Json::array({"1"}));
  EXPECT_EQ(metadata["inputs"][0]["shape"], Json::array({-1, 3}));
  EXPECT_EQ(metadata["outputs"].size(), 4U);
  EXPECT_EQ(Call("GET", "/v2/models/absent").status, 404);
  EXPECT_EQ(Call("GET", "/v2/models/milling/versions/9").status, 404);
  EXPECT_EQ(Get("/v1/models")["models"][0]["fields"].size(), 5U);
  repository_.SetReady(false);
  EXPECT_EQ(Call("GET", "/v2/health/ready").status, 400);
}

TEST_F(ScoringServerTest, InfersAMatrixAndGivesRowIds) {
  const Json answer =
      Post(kInfer, R"({"id":"r1","inputs":[{"name":"input","shape":[2,3],"datatype":"FP32",)"
                   R"("data":[[0,65,10],[1,20,null]]}]})");
  EXPECT_EQ(answer["model_name"], "milling");
  EXPECT_EQ(answer["model_version"], "1");
  EXPECT_EQ(answer["id"], "r1");
  EXPECT_EQ(answer["parameters"]["instance"], row_numbers_.instance().ToString());
  EXPECT_EQ(answer["parameters"]["first_n"], 1);
  EXPECT_EQ(answer["parameters"]["rows"], 2);
  ASSERT_EQ(answer["outputs"].size(), 4U);
  EXPECT_EQ(answer["outputs"][0]["name"], "probabilities");
  EXPECT_EQ(answer["outputs"][0]["shape"], Json::array({2, 2}));
  EXPECT_NEAR(answer["outputs"][0]["data"][1].get<double>(), 0.9, 1e-6);
  EXPECT_EQ(answer["outputs"][1]["data"], Json::array({"1", "0"}));
  EXPECT_EQ(answer["outputs"][3]["name"], "anomaly_score");
  EXPECT_EQ(Post("/v2/models/milling/versions/1/infer", Matrix("[0,1,2]"))["parameters"]["first_n"],
            3);
}

TEST_F(ScoringServerTest, InfersNamedTensorsAndChosenOutputs) {
  const Json answer =
      Post(kInfer,
           R"({"outputs":[{"name":"score"}],"parameters":{"unit_id":["a","b"],"operator_note":7},)"
           R"("inputs":[{"datatype":"BYTES","data":["M","Q"],"name":"type","shape":[2]},)"
           R"({"name":"tool_wear_min","shape":[2,1],"datatype":"INT64","data":[[5],[6]]},)"
           R"({"name":"torque_nm","shape":[2],"datatype":"FP64","data":[61.5,10]}]})");
  ASSERT_EQ(answer["outputs"].size(), 1U);
  EXPECT_NEAR(answer["outputs"][0]["data"][0].get<double>(), 0.9, 1e-6);
  EXPECT_NEAR(answer["outputs"][0]["data"][1].get<double>(), 0.1, 1e-6);
}

TEST_F(ScoringServerTest, BareModelsTakeAnyTensors) {
  ServeBare("many", fixture::ManyTensorsModelBytes());
  const Json answer =
      Post("/v2/models/many/infer",
           R"({"inputs":[{"name":"a","shape":[1,2],"datatype":"FP32","data":[1,2.5]},)"
           R"({"name":"b","shape":[1,2],"datatype":"FP32","data":[[1,1]]},)"
           R"({"name":"flag","shape":[2],"datatype":"BOOL","data":[true,false]},)"
           R"({"name":"count","shape":[1],"datatype":"INT64","data":[-9223372036854775808]},)"
           R"({"name":"word","shape":[2],"datatype":"BYTES","data":["k\u00e4se","\"x\"\n"]},)"
           R"({"name":"wide","shape":[2,2],"datatype":"FP64","data":[[1,2],[3,1e300]]}]})");
  EXPECT_EQ(answer["outputs"][0]["data"], Json::array({2.0, 3.5}));
  EXPECT_EQ(answer["outputs"][1]["data"], Json::array({true, false}));
  EXPECT_EQ(answer["outputs"][2]["data"][0], std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(answer["outputs"][3]["data"], Json::array({"käse", "\"x\"\n"}));
  EXPECT_EQ(answer["outputs"][4]["data"][3], 1e300);
  EXPECT_FALSE(answer.contains("parameters"));
}

TEST_F(ScoringServerTest, ServesTheQuantizedShuffleNet) {
  const char* data = std::getenv("SKERRY_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "SKERRY_TEST_DATA is not set: no onnx_shufflenet_int8";
  const auto package = LoadBareOnnx(
      std::filesystem::path(data) / "onnx_shufflenet_int8" / "shufflenet-v2-12-int8.onnx",
      "shufflenet");
  ASSERT_TRUE(package) << package.error().message();
  const TensorSpec input = (*package)->predictor->inputs()[0];
  Serve("shufflenet", *package, CaptureMode::kOff);
  std::string pixels = "[0.5";
  for (int i = 1; i < 3 * 224 * 224; ++i) pixels += ",0.5";
  const Json answer =
      Post("/v2/models/shufflenet/infer",
           R"({"inputs":[{"name":")" + input.name +
               R"(","shape":[1,3,224,224],"datatype":"FP32","data":)" + pixels + "]}]}");
  EXPECT_EQ(answer["outputs"][0]["data"].size(), 1000U);
}

TEST_F(ScoringServerTest, ScoresNamedFieldsWithReasons) {
  const Json answer = Post("/v1/score", R"([{"type":"Q","torque_nm":81.5,"tool_wear_min":null,)"
                                        R"("unit_id":12,"operator_note":"hello"},)"
                                        R"({"tool_wear_min":3,"torque_nm":20,"type":"L"}])");
  EXPECT_EQ(answer["parameters"]["rows"], 2);
  const Json& strange = answer["results"][0];
  EXPECT_EQ(strange["row"], row_numbers_.instance().ToString() + "-1");
  EXPECT_EQ(strange["prediction"], "1");
  EXPECT_EQ(strange["anomaly"], true);
  EXPECT_EQ(strange["out_of_range"], Json::array({"type", "torque_nm"}));
  EXPECT_EQ(strange["reasons"][1], "torque_nm 81.5 is above the range seen in training 10 - 80");
  EXPECT_EQ(answer["results"][1]["anomaly"], false);
  EXPECT_EQ(answer["results"][1]["reasons"], Json::array());
  EXPECT_EQ(
      Post("/v1/score?model=milling", R"({"type":"L","torque_nm":1,"tool_wear_min":1})")["results"]
          .size(),
      1U);
}

TEST_F(ScoringServerTest, BadScoreRequestsNameTheField) {
  const auto refused = [&](const std::string& body) { return Refused(400, "/v1/score", body); };
  EXPECT_THAT(refused(R"({"type":"L","tool_wear_min":1})"), HasSubstr("torque_nm is missing"));
  EXPECT_THAT(refused(R"({"type":"L","torque_nm":"wet","tool_wear_min":1})"),
              HasSubstr("torque_nm: expected a number or null, got a string"));
  EXPECT_THAT(refused(R"({"type":["L"],"torque_nm":1,"tool_wear_min":1})"),
              HasSubstr("field type"));
  EXPECT_THAT(refused(R"({"type":"L","torque_nm":NaN,"tool_wear_min":1})"), HasSubstr("torque_nm"));
  EXPECT_THAT(refused(R"({"type":"L","torque_nm":1e300,"tool_wear_min":1})"),
              HasSubstr("torque_nm"));
  EXPECT_THAT(refused(R"({"type":"L","torque_nm":1,"torque_nm":2,"tool_wear_min":1})"),
              HasSubstr("twice"));
  EXPECT_THAT(refused(R"({"colour":"blue"})"), HasSubstr("colour"));
  EXPECT_THAT(refused(R"({"unit_id":{}})"), HasSubstr("unit_id"));
  EXPECT_THAT(refused("[]"), HasSubstr("at least one row"));
  EXPECT_THAT(refused("[1]"), HasSubstr("row 0"));
  EXPECT_THAT(refused("7"), HasSubstr("expected a JSON object"));
  EXPECT_THAT(refused(""), HasSubstr("JSON"));
  EXPECT_THAT(refused(R"({"type":"L","torque_nm":1,"tool_wear_min":1}x)"), HasSubstr("JSON"));
  EXPECT_THAT(Refused(404, "/v1/score?model=absent", "{}"), HasSubstr("absent"));
}

TEST_F(ScoringServerTest, BadInferRequestsNameTheTensor) {
  const auto refused = [&](const std::string& body) { return Refused(400, kInfer, body); };
  EXPECT_THAT(refused("{"), HasSubstr("JSON"));
  EXPECT_THAT(refused("[]"), HasSubstr("inputs"));
  EXPECT_THAT(refused("{}"), HasSubstr("inputs"));
  EXPECT_THAT(refused(R"({"inputs":[]})"), HasSubstr("field type is missing"));
  EXPECT_THAT(refused(R"({"inputs":[1]})"), HasSubstr("inputs[0]"));
  EXPECT_THAT(refused(R"({"inputs":[{"shape":[1]}]})"), HasSubstr("inputs[0]"));
  EXPECT_THAT(refused(Matrix("[1,2]")),
              HasSubstr("\"input\": shape [1,3] wants 3 elements, data has 2"));
  EXPECT_THAT(refused(Matrix("[1,2,3,4]")), HasSubstr("data has more"));
  EXPECT_THAT(refused(Matrix("[1,2,NaN]")), HasSubstr("\"input\": data element 2"));
  EXPECT_THAT(refused(Matrix("[1,2,\"3\"]")), HasSubstr("expected FP32"));
  EXPECT_THAT(refused(Matrix("[1,2,1e99]")), HasSubstr("cannot hold"));
  EXPECT_THAT(refused(Matrix("[0.5,2,3]")), HasSubstr("field type"));
  EXPECT_THAT(refused(Matrix("[1,2]", "[1,2]")), HasSubstr("expected shape [N,3], got [1,2]"));
  EXPECT_THAT(refused(Matrix("[]", "[0,3]")), HasSubstr("at least one row"));
  EXPECT_THAT(refused(Matrix("[1]", "[-1,3]")), HasSubstr("shape[0]"));
  EXPECT_THAT(refused(Matrix("[1]", "[9000000,3]")), HasSubstr("more than the body can hold"));
  EXPECT_THAT(Refused(413, kInfer, Matrix("[1]", "[9000000000000,9000000000000]")),
              HasSubstr("kTensorElements"));
  std::string nested = "1";
  for (int i = 0; i < 40; ++i) nested.insert(0, 1, '[').push_back(']');
  EXPECT_THAT(refused(Matrix(nested)), HasSubstr("deep"));
  EXPECT_THAT(refused(R"({"inputs":[{"name":"input","shape":[1,3],"datatype":"FP99","data":[]}]})"),
              HasSubstr("FP99"));
  EXPECT_THAT(
      refused(R"({"inputs":[{"name":"input","shape":[1,3],"datatype":"INT64","data":[1,2,3]}]})"),
      HasSubstr("expected datatype FP32, got INT64"));
  EXPECT_THAT(refused(R"({"inputs":[{"name":"torque","shape":[1],"datatype":"FP32","data":[1]}]})"),
              HasSubstr("\"torque\""));
  EXPECT_THAT(
      refused(R"({"inputs":[{"name":"torque_nm","shape":[1],"datatype":"FP32","data":[1]}]})"),
      HasSubstr("field type is missing"));
  EXPECT_THAT(refused(R"({"outputs":[{"name":"nope"}],)" + Matrix("[1,2,3]").substr(1)),
              HasSubstr("\"nope\""));
  EXPECT_THAT(refused(R"({"parameters":{"unit_id":["a","b"]},)" + Matrix("[1,2,3]").substr(1)),
              HasSubstr("unit_id: expected one value or an array of 1, got 2"));
  EXPECT_THAT(refused(R"({"parameters":{"unit_id":{"a":1}},)" + Matrix("[1,2,3]").substr(1)),
              HasSubstr("unit_id"));
  EXPECT_THAT(refused(R"({"id":5,)" + Matrix("[1,2,3]").substr(1)), HasSubstr("id"));
  EXPECT_THAT(Refused(404, "/v2/models/absent/infer", "{}"), HasSubstr("absent"));
  EXPECT_EQ(row_numbers_.taken(), 0U);
}

TEST_F(ScoringServerTest, EveryKindOfMalformedJsonIsRefused) {
  const std::string good = R"({"id":"a","parameters":{"p":[1,"x",null]},"inputs":[{"name":"input",)"
                           R"("shape":[1,3],"datatype":"FP32","data":[[0,65,10]]}]})";
  EXPECT_EQ(Call("POST", kInfer, good).status, 200);
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_EQ(Call("POST", kInfer, good.substr(0, size)).status, 400) << size;
  const auto data = [](const std::string& element) { return Matrix("[1,2," + element + "]"); };
  for (const std::string element :
       {"1e999", "-1e999", "1e39",    "NaN",  "Infinity", "01", "+1",    ".5",
        "1.",    "0x1",    "1e",      "--1",  "true",     "{}", "\"1\"", "'1'",
        "1 2",   "[[",     "\\u0031", "1,,2", ",",        "1,", "\xFF"})
    EXPECT_EQ(Call("POST", kInfer, data(element)).status, 400) << element;
  for (const std::string id :
       {R"(\ud800)", R"(\udc00\ud800)", R"(\u12)", R"(\x)", "\x01", "\xC3\x28", "\xED\xA0\x80"})
    EXPECT_EQ(Call("POST", kInfer, R"({"id":")" + id + "\"," + Matrix("[0,1,2]").substr(1)).status,
              400)
        << id;
  for (const std::string shape : {"[-1,3]", "[1,-3]", "[1.5,2]", "[\"1\",3]", "[1,3", "1", "null",
                                  "[[1],3]", "[9223372036854775808,3]", "[3]", "[1,3,1]", "[]"})
    EXPECT_EQ(Call("POST", kInfer, Matrix("[0,1,2]", shape)).status, 400) << shape;
  for (const std::string shape : {"[4294967296,4294967296]", "[9223372036854775807,3]"})
    EXPECT_EQ(Call("POST", kInfer, Matrix("[0,1,2]", shape)).status, 413) << shape;
  for (const char bracket : {'[', '{'}) {
    const std::string deep(100'000, bracket);
    EXPECT_EQ(Call("POST", kInfer, deep).status, 400);
    EXPECT_EQ(Call("POST", kInfer, R"({"inputs":)" + deep).status, 400);
    EXPECT_EQ(Call("POST", kInfer, R"({"parameters":{"a":)" + deep).status, 400);
    EXPECT_EQ(Call("POST", kInfer, R"({"inputs":[{"name":"input","x":)" + deep).status, 400);
    EXPECT_EQ(Call("POST", kInfer, Matrix(deep)).status, 400);
  }
  EXPECT_EQ(Call("POST", kInfer, "\xEF\xBB\xBF\xEF\xBB\xBF" + good).status, 400);
  EXPECT_EQ(Call("POST", kInfer, good + good).status, 400);
  EXPECT_EQ(row_numbers_.taken(), 1U);
}

TEST_F(ScoringServerTest, SyncCaptureAnswersOnlyWhenTheRowsAreKept) {
  Serve("milling", fixture::LoadFixture(), CaptureMode::kSync);
  std::atomic<bool> answered{false};
  std::thread client([&] {
    const Json answer =
        Post(kInfer, R"({"parameters":{"unit_id":"u9"},)" + Matrix("[0,65,10]").substr(1));
    answered = true;
    EXPECT_EQ(answer["outputs"][1]["data"][0], "1");
  });
  // Another request goes through while the first waits: the loop is not blocked.
  EXPECT_EQ(Call("GET", "/v2/health/live").status, 200);
  EXPECT_FALSE(answered.load());
  const auto batch = sink_.End({});
  client.join();
  EXPECT_TRUE(answered.load());
  EXPECT_EQ(batch->rows, 1U);
  EXPECT_EQ(batch->texts.at(0).at(0), "u9");
  EXPECT_EQ(batch->texts.at(1).at(0), "");
  EXPECT_EQ(batch->instance, row_numbers_.instance());
  EXPECT_GT(batch->event_time_us, 0);
}

TEST_F(ScoringServerTest, FailedSyncCaptureIs503WithTheReason) {
  Serve("milling", fixture::LoadFixture(), CaptureMode::kSync);
  std::thread client(
      [&] { EXPECT_THAT(Refused(503, kInfer, Matrix("[0,65,10]")), HasSubstr("disk is full")); });
  sink_.End(Fail(ErrorCode::kDataLoss, "the disk is full"));
  client.join();
  EXPECT_THAT(Call("GET", "/metrics").body,
              HasSubstr("skerry_rows_capture_failed_total{model=\"milling\"} 1"));
}

TEST_F(ScoringServerTest, TryCaptureAnswersWhatCannotBeKeptAndSaysSo) {
  Serve("milling", fixture::LoadFixture(), CaptureMode::kTry);
  for (const bool kept : {false, true}) {
    std::thread client([&] {
      const HttpReply reply = Call("POST", kInfer, Matrix("[0,65,10]"));
      EXPECT_EQ(reply.status, 200);
      EXPECT_EQ(reply.Header("Skerry-Captured"), kept ? "" : "false");
    });
    sink_.End(kept ? Status() : Fail(ErrorCode::kResourceExhausted, "the disk is full"));
    client.join();
  }
  EXPECT_THAT(Call("GET", "/metrics").body,
              HasSubstr("skerry_rows_capture_failed_total{model=\"milling\"} 1"));
}

TEST_F(ScoringServerTest, AsyncCaptureAnswersAtOnce) {
  Serve("milling", fixture::LoadFixture(), CaptureMode::kAsync);
  Post(kInfer, Matrix("[0,65,10]"));
  EXPECT_EQ(sink_.End({})->rows, 1U);
}

TEST_F(ScoringServerTest, SwapsUnderLoadFailNoRequest) {
  const auto one = fixture::LoadFixture({}, "1");
  const auto two = fixture::LoadFixture({.model = {.high = 0.7F}}, "2");
  std::atomic<bool> stop{false};
  std::atomic<int> answered{0};
  std::vector<std::thread> clients;
  for (int t = 0; t < 3; ++t)
    clients.emplace_back([&] {
      HttpClient client({});
      HttpCall call;
      call.method = "POST";
      call.url = fmt::format("http://127.0.0.1:{}{}", server_->port(), kInfer);
      call.body = Matrix("[0,65,10]");
      while (!stop) {
        const auto reply = client.Send(call);
        ASSERT_TRUE(reply) << reply.error().message();
        ASSERT_EQ(reply->status, 200) << reply->body;
        const Json json = ParseJson(reply->body).value();
        // The score is that of the version that the answer names.
        ASSERT_NEAR(json["outputs"][2]["data"][0].get<double>(),
                    json["model_version"] == "1" ? 0.9 : 0.7, 1e-6);
        ++answered;
      }
    });
  int swaps = 0;
  while (answered < 300) {
    Serve("milling", swaps++ % 2 == 0 ? two : one, CaptureMode::kOff);
    std::this_thread::yield();
  }
  stop = true;
  for (std::thread& client : clients) client.join();
  EXPECT_GT(swaps, 1);
}

TEST_F(ScoringServerTest, CountsRequestsRowsAndErrors) {
  Post(kInfer, Matrix("[0,1,2,0,1,2]", "[2,3]"));
  Refused(400, kInfer, "{}");
  const std::string text = Call("GET", "/metrics").body;
  EXPECT_THAT(text, HasSubstr("skerry_requests_total{model=\"milling\"} 2"));
  EXPECT_THAT(text, HasSubstr("skerry_request_errors_total{model=\"milling\"} 1"));
  EXPECT_THAT(text, HasSubstr("skerry_rows_scored_total{model=\"milling\"} 2"));
  EXPECT_THAT(text, HasSubstr("skerry_request_seconds_count{model=\"milling\"} 2"));
}

TEST_F(ScoringServerTest, PortInUseIsNamed) {
  ScoringServerOptions options;
  options.http.port = server_->port();
  options.parts = {.repository = &repository_,
                   .row_numbers = &row_numbers_,
                   .clock = &clock_,
                   .metrics = &metrics_};
  const auto second = ScoringServer::Start(std::move(options));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), ErrorCode::kUnavailable);
  EXPECT_THAT(second.error().message(), HasSubstr(std::to_string(server_->port())));
}

TEST_F(ScoringServerTest, ManyModelsAreServedAndRemoved) {
  ServeBare("adder", fixture::AddModelBytes());
  EXPECT_EQ(Get("/v1/models")["models"].size(), 2U);
  EXPECT_THAT(Refused(404, "/v1/score", "{}"), HasSubstr("say which model"));
  EXPECT_THAT(Refused(400, "/v1/score?model=adder", "{}"), HasSubstr("bare ONNX"));
  EXPECT_THAT(Refused(400, "/v2/models/adder/infer", Matrix("[1,2,3]")), HasSubstr("\"input\""));
  ASSERT_TRUE(repository_.Remove("milling"));
  EXPECT_EQ(repository_.Remove("milling").error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(Call("POST", kInfer, Matrix("[1,2,3]")).status, 404);
  EXPECT_EQ(repository_.Put("Bad Name", {fixture::LoadFixture(), CaptureMode::kOff, nullptr})
                .error()
                .code(),
            ErrorCode::kInvalidArgument);
  ASSERT_TRUE(repository_.Remove("adder"));
  EXPECT_THAT(Refused(404, "/v1/score", "{}"), HasSubstr("no model is served here yet"));
}

}  // namespace
}  // namespace skerry
