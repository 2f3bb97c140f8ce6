#include "s3/signature.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/clock.h"
#include "codec/text.h"
#include "crypto/digest.h"
#include "http/url.h"

namespace skerry {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

// "20130524T000000Z".
std::string TimeStamp(std::int64_t utc_us) {
  std::string text = FormatUtc(utc_us - utc_us % 1'000'000);
  std::erase_if(text, [](char c) { return c == '-' || c == ':'; });
  return text;
}

// Without spaces at the ends, and one for several.
std::string Trimmed(std::string_view value) {
  std::string out;
  for (const char c : value)
    if (c != ' ' || (!out.empty() && out.back() != ' ')) out += c;
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

// Lower-case names, in their order.
HeaderList Canonical(HeaderList headers) {
  for (auto& [name, value] : headers) {
    std::ranges::transform(name, name.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    value = Trimmed(value);
  }
  std::ranges::sort(headers);
  return headers;
}

std::string Hashed(std::string_view bytes) {
  const Digest digest = Digest::Sha256(bytes);
  return std::string(digest.hex());
}

}  // namespace

std::string CanonicalQuery(std::vector<std::pair<std::string, std::string>> query) {
  for (auto& [name, value] : query) {
    name = PercentEncode(name);
    value = PercentEncode(value);
  }
  std::ranges::sort(query);
  std::string text;
  for (const auto& [name, value] : query)
    text += fmt::format("{}{}={}", text.empty() ? "" : "&", name, value);
  return text;
}

HeaderList SignedHeaders(const S3Request& request, const S3Keys& keys, std::string_view region,
                         std::int64_t utc_us) {
  const std::string time = TimeStamp(utc_us);
  const std::string payload =
      request.payload_sha256.empty() ? Hashed(request.payload) : request.payload_sha256;
  HeaderList headers = request.headers;
  headers.emplace_back("x-amz-content-sha256", payload);
  headers.emplace_back("x-amz-date", time);
  if (!keys.session_token.empty()) headers.emplace_back("x-amz-security-token", keys.session_token);

  std::string names, lines;
  for (const auto& [name, value] : Canonical(headers)) {
    names += (names.empty() ? "" : ";") + name;
    lines += fmt::format("{}:{}\n", name, value);
  }
  const std::string canonical = fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method, request.path,
                                            CanonicalQuery(request.query), lines, names, payload);

  const std::string day = time.substr(0, 8);
  const std::string scope = fmt::format("{}/{}/s3/aws4_request", day, region);
  const std::string to_sign =
      fmt::format("{}\n{}\n{}\n{}", kAlgorithm, time, scope, Hashed(canonical));
  std::string key = HmacSha256("AWS4" + keys.secret, day);
  for (const std::string_view part :
       {region, std::string_view("s3"), std::string_view("aws4_request")})
    key = HmacSha256(key, part);
  headers.emplace_back("Authorization",
                       fmt::format("{} Credential={}/{},SignedHeaders={},Signature={}", kAlgorithm,
                                   keys.id, scope, names, EncodeHex(HmacSha256(key, to_sign))));
  return headers;
}

}  // namespace skerry
