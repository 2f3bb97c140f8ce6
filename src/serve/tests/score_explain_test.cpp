// POST /v1/score?explain=1 over real HTTP.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/limits.h"
#include "codec/json.h"
#include "serve/tests/serving_fixture.h"

namespace skerry {
namespace {

using testing::HasSubstr;

class ScoreExplainTest : public ScoringHttpTest {
 protected:
  void SetUp() override {
    fixture::PackageFiles files;
    files.model.low = -1;
    files.model.high = 2;
    files.model.explained = true;
    Serve("milling", fixture::LoadFixture(files));
    StartServer(Parts());
  }
  Json Answer(int status, const std::string& path, const std::string& body) {
    const HttpReply reply = Call("POST", path, body);
    EXPECT_EQ(reply.status, status) << reply.body;
    return ParseJson(reply.body).value();
  }
};

constexpr const char* kTwoRows =
    R"([{"type":"L","torque_nm":65,"tool_wear_min":null},{"type":"M","torque_nm":null,"tool_wear_min":3}])";

TEST_F(ScoreExplainTest, ContributionsAddUpToTheLogOddsOfTheScore) {
  const Json answer = Answer(200, "/v1/score?explain=1", kTwoRows);
  ASSERT_EQ(answer["results"].size(), 2U);
  for (const Json& result : answer["results"]) {
    double margin = result["base"].get<double>();
    EXPECT_EQ(result["contributions"].size(), 3U);
    for (const Json& value : result["contributions"]) margin += value.get<double>();
    const double score = result["score"].get<double>();
    EXPECT_NEAR(margin, std::log(score / (1 - score)), 1e-5);
  }
  EXPECT_NEAR(answer["results"][0]["contributions"]["torque_nm"].get<double>(), 2.1, 1e-6);
  // A missing value goes left, where 7 of 10 training rows went.
  EXPECT_NEAR(answer["results"][1]["contributions"]["torque_nm"].get<double>(), -0.9, 1e-6);
}

TEST_F(ScoreExplainTest, NothingIsExplainedUnasked) {
  for (const char* path : {"/v1/score", "/v1/score?explain=0", "/v1/score?explain=false"}) {
    const Json result = Answer(200, path, kTwoRows)["results"][0];
    EXPECT_FALSE(result.contains("contributions")) << path;
    EXPECT_FALSE(result.contains("base")) << path;
  }
  EXPECT_THAT(Answer(400, "/v1/score?explain=maybe", kTwoRows)["error"].get<std::string>(),
              HasSubstr("explain=maybe"));
}

TEST_F(ScoreExplainTest, ModelThatIsNoTreeEnsembleWithCoversSaysWhy) {
  Serve("plain", fixture::LoadFixture({.name = "plain"}));
  const Json refused = Answer(501, "/v1/score?model=plain&explain=1", kTwoRows);
  EXPECT_THAT(refused["error"].get<std::string>(),
              HasSubstr("model plain cannot be explained: its graph is no tree ensemble"));
  EXPECT_EQ(row_numbers_.taken(), 0U);
  Answer(200, "/v1/score?model=plain", kTwoRows);
}

TEST_F(ScoreExplainTest, ClientsOfAPackageThatDerivesFeaturesSendItsFieldsAlone) {
  fixture::PackageFiles files;
  files.name = "derives";
  files.model = {.features = 4, .feature = 3, .split = 600, .low = -1, .high = 2};
  files.model.explained = true;
  files.derived = {{"load", DerivedOperation::kProduct, "torque_nm", "tool_wear_min"}};
  Serve("derives", fixture::LoadFixture(files));
  const Json answer = Answer(
      200, "/v1/score?model=derives&explain=1",
      R"([{"type":"L","torque_nm":30,"tool_wear_min":100},{"type":"L","torque_nm":null,"tool_wear_min":100}])");
  EXPECT_NEAR(answer["results"][0]["contributions"]["load"].get<double>(), 2.1, 1e-6);
  // It is missing where a number that it is made of is.
  EXPECT_NEAR(answer["results"][1]["contributions"]["load"].get<double>(), -0.9, 1e-6);
  const HttpReply metadata = Call("GET", "/v2/models/derives", "");
  EXPECT_EQ(ParseJson(metadata.body).value()["inputs"][0]["shape"], Json::array({-1, 3}));
  const Json outputs =
      Answer(200, "/v2/models/derives/infer",
             R"({"inputs":[{"name":"input","datatype":"FP32","shape":[1,3],"data":[0,30,100]}]})");
  EXPECT_EQ(outputs["outputs"][0]["data"][1], answer["results"][0]["score"]);
  const Json refused = Answer(
      400, "/v2/models/derives/infer",
      R"({"inputs":[{"name":"input","datatype":"FP32","shape":[1,4],"data":[0,30,100,3000]}]})");
  EXPECT_THAT(refused["error"].get<std::string>(), HasSubstr("expected shape [N,3]"));
}

TEST_F(ScoreExplainTest, RowsOfOneRequestAreLimited) {
  const auto body = [](std::size_t rows) {
    std::string text = "[";
    for (std::size_t i = 0; i < rows; ++i)
      text +=
          fmt::format(R"({}{{"type":"L","torque_nm":{},"tool_wear_min":1}})", i == 0 ? "" : ",", i);
    return text + "]";
  };
  const Json most = Answer(200, "/v1/score?explain=1", body(limits::kExplainedRows));
  EXPECT_EQ(most["results"].size(), limits::kExplainedRows);
  const Json refused = Answer(413, "/v1/score?explain=1", body(limits::kExplainedRows + 1));
  EXPECT_THAT(refused["error"].get<std::string>(), HasSubstr("kExplainedRows"));
}

}  // namespace
}  // namespace skerry
