// Who is asked for objects and with which keys, and how an object is named. Plain values.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry {

struct S3Keys {  // never to be logged
  std::string id{}, secret{};
  std::string session_token{};  // of keys that are lent for a time; else empty
};

struct S3Place {
  std::string endpoint{};   // "http://HOST:PORT"; empty: AWS itself
  std::string region{};     // empty: not told
  bool host_style = false;  // the endpoint is asked as BUCKET.HOST, not as HOST/BUCKET
  S3Keys keys{};

  // By the variables that other programs go by, too: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL,
  // AWS_REGION or AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN,
  // AWS_VIRTUAL_HOSTED_STYLE_REQUEST (true or 1). What is not set stays empty.
  static S3Place FromEnvironment();

  // As it is signed and asked for: what is told, else us-east-1, S3's own default.
  std::string RegionOrDefault() const;
  // For people: the endpoint, or "AWS in eu-central-1".
  std::string Words() const;
};

// Those of a section of a file as other programs have it, too ("[default]", "aws_access_key_id =
// ..."), `profile` or, where that is empty, default. kNotFound: no file, no section, no keys in it;
// kPermissionDenied: others may read it.
Result<S3Keys> ReadKeysFile(const std::string& path, const std::string& profile);

// The bucket's URL without a / at its end. A server of one's own is asked by path
// (http://HOST:PORT/BUCKET) unless it wants host names, AWS by host name
// (https://BUCKET.s3.REGION.amazonaws.com) unless the bucket's name has dots, which its certificate
// does not cover.
Result<std::string> UrlOfBucket(const S3Place& place, std::string_view bucket);

struct S3Name {
  std::string bucket{}, key{};

  // "s3://bucket/key". kInvalidArgument: something else, a bucket that cannot be (3 to 63 letters,
  // digits, dots and hyphens), no key, a key with "." or ".." for a directory.
  static Result<S3Name> Parse(std::string_view address);
  std::string ToString() const;
};

bool IsS3Address(std::string_view name);  // it begins with s3://

}  // namespace skerry
