// Several models and versions over real HTTP: loaded, swapped and unloaded while requests go on.
#include "serve/model_library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <set>
#include <thread>

#include "codec/json.h"
#include "serve/tests/serving_fixture.h"

namespace skerry {
namespace {

using testing::HasSubstr;

constexpr const char* kRow =
    R"({"inputs":[{"name":"input","shape":[1,3],"datatype":"FP32","data":[0,65,10]}]})";

class ModelLibraryTest : public ScoringHttpTest {
 protected:
  void Start(LibraryControl control) {
    library_ = std::make_unique<ModelLibrary>(
        repository_, clock_,
        ModelLibraryOptions{.control = control, .directory = directory_.path()});
    ASSERT_TRUE(library_->LoadAll());
    ScoringParts parts = Parts();
    parts.library = library_.get();
    StartServer(std::move(parts));
  }

  // A bare tree that gives `high` above its split.
  void Write(const std::string& name, const std::string& version, float high) {
    const auto at = directory_.path() / name / version;
    std::filesystem::create_directories(at);
    fixture::WriteBytes(at / "model.onnx", fixture::TreeModelBytes({.low = 0.1F, .high = high}));
  }
  void WriteBroken(const std::string& name, const std::string& version) {
    const auto at = directory_.path() / name / version;
    std::filesystem::create_directories(at);
    fixture::WriteBytes(at / "model.onnx", "no graph at all");
  }

  Json Ask(const std::string& method, const std::string& path, const std::string& body = "") {
    const HttpReply reply = Call(method, path, body);
    EXPECT_EQ(reply.status, 200) << path << ": " << reply.body;
    return ParseJson(reply.body).value_or(Json());
  }
  // P(class 1) of the row that is above the split.
  double High(const std::string& path) {
    const Json answer = Ask("POST", path + "/infer", kRow);
    return answer["outputs"][0]["data"][1].get<double>();
  }
  Json Index() { return Ask("POST", "/v2/repository/index"); }

  TemporaryDirectory directory_ = TemporaryDirectory::Create("library").value();
  std::unique_ptr<ModelLibrary> library_;
};

TEST_F(ModelLibraryTest, ServesEveryVersionAndTheHighestNumberByDefault) {
  Write("tree", "1", 0.6F);
  Write("tree", "2", 0.7F);
  Write("tree", "10", 0.8F);
  fixture::WritePackage(directory_.path() / "milling" / "3");
  std::filesystem::create_directories(directory_.path() / "tree" / "notes");
  Start(LibraryControl::kFixed);
  EXPECT_NEAR(High("/v2/models/tree"), 0.8, 1e-6);
  EXPECT_NEAR(High("/v2/models/tree/versions/1"), 0.6, 1e-6);
  EXPECT_NEAR(High("/v2/models/tree/versions/2"), 0.7, 1e-6);
  EXPECT_EQ(Ask("GET", "/v2/models/tree")["versions"], Json::array({"1", "2", "10"}));
  EXPECT_EQ(Ask("POST", "/v2/models/milling/infer", kRow)["model_version"], "3");
  const HttpReply absent = Call("POST", "/v2/models/tree/versions/3/infer", kRow);
  EXPECT_EQ(absent.status, 404);
  EXPECT_THAT(absent.body, HasSubstr("1, 2, 10"));
  EXPECT_EQ(Index().size(), 4U);
}

TEST_F(ModelLibraryTest, LoadsAndUnloadsOnRequestOnlyWhenTold) {
  Write("tree", "1", 0.6F);
  Start(LibraryControl::kFixed);
  const HttpReply refused = Call("POST", "/v2/repository/models/tree/unload");
  EXPECT_EQ(refused.status, 403);
  EXPECT_THAT(refused.body, HasSubstr("--repository-api"));
  EXPECT_EQ(Call("POST", "/v2/repository/models/tree/load").status, 403);
  EXPECT_NEAR(High("/v2/models/tree"), 0.6, 1e-6);
}

TEST_F(ModelLibraryTest, LoadsSwapsAndUnloadsOnRequest) {
  Write("tree", "1", 0.6F);
  Start(LibraryControl::kOnRequest);
  Write("late", "1", 0.9F);
  EXPECT_EQ(Call("POST", "/v2/models/late/infer", kRow).status, 404);
  Ask("POST", "/v2/repository/models/late/load", "{}");
  EXPECT_NEAR(High("/v2/models/late"), 0.9, 1e-6);

  Write("tree", "2", 0.7F);
  Ask("POST", "/v2/repository/models/tree/load");
  EXPECT_NEAR(High("/v2/models/tree"), 0.7, 1e-6);

  Ask("POST", "/v2/repository/models/late/unload", R"({"parameters":{"unload_dependents":true}})");
  EXPECT_EQ(Call("POST", "/v2/models/late/infer", kRow).status, 404);
  EXPECT_EQ(Call("POST", "/v2/repository/models/late/unload").status, 404);
  const Json index = Index();
  ASSERT_EQ(index.size(), 3U);
  EXPECT_EQ(
      index[0],
      Json({{"name", "late"}, {"version", "1"}, {"state", "UNAVAILABLE"}, {"reason", "unloaded"}}));
  EXPECT_EQ(index[2]["state"], "READY");
  EXPECT_EQ(Ask("POST", "/v2/repository/index", R"({"ready":true})").size(), 2U);
  EXPECT_EQ(Call("POST", "/v2/repository/index", R"({"ready":1})").status, 400);
  EXPECT_EQ(Call("POST", "/v2/repository/index", "[").status, 400);
}

TEST_F(ModelLibraryTest, RefusesNamesAndOverridesFromOutside) {
  Write("tree", "1", 0.6F);
  Start(LibraryControl::kOnRequest);
  EXPECT_EQ(Call("POST", "/v2/repository/models/absent/load").status, 404);
  EXPECT_EQ(Call("POST", "/v2/repository/models/..%2F..%2Fetc/load").status, 400);
  const HttpReply file = Call("POST", "/v2/repository/models/tree/load",
                              R"({"parameters":{"config":"{}","file:1/model.onnx":"AAAA"}})");
  EXPECT_EQ(file.status, 501);
  EXPECT_THAT(file.body, HasSubstr("config"));
  EXPECT_EQ(Call("POST", "/v2/repository/models/tree/load", R"({"parameters":3})").status, 400);
}

TEST_F(ModelLibraryTest, AModelThatFailsToLoadLeavesTheLastGoodOneAndSaysWhy) {
  Write("tree", "1", 0.6F);
  WriteBroken("never", "1");
  Start(LibraryControl::kOnRequest);
  WriteBroken("tree", "1");
  WriteBroken("tree", "2");
  const HttpReply failed = Call("POST", "/v2/repository/models/tree/load");
  EXPECT_NE(failed.status, 200);
  EXPECT_THAT(failed.body, HasSubstr("model.onnx"));
  EXPECT_NEAR(High("/v2/models/tree"), 0.6, 1e-6);
  const Json index = Index();
  ASSERT_EQ(index.size(), 3U);
  EXPECT_EQ(index[0]["name"], "never");
  EXPECT_EQ(index[0]["state"], "UNAVAILABLE");
  EXPECT_THAT(index[0]["reason"].get<std::string>(), HasSubstr("model.onnx"));
  EXPECT_EQ(index[1]["state"], "READY");
  EXPECT_THAT(index[1]["reason"].get<std::string>(), HasSubstr("model.onnx"));
  EXPECT_EQ(index[2]["version"], "2");
  EXPECT_EQ(index[2]["state"], "UNAVAILABLE");

  std::filesystem::remove_all(directory_.path() / "tree");
  EXPECT_EQ(Call("POST", "/v2/repository/models/tree/load").status, 404);
  EXPECT_NEAR(High("/v2/models/tree"), 0.6, 1e-6);

  Write("tree", "1", 0.9F);
  Ask("POST", "/v2/repository/models/tree/load");
  EXPECT_NEAR(High("/v2/models/tree"), 0.9, 1e-6);
  EXPECT_EQ(Index()[1]["reason"], "");
}

TEST_F(ModelLibraryTest, SwapsUnderLoadFailNoRequest) {
  Write("tree", "1", 0.6F);
  Write("other", "1", 0.6F);
  Start(LibraryControl::kOnRequest);
  constexpr int kClients = 4;
  constexpr int kSwaps = 40;
  std::atomic<bool> stop{false};
  std::atomic<int> answered{0}, failed{0};
  std::vector<std::jthread> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([&] {
      HttpClient client({});
      HttpCall call;
      call.method = "POST";
      call.url = fmt::format("http://127.0.0.1:{}/v2/models/tree/infer", server_->port());
      call.body = kRow;
      while (!stop) {
        const auto reply = client.Send(call);
        const bool good = reply && reply->status == 200;
        ++(good ? answered : failed);
      }
    });
  }
  for (int swap = 0; swap < kSwaps; ++swap) {
    const int before = answered;
    Write("tree", std::to_string(1 + swap % 3), 0.6F + static_cast<float>(swap % 4) * 0.1F);
    EXPECT_TRUE(library_->Load("tree"));
    EXPECT_TRUE(swap % 2 == 0 ? library_->Unload("other") : library_->Load("other"));
    while (answered == before && failed == 0) std::this_thread::yield();
  }
  stop = true;
  clients.clear();
  EXPECT_EQ(failed, 0);
  EXPECT_GE(answered, kSwaps);
}

TEST_F(ModelLibraryTest, StatisticsAndTritonsMetricsCountRequestsRowsAndFailures) {
  Write("tree", "1", 0.6F);
  Write("tree", "2", 0.6F);
  Start(LibraryControl::kFixed);
  High("/v2/models/tree/versions/1");
  Ask("POST", "/v2/models/tree/versions/1/infer",
      R"({"inputs":[{"name":"input","shape":[2,3],"datatype":"FP32","data":[0,65,10,0,65,10]}]})");
  EXPECT_EQ(Call("POST", "/v2/models/tree/versions/1/infer", "{").status, 400);

  const Json all = Ask("GET", "/v2/models/stats");
  ASSERT_EQ(all["model_stats"].size(), 2U);
  EXPECT_EQ(all["model_stats"][1]["inference_count"], 0);
  EXPECT_EQ(Ask("GET", "/v2/models/tree/stats")["model_stats"].size(), 2U);
  EXPECT_EQ(Call("GET", "/v2/models/absent/stats").status, 404);
  const Json one = Ask("GET", "/v2/models/tree/versions/1/stats")["model_stats"][0];
  EXPECT_EQ(one["name"], "tree");
  EXPECT_EQ(one["version"], "1");
  EXPECT_EQ(one["inference_count"], 3);
  EXPECT_EQ(one["execution_count"], 2);
  EXPECT_GT(one["last_inference"].get<std::int64_t>(), 0);
  EXPECT_EQ(one["inference_stats"]["success"]["count"], 2);
  EXPECT_EQ(one["inference_stats"]["fail"]["count"], 1);
  EXPECT_EQ(one["inference_stats"]["compute_infer"]["count"], 2);
  EXPECT_GE(one["inference_stats"]["success"]["ns"], one["inference_stats"]["compute_infer"]["ns"]);
  ASSERT_EQ(one["batch_stats"].size(), 2U);
  EXPECT_EQ(one["batch_stats"][1]["batch_size"], 2);
  EXPECT_EQ(one["batch_stats"][1]["compute_infer"]["count"], 1);

  const std::string metrics = Call("GET", "/metrics").body;
  for (const char* line :
       {"nv_inference_request_success{model=\"tree\",version=\"1\"} 2\n",
        "nv_inference_request_success{model=\"tree\",version=\"2\"} 0\n",
        "nv_inference_request_failure{model=\"tree\",version=\"1\",reason=\"OTHER\"} 1\n",
        "nv_inference_count{model=\"tree\",version=\"1\"} 3\n",
        "nv_inference_exec_count{model=\"tree\",version=\"1\"} 2\n",
        "nv_inference_queue_duration_us{model=\"tree\",version=\"1\"} 0\n",
        "# TYPE nv_inference_compute_infer_duration_us counter\n"})
    EXPECT_THAT(metrics, HasSubstr(line));
}

constexpr const char* kWordChars = "abcdefghijklmnopqrstuvwxyz_";

std::vector<std::string> WordsIn(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t at = text.find_first_of(kWordChars); at != std::string::npos;) {
    const std::size_t end = std::min(text.find_first_not_of(kWordChars, at), text.size());
    words.push_back(text.substr(at, end - at));
    at = text.find_first_of(kWordChars, end);
  }
  return words;
}

// The labels that a query asks for (label=~...), or groups by (by (label, label)); but for what
// Prometheus adds itself.
std::set<std::string> LabelsOf(const std::string& query) {
  std::set<std::string> labels;
  for (std::size_t at = query.find("=~"); at != std::string::npos; at = query.find("=~", at + 1))
    labels.insert(WordsIn(query.substr(0, at)).back());
  for (std::size_t at = query.find("by ("); at != std::string::npos;
       at = query.find("by (", at + 1))
    for (const std::string& word : WordsIn(query.substr(at + 4, query.find(')', at) - at - 4)))
      labels.insert(word);
  labels.erase("instance");
  return labels;
}

// Every series that a query names is shown, with every label that the query uses.
void CheckQuery(const std::string& query, const std::string& metrics) {
  std::size_t series = 0;
  for (const std::string& word : WordsIn(query)) {
    if (!word.starts_with("nv_") && !word.starts_with("skerry_")) continue;
    ++series;
    const std::size_t at = metrics.find("\n" + word);
    ASSERT_NE(at, std::string::npos) << "no metric " << word << " for: " << query;
    const std::string line = metrics.substr(at + 1, metrics.find('\n', at + 1) - at);
    for (const std::string& label : LabelsOf(query))
      EXPECT_THAT(line, HasSubstr(label + "=\"")) << query;
  }
  EXPECT_GT(series, 0U) << query;
}

TEST_F(ModelLibraryTest, TheDashboardAsksOnlyForMetricsThatTheServerShows) {
  Write("tree", "1", 0.6F);
  Start(LibraryControl::kFixed);
  High("/v2/models/tree");
  const std::string metrics = Call("GET", "/metrics").body;
  const std::string bytes = ReadFile(SKERRY_DASHBOARD, 1U << 20U).value();
  const Json dashboard = ParseJson(bytes).value();
  std::size_t queries = 0;
  for (const Json& panel : dashboard["panels"])
    for (const Json& target : panel["targets"]) {
      CheckQuery(target["expr"].get<std::string>(), metrics);
      ++queries;
    }
  for (const Json& variable : dashboard["templating"]["list"])
    if (variable["type"] == "query") CheckQuery(variable["definition"].get<std::string>(), metrics);
  EXPECT_GE(queries, 8U);
}

TEST_F(ModelLibraryTest, ATracedRequestSaysWhereItsTimeWent) {
  Write("tree", "1", 0.6F);
  Start(LibraryControl::kFixed);
  const HttpReply traced = Call("POST", "/v2/models/tree/infer?trace=1", kRow);
  EXPECT_EQ(traced.status, 200);
  const std::string timing(FindHeader(traced.headers, "Server-Timing"));
  double parse = -1, input = -1, infer = -1, output = -1, total = -1;
  int end = 0;
  ASSERT_EQ(std::sscanf(timing.c_str(),
                        "parse;dur=%lf, queue;dur=0.000, input;dur=%lf, infer;dur=%lf, "
                        "output;dur=%lf, total;dur=%lf%n",
                        &parse, &input, &infer, &output, &total, &end),
            5)
      << timing;
  EXPECT_EQ(static_cast<std::size_t>(end), timing.size()) << timing;
  for (const double part : {parse, input, infer, output}) EXPECT_GE(part, 0) << timing;
  EXPECT_LE(parse + input + infer + output, total + 0.005) << timing;
  const HttpReply plain = Call("POST", "/v2/models/tree/infer?trace=0", kRow);
  EXPECT_TRUE(FindHeader(plain.headers, "Server-Timing").empty());
  EXPECT_EQ(plain.body, traced.body);
}

TEST_F(ModelLibraryTest, GivesTheConfigurationThatClientsOfTritonAskFor) {
  Write("tree", "1", 0.6F);
  Start(LibraryControl::kFixed);
  const Json config = Ask("GET", "/v2/models/tree/config");
  EXPECT_EQ(config["name"], "tree");
  EXPECT_EQ(config["backend"], "onnxruntime");
  EXPECT_EQ(config["max_batch_size"], 0);
  EXPECT_EQ(config["input"],
            Json::array({{{"name", "input"}, {"data_type", "TYPE_FP32"}, {"dims", {-1, 3}}}}));
  EXPECT_EQ(config["output"][0]["dims"], Json({-1, 2}));
  EXPECT_EQ(Call("GET", "/v2/models/tree/versions/9/config").status, 404);
}

}  // namespace
}  // namespace skerry
