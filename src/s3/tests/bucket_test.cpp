// What a server of S3 does now and then, and a real one not when asked to. Real servers:
// tests/registry_s3_test.py.
#include "s3/bucket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>

#include "http/server.h"

namespace skerry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kEmptyList =
    "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";

HttpResponse Xml(int status, const std::string& body) {
  return HttpResponse::Text(status, body, "application/xml");
}
HttpResponse S3Error(int status, const std::string& code) {
  return Xml(status, fmt::format("<Error><Code>{}</Code><Message>words</Message></Error>", code));
}

class S3BucketTest : public testing::Test {
 protected:
  void SetUp() override {
    const Handler handler = [this](HttpRequest& request, Responder responder) {
      ++asked_;
      if (request.Query("max-keys") == "1") return responder.Send(Xml(200, kEmptyList));
      answer_(request, std::move(responder));
    };
    std::vector<Route> routes;
    for (const char* method : {"GET", "PUT", "POST", "DELETE"})
      routes.push_back({method, "/{x...}", RouteKind::kPooled, handler});
    server_ = HttpServer::Start({}, std::move(routes), metrics_).value();
    bucket_ =
        S3Bucket::Open({.place = {.endpoint = fmt::format("http://127.0.0.1:{}", server_->port()),
                                  .region = "us-east-1",
                                  .keys = {.id = "id", .secret = "sesame"}},
                        .cancelled = {},
                        .first_pause = std::chrono::milliseconds(0)},
                       "s3://plant/hub")
            .value();
    asked_ = 0;
  }
  void Answer(std::function<HttpResponse(HttpRequest&)> answer) {
    answer_ = [answer](HttpRequest& request, Responder responder) {
      responder.Send(answer(request));
    };
  }

  MetricRegistry metrics_;
  std::atomic<int> asked_{0};
  Handler answer_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<S3Bucket> bucket_;
};

TEST(S3Prefix, IsABucketAndWhatMayStandInAKey) {
  EXPECT_EQ(S3Prefix::Parse("s3://plant")->prefix, "");
  EXPECT_EQ(S3Prefix::Parse("s3://plant/")->ToString(), "s3://plant");
  EXPECT_EQ(S3Prefix::Parse("s3://plant/a/b/")->prefix, "a/b/");
  for (const char* address :
       {"plant", "s3://", "s3://plant/a b", "s3://plant/../x", "s3://plant/a//b"})
    EXPECT_EQ(S3Prefix::Parse(address).error().code(), ErrorCode::kInvalidArgument) << address;
}

TEST_F(S3BucketTest, AnErrorInsideOfA200IsOne) {
  Answer([this](HttpRequest&) {
    return asked_ == 1
               ? S3Error(200, "InternalError")
               : Xml(200, "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>");
  });
  EXPECT_TRUE(bucket_->FinishUpload("x", "1", std::vector<std::string>{"\"a\""}));
  EXPECT_EQ(asked_, 2);
  Answer([](HttpRequest&) { return S3Error(200, "NoSuchUpload"); });
  EXPECT_EQ(bucket_->FinishUpload("x", "1", {}).error().code(), ErrorCode::kNotFound);
}

TEST_F(S3BucketTest, WhatIsLargeIsCopiedInPiecesThatMakeItWhole) {
  std::mutex mutex;
  std::map<std::string, std::string> ranges;  // by the number of the part
  std::string finished;
  Answer([&](HttpRequest& request) {
    const std::lock_guard lock(mutex);
    if (request.HasQuery("uploads"))
      return Xml(200,
                 "<InitiateMultipartUploadResult><UploadId>u</UploadId>"
                 "</InitiateMultipartUploadResult>");
    if (request.method == "POST") {
      finished = request.body;
      return Xml(200, "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>");
    }
    EXPECT_EQ(request.Header("x-amz-copy-source"), "/plant/hub/uploads/1/data");
    const std::string number = request.Query("partNumber");
    ranges[number] = request.Header("x-amz-copy-source-range");
    return Xml(200, fmt::format("<CopyPartResult><ETag>e{}</ETag></CopyPartResult>", number));
  });
  const std::uint64_t bytes = (std::uint64_t{1280} << 20U) + 5;
  ASSERT_TRUE(bucket_->Copy("uploads/1/data", bytes, "blobs/x"));
  EXPECT_EQ(ranges.size(), 6U);
  EXPECT_EQ(ranges["1"], "bytes=0-268435455");
  EXPECT_EQ(ranges["5"], "bytes=1073741824-1342177279");
  EXPECT_EQ(ranges["6"], "bytes=1342177280-1342177284");
  EXPECT_THAT(finished, HasSubstr("<Part><PartNumber>6</PartNumber><ETag>e6</ETag></Part></"));
}

TEST_F(S3BucketTest, AMissingBucketIsNoMissingObject) {
  Answer([](HttpRequest&) { return S3Error(404, "NoSuchKey"); });
  EXPECT_EQ(bucket_->Read("x", 10).error().code(), ErrorCode::kNotFound);
  Answer([](HttpRequest&) { return S3Error(404, "NoSuchBucket"); });
  EXPECT_EQ(bucket_->Read("x", 10).error().code(), ErrorCode::kInternal);
  EXPECT_EQ(bucket_->List("", [](const S3Found&) { return Status(); }).error().code(),
            ErrorCode::kInternal);
  Answer([](HttpRequest&) { return S3Error(403, "AccessDenied"); });
  const auto refused = bucket_->Put("x", "y");
  EXPECT_EQ(refused.error().code(), ErrorCode::kInternal);
  EXPECT_THAT(refused.error().message(), HasSubstr("may these keys write there?"));
}

TEST_F(S3BucketTest, ABusyServerIsAskedAgainAndNotForEver) {
  Answer([this](HttpRequest&) { return asked_ < 3 ? S3Error(503, "SlowDown") : Xml(200, "body"); });
  EXPECT_EQ(bucket_->Read("x", 10).value(), "body");
  Answer([](HttpRequest&) { return S3Error(400, "RequestTimeout"); });
  asked_ = 0;
  EXPECT_FALSE(bucket_->Read("x", 10));
  EXPECT_EQ(asked_, limits::kS3Attempts);
  Answer([](HttpRequest&) { return S3Error(503, "SlowDown"); });
  EXPECT_EQ(bucket_->Read("x", 10).error().code(), ErrorCode::kUnavailable);
}

TEST_F(S3BucketTest, AConditionThatOurOwnLostRequestMadeFalseHolds) {
  Answer([](HttpRequest& request) {
    return request.method == "PUT" ? S3Error(412, "PreconditionFailed") : Xml(200, "mine");
  });
  EXPECT_TRUE(bucket_->PutNew("x", "mine"));
  EXPECT_EQ(bucket_->PutNew("x", "other").error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(bucket_->PutInstead("x", "other", "\"e\"").error().code(), ErrorCode::kConflict);
}

TEST_F(S3BucketTest, PagesAreFollowedToTheirEndAndNotInACircle) {
  Answer([](HttpRequest& request) {
    const std::string at = request.Query("continuation-token");
    return Xml(200, fmt::format("<ListBucketResult><IsTruncated>{}</IsTruncated>"
                                "<NextContinuationToken>2</NextContinuationToken><Contents>"
                                "<Key>hub/{}</Key><Size>1</Size></Contents></ListBucketResult>",
                                at.empty() ? "true" : "false", at.empty() ? "a" : "b"));
  });
  std::vector<std::string> keys;
  ASSERT_TRUE(bucket_->List("", [&](const S3Found& found) -> Status {
    keys.push_back(found.key);
    return {};
  }));
  EXPECT_THAT(keys, ElementsAre("a", "b"));
  Answer([](HttpRequest&) {
    return Xml(200,
               "<ListBucketResult><IsTruncated>true</IsTruncated>"
               "<NextContinuationToken>2</NextContinuationToken></ListBucketResult>");
  });
  EXPECT_THAT(bucket_->List("", [](const S3Found&) { return Status(); }).error().message(),
              HasSubstr("not where it ends"));
}

TEST_F(S3BucketTest, ARangeGoesOnWhereItWasCutAndTakesNoMoreThanItAskedFor) {
  std::string content;
  for (int i = 0; content.size() < 300'000; ++i) content += std::to_string(i);
  std::vector<std::string> ranges;
  answer_ = [&](HttpRequest& request, Responder responder) {
    ranges.emplace_back(request.Header("Range"));
    HttpResponse head = HttpResponse::Empty(206);
    const std::uint64_t from = ranges.size() == 1 ? 7 : 100'007;
    responder.Start(std::move(head));
    if (ranges.size() == 1) {
      EXPECT_TRUE(responder.Write(content.substr(from, 100'000)));
      return;  // breaks off
    }
    EXPECT_TRUE(responder.Write(content.substr(from)));  // more than was asked for
    responder.Finish();
  };
  std::string got;
  ASSERT_TRUE(bucket_->ReadRange("x", 7, 200'000, [&](std::string_view piece) -> Status {
    got += piece;
    return {};
  }));
  EXPECT_EQ(got, content.substr(7, 200'000));
  EXPECT_THAT(ranges, ElementsAre("bytes=7-200006", "bytes=100007-200006"));
}

}  // namespace
}  // namespace skerry
