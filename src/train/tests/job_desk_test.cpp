#include "train/job_desk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "base/limits.h"
#include "http/client.h"
#include "storage/file.h"
#include "train/job_facts.h"

namespace skerry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class JobDeskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto directory = TemporaryDirectory::Create("desk");
    ASSERT_TRUE(directory) << directory.error().ToString();
    directory_.emplace(std::move(*directory));
    ASSERT_TRUE(WriteFileDurably(directory_->path() / "job.json", "{}"));
    auto desk = JobDesk::Open({}, directory_->path());
    ASSERT_TRUE(desk) << desk.error().ToString();
    desk_ = std::move(*desk);
  }
  HttpReply Send(const std::string& method, const std::string& url, std::string body = "") {
    HttpCall call;
    call.method = method;
    call.url = url;
    call.body = std::move(body);
    HttpClient client({});
    const Result<HttpReply> reply = client.Send(call);
    EXPECT_TRUE(reply) << reply.error().ToString();
    return reply.value_or(HttpReply{});
  }

  std::optional<TemporaryDirectory> directory_;
  std::unique_ptr<JobDesk> desk_;
};

TEST_F(JobDeskTest, GivesTheJobAndTakesResultsAndFacts) {
  EXPECT_EQ(Send("GET", desk_->url() + "/job.json").body, "{}");
  EXPECT_EQ(Send("GET", desk_->url() + "/alive").status, 204);
  EXPECT_EQ(Send("PUT", desk_->url() + "/results/rows.parquet", "rows").status, 204);
  EXPECT_EQ(ReadFile(directory_->path() / "rows.parquet", 100).value(), "rows");
  EXPECT_EQ(Send("POST", desk_->url() + "/facts", "one").status, 204);
  EXPECT_EQ(Send("POST", desk_->url() + "/facts", "two").status, 204);
  EXPECT_THAT(desk_->TakeFacts(), ElementsAre("one", "two"));
  EXPECT_THAT(desk_->TakeFacts(), ElementsAre());
}

TEST_F(JobDeskTest, WhoDoesNotKnowTheWordGetsNothing) {
  const std::string origin = desk_->url().substr(0, desk_->url().rfind('/'));
  EXPECT_EQ(Send("GET", origin + "/job.json").status, 404);
  EXPECT_EQ(Send("GET", origin + "/00000000000000000000000000000000/job.json").status, 404);
  EXPECT_EQ(Send("PUT", origin + "/x/results/rows.parquet", "rows").status, 404);
  EXPECT_FALSE(std::filesystem::exists(directory_->path() / "rows.parquet"));
}

TEST_F(JobDeskTest, TakesNoOtherNamesAndNoLongFacts) {
  EXPECT_EQ(Send("PUT", desk_->url() + "/results/job.json", "mine").status, 404);
  EXPECT_EQ(Send("PUT", desk_->url() + "/results/..%2Fescaped", "mine").status, 404);
  EXPECT_EQ(ReadFile(directory_->path() / "job.json", 100).value(), "{}");
  EXPECT_EQ(
      Send("POST", desk_->url() + "/facts", std::string(limits::kSparkLineBytes + 1, 'x')).status,
      413);
  EXPECT_THAT(desk_->TakeFacts(), ElementsAre());
}

TEST_F(JobDeskTest, AsksHowTheClusterReachesIt) {
  SparkOptions options;
  options.return_host = "0.0.0.0";
  const auto desk = JobDesk::Open(options, directory_->path());
  ASSERT_FALSE(desk);
  EXPECT_THAT(desk.error().message(), HasSubstr("--return-url"));
  options.return_url = "https://edge.example/skerry/";
  const auto behind = JobDesk::Open(options, directory_->path());
  ASSERT_TRUE(behind) << behind.error().ToString();
  EXPECT_THAT((*behind)->url(), ::testing::StartsWith("https://edge.example/skerry/"));
}

TEST(JobFactsTest, KeepsTheFirstFailureAndPassesProgressOn) {
  std::vector<std::string> said;
  const ProgressSink sink = [&](std::string_view line) { said.emplace_back(line); };
  JobFacts facts(sink);
  for (const char* text :
       {R"({"event":"progress","text":"a"})", "no fact", "[1]", "{}",
        R"({"event":"failed","text":"first"})", R"({"event":"failed","text":"second"})"})
    facts.Take(text);
  EXPECT_THAT(said, ElementsAre("a"));
  EXPECT_EQ(facts.failure(), "first");
  EXPECT_FALSE(facts.done());
  facts.Take(R"({"event":"done"})");
  EXPECT_TRUE(facts.done());
}

}  // namespace
}  // namespace skerry
