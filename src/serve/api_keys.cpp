#include "serve/api_keys.h"

#include <algorithm>

#include "base/ids.h"
#include "base/limits.h"
#include "codec/text.h"
#include "http/message.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::string_view kKeyPrefix = "skerry_";  // by which scanners for leaked secrets know it
constexpr std::string_view kScheme = "Bearer ";

struct NamedDigest {
  std::string name;
  Sha256Bytes digest{};
};

Result<NamedDigest> ParseLine(std::string_view line) {
  const std::size_t space = line.find(' ');
  NamedDigest key;
  key.name = line.substr(0, space);
  SKERRY_RETURN_IF_ERROR(CheckName("key name", key.name));
  SKERRY_ASSIGN_OR_RETURN(
      const Digest digest,
      Digest::Parse(space == std::string_view::npos ? "" : line.substr(space + 1)));
  if (digest.algorithm() != "sha256")
    return Fail(ErrorCode::kInvalidArgument, "a key's digest is sha256:..., not {}",
                digest.algorithm());
  SKERRY_ASSIGN_OR_RETURN(const std::string raw, DecodeHex(digest.hex()));
  std::copy_n(raw.begin(), key.digest.size(), key.digest.begin());
  return key;
}

Result<std::vector<NamedDigest>> Parse(std::string_view text) {
  std::vector<NamedDigest> keys;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    if (keys.size() == limits::kApiKeys)
      return Fail(ErrorCode::kTooLarge, "more than {} keys", limits::kApiKeys);
    SKERRY_ASSIGN_OR_RETURN(NamedDigest key, ParseLine(line), fmt::format("line {}", number));
    if (std::ranges::find(keys, key.name, &NamedDigest::name) != keys.end())
      return Fail(ErrorCode::kInvalidArgument, "line {}: the name {} is there twice", number,
                  key.name);
    keys.push_back(std::move(key));
  }
  return keys;
}

Result<std::string> ReadKeyFile(const std::filesystem::path& file) {
  SKERRY_RETURN_IF_ERROR(CheckPrivateFile(file));
  return ReadFile(file, limits::kApiKeyFileBytes);
}

}  // namespace

Result<ApiKeys> ApiKeys::Load(const std::filesystem::path& file, WithoutKeys without) {
  const Result<std::string> text = ReadKeyFile(file);
  if (!text && text.error().code() == ErrorCode::kNotFound)
    return Fail(ErrorCode::kNotFound, "{} is not there; make a key: skerry api-key NAME --keys {}",
                file.string(), file.string());
  if (!text) return tl::make_unexpected(text.error());
  SKERRY_ASSIGN_OR_RETURN(const std::vector<NamedDigest> named, Parse(*text), file.string());
  if (named.empty() && without == WithoutKeys::kRefused)
    return Fail(ErrorCode::kFailedPrecondition,
                "{} holds no key; make one: skerry api-key NAME --keys {}", file.string(),
                file.string());
  auto digests = std::make_shared<Digests>();
  for (const NamedDigest& key : named) digests->push_back(key.digest);
  ApiKeys keys;
  keys.held_->digests = std::move(digests);
  return keys;
}

std::shared_ptr<const ApiKeys::Digests> ApiKeys::Read() const {
  const std::lock_guard lock(held_->mutex);
  return held_->digests;
}

void ApiKeys::Replace(const ApiKeys& other) {
  std::shared_ptr<const Digests> digests = other.Read();
  const std::lock_guard lock(held_->mutex);
  held_->digests.swap(digests);  // the old ones go after the lock
}

Status ApiKeys::Check(std::string_view authorization) const {
  if (authorization.size() <= kScheme.size() ||
      !EqualIgnoringCase(authorization.substr(0, kScheme.size()), kScheme))
    return Fail(ErrorCode::kUnauthenticated,
                "this needs an API key: send \"Authorization: Bearer KEY\"");
  const std::string_view shown = authorization.substr(kScheme.size());
  bool known = false;
  if (shown.size() <= limits::kApiKeyBytes) {
    const Sha256Bytes digest = RawSha256(shown);
    const std::shared_ptr<const Digests> digests = Read();
    for (const Sha256Bytes& held : *digests)
      known |= ConstantTimeEqual({held.data(), held.size()}, {digest.data(), digest.size()});
  }
  if (known) return {};
  return Fail(ErrorCode::kUnauthenticated, "the API key is not one of this server's");
}

Result<std::string> AddApiKey(const std::filesystem::path& file, const std::string& name) {
  SKERRY_RETURN_IF_ERROR(CheckName("key name", name));
  Result<std::string> text = ReadKeyFile(file);
  if (!text && text.error().code() != ErrorCode::kNotFound) return text;
  std::string lines = text ? *std::move(text) : std::string();
  SKERRY_ASSIGN_OR_RETURN(const std::vector<NamedDigest> keys, Parse(lines), file.string());
  if (std::ranges::find(keys, name, &NamedDigest::name) != keys.end())
    return Fail(ErrorCode::kAlreadyExists,
                "{} has a key named {}; choose another name, or take its line away", file.string(),
                name);
  if (keys.size() == limits::kApiKeys)
    return Fail(ErrorCode::kTooLarge, "{} holds {} keys, the most that it may", file.string(),
                keys.size());
  std::string key = std::string(kKeyPrefix) + RandomHex(kKeyBytes);
  if (!lines.empty() && lines.back() != '\n') lines += '\n';
  lines += fmt::format("{} {}\n", name, Digest::Sha256(key).ToString());
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(file, lines, 0600));
  return key;
}

}  // namespace skerry
