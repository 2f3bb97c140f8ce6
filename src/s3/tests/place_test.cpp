#include "s3/place.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skerry {
namespace {

using testing::HasSubstr;

TEST(S3Name, IsABucketAndAKey) {
  const auto name = S3Name::Parse("s3://plant/runs/a b.parquet");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->bucket, "plant");
  EXPECT_EQ(name->key, "runs/a b.parquet");
  EXPECT_EQ(name->ToString(), "s3://plant/runs/a b.parquet");
}

TEST(S3Name, WhatIsNoneSaysWhatToWrite) {
  for (const auto& [address, words] :
       {std::pair{"plant/a.csv", "is no address of S3"}, std::pair{"s3://", "names no bucket"},
        std::pair{"s3://ab/x.csv", "names no bucket"},
        std::pair{"s3://a$bc/x.csv", "names no bucket"},
        std::pair{"s3://plant", "is a bucket: name objects in it, as s3://plant/*.parquet"},
        std::pair{"s3://plant/", "is a bucket"}, std::pair{"s3://plant/a/../b.csv", "has . or .."},
        std::pair{"s3://plant/.", "has . or .."}}) {
    const auto name = S3Name::Parse(address);
    ASSERT_FALSE(name) << address;
    EXPECT_EQ(name.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(name.error().message(), HasSubstr(words)) << address;
  }
}

TEST(S3Place, AwsIsAskedByHostNameAndOthersByPath) {
  EXPECT_EQ(UrlOfBucket({.region = "eu-central-1"}, "plant").value(),
            "https://plant.s3.eu-central-1.amazonaws.com");
  EXPECT_EQ(UrlOfBucket({}, "a.plant").value(), "https://s3.us-east-1.amazonaws.com/a.plant");
  EXPECT_EQ(UrlOfBucket({.endpoint = "http://[::1]:7071/"}, "plant").value(),
            "http://[::1]:7071/plant");
  EXPECT_THAT(UrlOfBucket({.endpoint = "edge:7071"}, "plant").error().message(),
              HasSubstr("AWS_ENDPOINT_URL: 'edge:7071' is no http or https URL"));
  EXPECT_THAT(UrlOfBucket({.endpoint = "http://edge/s3"}, "plant").error().message(),
              HasSubstr("has a path"));
}

}  // namespace
}  // namespace skerry
