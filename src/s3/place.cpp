#include "s3/place.h"

#include <algorithm>

#include "base/environment.h"
#include "http/url.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr std::string_view kScheme = "s3://";

std::string FirstOf(const char* name, const char* other) {
  std::string value = FromEnvironment(name);
  return value.empty() ? FromEnvironment(other) : value;
}

bool IsTrue(std::string_view text) { return text == "true" || text == "1"; }

std::string_view Trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html, and the capitals
// and underscores that other servers take.
bool CanBeBucket(std::string_view name) {
  return name.size() >= 3 && name.size() <= 63 && std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '-' || c == '_';
         });
}

// Dots for directories are worked out on the way, so that the server would see another name than
// was signed.
bool HasDotsForDirectory(std::string_view key) {
  while (true) {
    const std::size_t slash = key.find('/');
    const std::string_view segment = key.substr(0, slash);
    if (segment == "." || segment == "..") return true;
    if (slash == std::string_view::npos) return false;
    key.remove_prefix(slash + 1);
  }
}

}  // namespace

S3Place S3Place::FromEnvironment() {
  return {.endpoint = FirstOf("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
          .region = FirstOf("AWS_REGION", "AWS_DEFAULT_REGION"),
          .host_style = IsTrue(skerry::FromEnvironment("AWS_VIRTUAL_HOSTED_STYLE_REQUEST")),
          .keys = {.id = skerry::FromEnvironment("AWS_ACCESS_KEY_ID"),
                   .secret = skerry::FromEnvironment("AWS_SECRET_ACCESS_KEY"),
                   .session_token = skerry::FromEnvironment("AWS_SESSION_TOKEN")}};
}

Result<S3Keys> ReadKeysFile(const std::string& path, const std::string& profile) {
  constexpr std::size_t kKeysFileBytes = 64U << 10U;
  SKERRY_RETURN_IF_ERROR(CheckPrivateFile(path));
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kKeysFileBytes));
  const std::string wanted = profile.empty() ? "default" : profile;
  S3Keys keys;
  std::string section;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view line = Trimmed(rest.substr(0, rest.find('\n')));
    rest.remove_prefix(std::min(rest.size(), rest.find('\n') == std::string_view::npos
                                                 ? rest.size()
                                                 : rest.find('\n') + 1));
    if (line.starts_with('[') && line.ends_with(']'))
      section = Trimmed(line.substr(1, line.size() - 2));
    const std::size_t equals = line.find('=');
    if (section != wanted || line.starts_with('#') || equals == std::string_view::npos) continue;
    const std::string_view name = Trimmed(line.substr(0, equals));
    const std::string value(Trimmed(line.substr(equals + 1)));
    if (name == "aws_access_key_id") keys.id = value;
    if (name == "aws_secret_access_key") keys.secret = value;
    if (name == "aws_session_token") keys.session_token = value;
  }
  if (keys.id.empty() || keys.secret.empty())
    return Fail(ErrorCode::kNotFound,
                "{} has no aws_access_key_id and aws_secret_access_key in its section [{}]", path,
                wanted);
  return keys;
}

std::string S3Place::RegionOrDefault() const { return region.empty() ? "us-east-1" : region; }

std::string S3Place::Words() const {
  return endpoint.empty() ? "AWS in " + RegionOrDefault() : endpoint;
}

Result<std::string> UrlOfBucket(const S3Place& place, std::string_view bucket) {
  if (!place.endpoint.empty()) {
    SKERRY_ASSIGN_OR_RETURN(const Url url, Url::Parse(place.endpoint), "AWS_ENDPOINT_URL");
    if (url.path.size() > 1)
      return Fail(ErrorCode::kInvalidArgument,
                  "AWS_ENDPOINT_URL: '{}' has a path: it is http(s)://HOST:PORT", place.endpoint);
    if (!place.host_style) return fmt::format("{}/{}", url.Origin(), bucket);
    Url of_bucket = url;
    of_bucket.host = fmt::format("{}.{}", bucket, url.host);
    return of_bucket.Origin();
  }
  const std::string host = fmt::format("s3.{}.amazonaws.com", place.RegionOrDefault());
  return bucket.find('.') == std::string_view::npos ? fmt::format("https://{}.{}", bucket, host)
                                                    : fmt::format("https://{}/{}", host, bucket);
}

Result<S3Name> S3Name::Parse(std::string_view address) {
  if (!IsS3Address(address))
    return Fail(ErrorCode::kInvalidArgument, "'{}' is no address of S3: s3://BUCKET/NAME", address);
  const std::string_view rest = address.substr(kScheme.size());
  const std::size_t slash = rest.find('/');
  if (!CanBeBucket(rest.substr(0, slash)))
    return Fail(ErrorCode::kInvalidArgument,
                "'{}' names no bucket: it is s3://BUCKET/NAME, and a bucket's name has 3 to 63 "
                "letters, digits, dots and hyphens",
                address);
  if (slash == std::string_view::npos || slash + 1 == rest.size())
    return Fail(ErrorCode::kInvalidArgument,
                "'{}' is a bucket: name objects in it, as s3://{}/*.parquet", address,
                rest.substr(0, slash));
  S3Name name{.bucket = std::string(rest.substr(0, slash)),
              .key = std::string(rest.substr(slash + 1))};
  if (HasDotsForDirectory(name.key))
    return Fail(ErrorCode::kInvalidArgument, "'{}' has . or .. for a directory: leave it out",
                address);
  return name;
}

std::string S3Name::ToString() const { return fmt::format("{}{}/{}", kScheme, bucket, key); }

bool IsS3Address(std::string_view name) { return name.starts_with(kScheme); }

}  // namespace skerry
