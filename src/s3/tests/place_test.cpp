#include "s3/place.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/file.h"

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
  EXPECT_EQ(UrlOfBucket({.endpoint = "https://edge:7071", .host_style = true}, "plant").value(),
            "https://plant.edge:7071");
  EXPECT_THAT(UrlOfBucket({.endpoint = "edge:7071"}, "plant").error().message(),
              HasSubstr("AWS_ENDPOINT_URL: 'edge:7071' is no http or https URL"));
  EXPECT_THAT(UrlOfBucket({.endpoint = "http://edge/s3"}, "plant").error().message(),
              HasSubstr("has a path"));
}

TEST(S3Place, KeysStandInASectionOfAPrivateFile) {
  const TemporaryDirectory directory = TemporaryDirectory::Create("skerry-s3-keys").value();
  const std::string path = directory.path() / "keys";
  const auto write = [&](std::string_view text) {
    ASSERT_TRUE(WriteFileDurably(path, text, 0600));
  };
  write(
      "[default]\r\n# mine\r\naws_access_key_id = a\r\naws_secret_access_key=b=c\r\n"
      "[lent]\naws_access_key_id=d\naws_secret_access_key = e\naws_session_token = f");
  EXPECT_EQ(ReadKeysFile(path, "")->secret, "b=c");
  EXPECT_EQ(ReadKeysFile(path, "lent")->session_token, "f");
  EXPECT_THAT(ReadKeysFile(path, "none").error().message(), HasSubstr("section [none]"));
  write("[default]\naws_access_key_id=a\n");
  EXPECT_EQ(ReadKeysFile(path, "").error().code(), ErrorCode::kNotFound);
  ASSERT_TRUE(WriteFileDurably(path, "[default]", 0644));
  EXPECT_EQ(ReadKeysFile(path, "").error().code(), ErrorCode::kPermissionDenied);
}

}  // namespace
}  // namespace skerry
