#include "serve/site_package.h"

#include <algorithm>
#include <fstream>
#include <utility>

#include "base/limits.h"
#include "base/log.h"
#include "http/url.h"
#include "model/warm_up.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr std::chrono::milliseconds kRetry{500};  // while nothing is served
constexpr std::string_view kCurrent = "current.json";

bool IsPlainName(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name.front() != '.' &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

Status FetchFile(HttpClient& http, const std::string& url, const Digest& digest,
                 const std::filesystem::path& path) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  DigestHasher hasher(digest.algorithm());
  std::uint64_t bytes = 0;
  HttpCall call;
  call.url = url;
  call.sink = [&](std::string_view piece) -> Status {
    bytes += piece.size();
    if (bytes > limits::kSitePackageFileBytes)
      return Fail(ErrorCode::kTooLarge, "{} is over {} bytes", url, limits::kSitePackageFileBytes);
    hasher.Update(piece);
    if (out.write(piece.data(), static_cast<std::streamsize>(piece.size()))) return {};
    return Fail(ErrorCode::kResourceExhausted, "cannot write {}", path.string());
  };
  SKERRY_ASSIGN_OR_RETURN(const HttpReply reply, http.Send(call));
  if (reply.status != 200) return tl::unexpected(ErrorOfReply(reply, "fetching " + url));
  out.close();
  if (!out) return Fail(ErrorCode::kResourceExhausted, "cannot write {}", path.string());
  if (hasher.Finish() == digest) return {};
  return Fail(ErrorCode::kDataLoss, "{} is not {}", url, digest.ToString());
}

}  // namespace

// What the site says of its package: GET /v1/capture/package.
struct SitePackage::Told {
  PackageIdentity identity;
  std::string directory;  // its name below ours
};

Result<SitePackage::Told> SitePackage::ReadTold(const Json& json) {
  const JsonObject object(json, "package");
  Told told;
  SKERRY_ASSIGN_OR_RETURN(told.identity.name, object.String("name"));
  SKERRY_ASSIGN_OR_RETURN(told.identity.version, object.String("version"));
  SKERRY_RETURN_IF_ERROR(CheckName("package.name", told.identity.name));
  SKERRY_RETURN_IF_ERROR(CheckVersion("package.version", told.identity.version));
  SKERRY_ASSIGN_OR_RETURN(const std::string digest, object.String("digest"));
  SKERRY_ASSIGN_OR_RETURN(told.identity.digest, Digest::Parse(digest), "package.digest");
  told.directory =
      fmt::format("{}-{}", told.identity.digest->algorithm(), told.identity.digest->hex());
  const auto files = json.find("files");
  if (files == json.end() || !files->is_object() || files->empty() ||
      files->size() > limits::kSitePackageFiles)
    return Fail(ErrorCode::kInvalidArgument, "package.files is no object of 1 to {} files",
                limits::kSitePackageFiles);
  for (const auto& [name, value] : files->items()) {
    if (!IsPlainName(name) || !value.is_string())
      return Fail(ErrorCode::kInvalidArgument, "package.files: \"{}\" is no file's name", name);
    SKERRY_ASSIGN_OR_RETURN(const Digest file, Digest::Parse(value.get<std::string>()), name);
    told.identity.files.insert_or_assign(name, file);
  }
  return told;
}

SitePackage::SitePackage(SitePackageOptions options, ModelRepository& repository,
                         const Clock& clock)
    : options_(std::move(options)),
      http_(options_.http),
      repository_(&repository),
      clock_(&clock) {}

Result<std::unique_ptr<SitePackage>> SitePackage::Start(SitePackageOptions options,
                                                        ModelRepository& repository,
                                                        const Clock& clock) {
  SKERRY_ASSIGN_OR_RETURN(const Url url, Url::Parse(options.url), "the site's URL");
  options.url = url.Origin();
  SKERRY_RETURN_IF_ERROR(CreateDirectories(options.directory, 0700));
  std::unique_ptr<SitePackage> package(new SitePackage(std::move(options), repository, clock));
  if (const Status held = package->ServeHeld();
      !held && held.error().code() != ErrorCode::kNotFound)
    LogWarning("the package of before cannot be served: {}", held.error().ToString());
  package->thread_ = std::thread([raw = package.get()] { raw->Loop(); });
  return package;
}

SitePackage::~SitePackage() { Stop(); }

void SitePackage::Stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void SitePackage::Hint(const Digest& active) {
  const std::scoped_lock lock(mutex_);
  if (served_ && *served_ == active) return;
  hinted_ = true;
  wake_.notify_one();
}

void SitePackage::Loop() {
  std::string last_failure;
  while (true) {
    const Status asked = Ask();
    const std::string failure = asked ? "" : asked.error().ToString();
    if (failure != last_failure && !failure.empty())
      LogWarning("the site's package cannot be had: {}", failure);
    last_failure = failure;
    std::unique_lock lock(mutex_);
    // A hint that led to nothing is not followed faster than a failure.
    wake_.wait_for(lock, served_ && asked ? options_.interval : kRetry,
                   [&] { return stopping_ || (hinted_ && asked); });
    if (stopping_) return;
    hinted_ = false;
  }
}

Status SitePackage::Ask() {
  HttpCall call;
  call.url = options_.url + "/v1/capture/package";
  SKERRY_ASSIGN_OR_RETURN(const HttpReply reply, http_.Send(call));
  if (reply.status != 200) return tl::unexpected(ErrorOfReply(reply, "asking the site"));
  SKERRY_ASSIGN_OR_RETURN(const Json told, ParseJson(reply.body), "the site's package");
  SKERRY_ASSIGN_OR_RETURN(const Told package, ReadTold(told));
  {
    const std::scoped_lock lock(mutex_);
    if (served_ && *served_ == *package.identity.digest) return {};
  }
  SKERRY_RETURN_IF_ERROR(Fetch(package));
  SKERRY_RETURN_IF_ERROR(Use(package));
  return WriteFileDurably(options_.directory / kCurrent, DumpJson(told), 0600);
}

Status SitePackage::Fetch(const Told& package) {
  const std::filesystem::path directory = options_.directory / package.directory;
  // Only one is being served; whatever else is here was left behind.
  std::error_code error;
  std::filesystem::remove_all(directory, error);
  SKERRY_RETURN_IF_ERROR(CreateDirectories(directory, 0700));
  for (const auto& [name, digest] : package.identity.files) {
    const std::string url = fmt::format("{}/v1/capture/package/{}?digest={}", options_.url, name,
                                        PercentEncode(package.identity.digest->ToString()));
    SKERRY_RETURN_IF_ERROR(FetchFile(http_, url, digest, directory / name));
  }
  return {};
}

Status SitePackage::Use(const Told& package) {
  SKERRY_ASSIGN_OR_RETURN(auto loaded,
                          LoadPackage(options_.directory / package.directory, package.identity));
  if (!loaded->schema.windows.empty())
    LogWarning(
        "model {} looks back over the last rows of each {}: this scorer sees those alone that come "
        "to it, so that its scores differ from the site's unless an entity always comes to one "
        "scorer",
        loaded->name, loaded->schema.windows.entity);
  const auto run_us = WarmUp(*loaded, *clock_);
  const std::string name = loaded->name;
  SKERRY_RETURN_IF_ERROR(repository_->Put(
      name,
      {.package = std::move(loaded), .capture = options_.capture, .run_us = run_us.value_or(0)}));
  if (!served_name_.empty() && served_name_ != name)
    SKERRY_RETURN_IF_ERROR(repository_->Remove(served_name_));
  served_name_ = name;
  {
    const std::scoped_lock lock(mutex_);
    served_ = package.identity.digest;
  }
  LogInfo("serving the site's package model={}:{} digest={}", name, package.identity.version,
          package.identity.digest->ToString());
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(options_.directory, error))
    if (entry.is_directory(error) && entry.path().filename() != package.directory)
      std::filesystem::remove_all(entry.path(), error);
  return {};
}

Status SitePackage::ServeHeld() {
  SKERRY_ASSIGN_OR_RETURN(const std::string text,
                          ReadFile(options_.directory / kCurrent, limits::kJsonBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json told, ParseJson(text), std::string(kCurrent));
  SKERRY_ASSIGN_OR_RETURN(const Told package, ReadTold(told));
  return Use(package);
}

}  // namespace skerry
