// S3Bucket: objects that are put together from parts.
#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "http/url.h"
#include "s3/bucket.h"
#include "s3/store_limits.h"

namespace skerry {
namespace {

// 200 and an error in the body: the answer had begun before it was known (the server keeps the
// connection alive that way).
Result<XmlElement> DocumentOf(const HttpReply& reply, std::string_view root) {
  auto document = ParseXml(reply.body);
  if (document && document->name == root) return document;
  const std::string code = document ? document->TextOf("Code") : "";
  return Fail(code == "NoSuchUpload" ? ErrorCode::kNotFound : ErrorCode::kUnavailable,
              "the server says {}: {}", code.empty() ? "nothing that is understood" : code,
              document ? document->TextOf("Message") : "");
}

std::string PathOf(const S3Name& name) {
  std::string path = "/" + PercentEncode(name.bucket + "/" + name.key);
  for (std::size_t at = path.find("%2F"); at != std::string::npos; at = path.find("%2F", at))
    path.replace(at, 3, "/");
  return path;
}

}  // namespace

Result<XmlElement> S3Bucket::AskForDocument(const std::string& key, const S3Request& request,
                                            std::string_view root) {
  for (int failures = 1;; ++failures) {
    SKERRY_ASSIGN_OR_RETURN(const HttpReply reply, Ask(NameOf(key), request));
    auto document = DocumentOf(reply, root);
    if (document || document.error().code() != ErrorCode::kUnavailable || !PauseAfter(failures))
      return document;
  }
}

Result<std::string> S3Bucket::StartUpload(const std::string& key) {
  SKERRY_ASSIGN_OR_RETURN(const HttpReply reply,
                          Ask(NameOf(key), {.method = "POST", .query = {{"uploads", ""}}}));
  SKERRY_ASSIGN_OR_RETURN(const XmlElement made,
                          DocumentOf(reply, "InitiateMultipartUploadResult"));
  std::string upload = made.TextOf("UploadId");
  if (upload.empty())
    return Fail(ErrorCode::kInternal, "{}: the server begins no upload", NameOf(key).ToString());
  return upload;
}

Result<std::string> S3Bucket::PutPart(const std::string& key, const std::string& upload,
                                      std::size_t number, const FileBody& file,
                                      const std::string& sha256) {
  HttpCall call;
  call.file = file;
  const S3Request request{.method = "PUT",
                          .query = {{"partNumber", std::to_string(number)}, {"uploadId", upload}},
                          .payload_sha256 = sha256};
  SKERRY_ASSIGN_OR_RETURN(const HttpReply reply, Ask(NameOf(key), request, call));
  return std::string(reply.Header("ETag"));
}

Result<std::string> S3Bucket::CopyPart(const std::string& key, const std::string& upload,
                                       std::size_t number, const std::string& from,
                                       std::uint64_t offset, std::uint64_t bytes) {
  const S3Request request{.method = "PUT",
                          .query = {{"partNumber", std::to_string(number)}, {"uploadId", upload}},
                          .headers = {{"x-amz-copy-source", PathOf(NameOf(from))},
                                      {"x-amz-copy-source-range",
                                       fmt::format("bytes={}-{}", offset, offset + bytes - 1)}}};
  SKERRY_ASSIGN_OR_RETURN(const XmlElement made, AskForDocument(key, request, "CopyPartResult"));
  return made.TextOf("ETag");
}

Status S3Bucket::FinishUpload(const std::string& key, const std::string& upload,
                              std::span<const std::string> etags) {
  std::string parts = "<CompleteMultipartUpload>";
  for (std::size_t i = 0; i < etags.size(); ++i)
    parts +=
        fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", i + 1, etags[i]);
  parts += "</CompleteMultipartUpload>";
  const S3Request request{
      .method = "POST", .query = {{"uploadId", upload}}, .payload = std::move(parts)};
  SKERRY_RETURN_IF_ERROR(AskForDocument(key, request, "CompleteMultipartUploadResult"));
  return {};
}

Status S3Bucket::DropUpload(const std::string& key, const std::string& upload) {
  const auto reply = Ask(NameOf(key), {.method = "DELETE", .query = {{"uploadId", upload}}});
  if (reply || reply.error().code() == ErrorCode::kNotFound) return {};
  return tl::make_unexpected(reply.error());
}

Status S3Bucket::ListUploads(const std::string& prefix,
                             const std::function<Status(const S3OpenUpload&)>& each) {
  const auto take = [&](const XmlElement& element, std::int64_t now_us) -> Status {
    if (element.name != "Upload") return {};
    S3OpenUpload found{.key = KeyOf(element), .upload = element.TextOf("UploadId")};
    // One whose time is not told is taken for young.
    const auto begun = ParseUtc(element.TextOf("Initiated"));
    if (begun)
      found.age = std::chrono::seconds(std::max<std::int64_t>(0, now_us - *begun) / 1'000'000);
    return found.key.empty() ? Status() : each(found);
  };
  const auto next = [](const XmlElement& page) -> PageQuery {
    return {{"key-marker", page.TextOf("NextKeyMarker")},
            {"upload-id-marker", page.TextOf("NextUploadIdMarker")}};
  };
  return Pages({{"uploads", ""}, {"prefix", place_.prefix + prefix}}, "ListMultipartUploadsResult",
               next, take);
}

Status S3Bucket::CopyParts(const std::string& from, std::uint64_t bytes, const std::string& to,
                           const std::string& upload) {
  std::vector<std::string> etags;
  for (std::uint64_t offset = 0; offset < bytes;) {
    std::vector<std::future<Result<std::string>>> copying;
    for (; offset < bytes && copying.size() < limits::kS3CopiesAtOnce;
         offset += limits::kS3CopyBytes)
      copying.push_back(
          std::async(std::launch::async, [&, offset, number = etags.size() + copying.size() + 1] {
            return CopyPart(to, upload, number, from, offset,
                            std::min(bytes - offset, limits::kS3CopyBytes));
          }));
    std::vector<Result<std::string>> copied;
    for (auto& one : copying) copied.push_back(one.get());
    for (auto& one : copied) {
      SKERRY_ASSIGN_OR_RETURN(std::string etag, std::move(one));
      etags.push_back(std::move(etag));
    }
  }
  return FinishUpload(to, upload, etags);
}

Status S3Bucket::Copy(const std::string& from, std::uint64_t bytes, const std::string& to) {
  if (bytes <= limits::kS3WholeCopyBytes) {
    const S3Request request{.method = "PUT",
                            .headers = {{"x-amz-copy-source", PathOf(NameOf(from))}}};
    SKERRY_RETURN_IF_ERROR(AskForDocument(to, request, "CopyObjectResult"));
    return {};
  }
  SKERRY_ASSIGN_OR_RETURN(const std::string upload, StartUpload(to));
  Status copied = CopyParts(from, bytes, to, upload);
  if (copied) return {};
  if (copied.error().code() == ErrorCode::kNotFound) {
    // Finished, and the answer lost; or there is nothing to be copied.
    const auto made = Find(to);
    if (made && made->bytes == bytes && Find(from)) return {};
  }
  // What is left of it costs room: the registry's collection finds it, should this fail.
  if (const Status dropped = DropUpload(to, upload); !dropped)
    LogWarning("an upload was left behind key={} reason={}", to, dropped.error().message());
  return copied;
}

}  // namespace skerry
