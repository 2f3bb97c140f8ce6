#include "oci/s3_claim.h"

#include "base/clock.h"
#include "base/ids.h"
#include "codec/json.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKey = "owner.json";
constexpr std::size_t kOwnerBytes = 4U << 10U;
constexpr std::size_t kIdBytes = 16;

Result<std::string> IdOf(const fs::path& file) {
  auto id = ReadFile(file, kOwnerBytes);
  if (id || id.error().code() != ErrorCode::kNotFound) return id;
  std::string drawn = RandomHex(kIdBytes);
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(file, drawn));
  return drawn;
}

Result<std::string> HubIn(const std::string& text) {
  SKERRY_ASSIGN_OR_RETURN(const Json document, ParseJson(text), kKey);
  return JsonObject(document, kKey).String("hub");
}

}  // namespace

Result<std::unique_ptr<S3Claim>> S3Claim::Take(S3Bucket& bucket, const fs::path& id_file) {
  SKERRY_ASSIGN_OR_RETURN(const std::string id, IdOf(id_file));
  const Json mine = {{"hub", id},
                     {"process", RandomHex(kIdBytes)},
                     {"since", FormatUtc(SystemClock().UtcMicros())}};
  const std::string text = DumpJson(mine);
  const auto found = bucket.Find(kKey);
  if (!found && found.error().code() != ErrorCode::kNotFound)
    return tl::make_unexpected(found.error());
  Result<std::string> etag = std::string();
  if (found) {
    SKERRY_ASSIGN_OR_RETURN(const std::string held, bucket.Read(kKey, kOwnerBytes));
    SKERRY_ASSIGN_OR_RETURN(const std::string hub, HubIn(held));
    if (hub != id)
      return Fail(ErrorCode::kFailedPrecondition,
                  "{} is the registry of another hub ({}): name another prefix, or, if that hub is "
                  "no more, remove {}/{}",
                  bucket.ToString(), held, bucket.ToString(), kKey);
    etag = bucket.PutInstead(kKey, text, found->etag);
  } else {
    etag = bucket.PutNew(kKey, text);
  }
  if (!etag && (etag.error().code() == ErrorCode::kAlreadyExists ||
                etag.error().code() == ErrorCode::kConflict))
    return Fail(ErrorCode::kConflict, "{} was opened by another process in this moment",
                bucket.ToString());
  if (!etag) return tl::make_unexpected(etag.error());
  return std::unique_ptr<S3Claim>(new S3Claim(bucket, std::move(*etag)));
}

Status S3Claim::Check() const {
  const auto found = bucket_->Find(kKey);
  if (!found && found.error().code() != ErrorCode::kNotFound)
    return tl::make_unexpected(found.error());
  if (found && found->etag == etag_) return {};
  return Fail(ErrorCode::kUnavailable,
              "another process of this hub has taken {} over: stop one of the two",
              bucket_->ToString());
}

}  // namespace skerry
