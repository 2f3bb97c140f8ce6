// What a server of S3 does now and then, and a real one not when asked to: answers that break off,
// pages without end, lengths beyond every disk. A real server: tests/s3_test.py.
#include "s3/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>

#include "base/limits.h"
#include "http/server.h"
#include "s3/fetch.h"
#include "storage/file.h"

namespace skerry {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string Page(const std::string& contents, const std::string& more = "false") {
  return fmt::format("<ListBucketResult><IsTruncated>{}</IsTruncated>{}</ListBucketResult>",
                     more.empty() ? "false" : more, contents);
}

std::string Contents(const std::string& key, std::uint64_t bytes) {
  return fmt::format("<Contents><Key>{}</Key><Size>{}</Size></Contents>", key, bytes);
}

class S3ClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_ = HttpServer::Start({},
                                {{"GET", "/{x...}", RouteKind::kPooled,
                                  [this](HttpRequest& request, Responder responder) {
                                    ++asked_;
                                    answer_(request, std::move(responder));
                                  }}},
                                metrics_)
                  .value();
  }
  S3Client Client() const {
    return S3Client({.place = {.endpoint = fmt::format("http://127.0.0.1:{}", server_->port()),
                               .region = "us-east-1",
                               .keys = {.id = "id", .secret = "sesame"}},
                     .cancelled = {},
                     .first_pause = std::chrono::milliseconds(0)});
  }
  void AnswerPage(const std::string& body) {
    answer_ = [body](HttpRequest&, Responder responder) {
      responder.Send(HttpResponse::Text(200, body, "application/xml"));
    };
  }
  std::string WhyNot(const std::vector<std::string>& addresses) {
    S3Client client = Client();
    const auto objects = ExpandObjects(client, addresses);
    return objects ? "" : objects.error().message();
  }

  MetricRegistry metrics_;
  std::atomic<int> asked_{0};
  Handler answer_;
  std::unique_ptr<HttpServer> server_;
  TemporaryDirectory directory_ = TemporaryDirectory::Create("skerry-s3-test").value();
};

TEST_F(S3ClientTest, DownloadGoesOnWhereItWasCutWithTheSameContent) {
  std::string content;
  for (int i = 0; content.size() < 900'000; ++i) content += std::to_string(i);
  std::mutex mutex;
  std::vector<std::string> ranges, conditions;
  answer_ = [&](HttpRequest& request, Responder responder) {
    const std::string range(request.Header("Range"));
    {
      const std::scoped_lock lock(mutex);
      ranges.push_back(range);
      conditions.emplace_back(request.Header("If-Match"));
    }
    const std::size_t first = range.empty() ? 0 : std::stoul(range.substr(6));
    responder.Start(HttpResponse::Text(range.empty() ? 200 : 206, ""));
    (void)responder.Write(content.substr(first, 400'000));
    if (first + 400'000 >= content.size()) responder.Finish();
  };
  S3Client client = Client();
  std::uint64_t told = 0;
  const Status done = client.Download(
      {.name = {.bucket = "lake", .key = "a"}, .bytes = content.size(), .etag = "\"1\""},
      directory_.path() / "a", [&](std::uint64_t bytes) { told += bytes; });
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(ReadFile(directory_.path() / "a", 10 << 20).value(), content);
  EXPECT_EQ(told, content.size());
  EXPECT_GE(ranges.size(), 2U);
  EXPECT_EQ(ranges[0], "");
  EXPECT_THAT(ranges[1], testing::StartsWith("bytes="));
  EXPECT_THAT(conditions, testing::Each("\"1\""));
}

TEST_F(S3ClientTest, AnObjectThatChangesWhileItIsReadIsAnError) {
  answer_ = [](HttpRequest& request, Responder responder) {
    if (!request.Header("Range").empty()) return responder.Send(HttpResponse::Empty(412));
    responder.Start(HttpResponse::Text(200, ""));
    (void)responder.Write("half");
  };
  S3Client client = Client();
  const Status done =
      client.Download({.name = {.bucket = "lake", .key = "a"}, .bytes = 8, .etag = "\"1\""},
                      directory_.path() / "a", {});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::kFailedPrecondition);
  EXPECT_THAT(done.error().message(), HasSubstr("s3://lake/a changed while it was read"));
}

TEST_F(S3ClientTest, AServerWithoutRangesCannotMixTwoAnswers) {
  answer_ = [](HttpRequest& request, Responder responder) {
    responder.Start(HttpResponse::Text(200, ""));
    (void)responder.Write("half");
    if (!request.Header("Range").empty()) responder.Finish();
  };
  S3Client client = Client();
  const Status done = client.Download({.name = {.bucket = "lake", .key = "a"}, .bytes = 8},
                                      directory_.path() / "a", {});
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message(), HasSubstr("4 of 8 bytes came"));
  EXPECT_EQ(ReadFile(directory_.path() / "a", 100).value(), "half");
}

TEST_F(S3ClientTest, MoreThanWasListedIsAnError) {
  answer_ = [](HttpRequest&, Responder responder) {
    responder.Send(HttpResponse::Text(200, "more than four"));
  };
  S3Client client = Client();
  const Status done = client.Download({.name = {.bucket = "lake", .key = "a"}, .bytes = 4},
                                      directory_.path() / "a", {});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::kDataLoss);
}

TEST_F(S3ClientTest, ABusyServerIsAskedAgainAndNotForEver) {
  answer_ = [&](HttpRequest&, Responder responder) {
    responder.Send(asked_ < 3 ? HttpResponse::Text(503, "<Error><Code>SlowDown</Code></Error>")
                              : HttpResponse::Text(200, Page(Contents("a.csv", 1))));
  };
  EXPECT_EQ(WhyNot({"s3://lake/*.csv"}), "");
  EXPECT_EQ(asked_, 3);
  asked_ = 0;
  answer_ = [](HttpRequest&, Responder responder) {
    responder.Send(HttpResponse::Text(503, "<Error><Code>SlowDown</Code></Error>"));
  };
  EXPECT_THAT(WhyNot({"s3://lake/*.csv"}), HasSubstr("SlowDown"));
  EXPECT_EQ(asked_, limits::kS3Attempts);
}

TEST_F(S3ClientTest, AnInterruptionEndsTheAttempts) {
  answer_ = [](HttpRequest&, Responder responder) { responder.Send(HttpResponse::Empty(503)); };
  S3Client client({.place = {.endpoint = fmt::format("http://127.0.0.1:{}", server_->port()),
                             .keys = {.id = "id", .secret = "sesame"}},
                   .cancelled = [this] { return asked_ > 0; },
                   .first_pause = std::chrono::hours(1)});
  const auto listed = client.List({.bucket = "lake"}, S3Depth::kAll);
  ASSERT_FALSE(listed);
  EXPECT_EQ(listed.error().message(), "interrupted");
}

TEST_F(S3ClientTest, PagesWithoutEndAreNotFollowed) {
  AnswerPage(Page(Contents("a", 1), "true"));
  EXPECT_THAT(WhyNot({"s3://lake/*"}), HasSubstr("not where it ends"));
  AnswerPage(Page("<NextContinuationToken>t</NextContinuationToken>", "true"));
  EXPECT_THAT(WhyNot({"s3://lake/*"}), HasSubstr("not where it ends"));
  EXPECT_LT(asked_, 5);
}

TEST_F(S3ClientTest, WhatIsNoServerOfS3IsNamed) {
  AnswerPage("<html><body>Welcome</body></html>");
  EXPECT_THAT(WhyNot({"s3://lake/*"}), HasSubstr("is it a server of S3"));
  AnswerPage("welcome");
  EXPECT_THAT(WhyNot({"s3://lake/*"}), HasSubstr("is it a server of S3"));
}

TEST_F(S3ClientTest, ListsAreBounded) {
  std::string all;
  for (std::size_t i = 0; i <= limits::kListedObjects; ++i) all += Contents(std::to_string(i), 1);
  AnswerPage(Page(all));
  EXPECT_THAT(WhyNot({"s3://lake/*.csv"}), HasSubstr("kListedObjects"));
  all.clear();
  for (std::size_t i = 0; i <= limits::kFilesPerTable; ++i) all += Contents(std::to_string(i), 1);
  AnswerPage(Page(all));
  EXPECT_THAT(WhyNot({"s3://lake/*"}), HasSubstr("kFilesPerTable"));
}

TEST_F(S3ClientTest, WhatIsTooMuchIsRefusedBeforeTheFirstByte) {
  S3Client client = Client();
  const auto why_not = [&](const std::vector<std::uint64_t>& sizes) {
    std::vector<S3Object> objects;
    for (const std::uint64_t bytes : sizes)
      objects.push_back({.name = {.bucket = "lake", .key = "a"}, .bytes = bytes});
    return FetchObjects(client, objects, directory_.path(), {}).error().message();
  };
  EXPECT_THAT(why_not({1, limits::kFetchedBytes}), HasSubstr("kFetchedBytes"));
  EXPECT_THAT(why_not({~std::uint64_t{0}, 2}), HasSubstr("kFetchedBytes"));
  const std::uint64_t room = FreeBytes(directory_.path()).value();
  if (room < limits::kFetchedBytes - (1U << 30U)) {
    EXPECT_THAT(why_not({room + (1U << 30U)}),
                AllOf(HasSubstr("there is room for"), HasSubstr("TMPDIR")));
  }
  EXPECT_EQ(asked_, 0);
}

TEST_F(S3ClientTest, SecretsStandInNoRequestAndNoError) {
  std::mutex mutex;
  std::string heads;
  answer_ = [&](HttpRequest& request, Responder responder) {
    const std::scoped_lock lock(mutex);
    heads += request.target;
    for (const auto& [name, value] : request.headers) heads += name + value;
    responder.Send(HttpResponse::Text(
        403, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"));
  };
  const std::string why = WhyNot({"s3://lake/a.csv"});
  EXPECT_THAT(why, AllOf(HasSubstr("s3://lake/a.csv"), HasSubstr("AccessDenied: Access Denied"),
                         HasSubstr("may these keys read it?"), Not(HasSubstr("sesame"))));
  EXPECT_THAT(heads, AllOf(HasSubstr("AWS4-HMAC-SHA256"), Not(HasSubstr("sesame"))));
}

TEST_F(S3ClientTest, WithoutKeysNobodyIsAsked) {
  S3Client client({.place = {.endpoint = fmt::format("http://127.0.0.1:{}", server_->port())}});
  const auto found = client.Find({.bucket = "lake", .key = "a.csv"});
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), ErrorCode::kUnauthenticated);
  EXPECT_THAT(found.error().message(),
              AllOf(HasSubstr("s3://lake/a.csv"), HasSubstr("AWS_ACCESS_KEY_ID")));
  EXPECT_EQ(asked_, 0);
}

TEST_F(S3ClientTest, ABucketOfAnotherRegionSaysWhich) {
  answer_ = [](HttpRequest&, Responder responder) {
    HttpResponse moved = HttpResponse::Text(301, "<Error><Code>PermanentRedirect</Code></Error>");
    moved.SetHeader("x-amz-bucket-region", "eu-west-1");
    responder.Send(std::move(moved));
  };
  EXPECT_THAT(WhyNot({"s3://lake/*"}), HasSubstr("set AWS_REGION=eu-west-1"));
}

}  // namespace
}  // namespace skerry
