// The package that a scorer serves: what its site runs, fetched from there and followed.
//
// Role: a thread of its own asks the site (GET /v1/capture/package), fetches the files of a package
// that is new, checks each against its digest, and swaps it in the repository; requests under way
// finish on the old one. What it fetched last is kept in a directory, so that a scorer that starts
// while its site is away serves that. The site's word is taken for what passed its gate: the
// connection shows whose word it is.
// Owned by the composition root; borrowed: the repository, the clock. Stopped after the servers.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "codec/json.h"
#include "crypto/digest.h"
#include "http/client.h"
#include "model/package.h"
#include "serve/capture.h"
#include "serve/repository.h"

namespace skerry {

namespace limits {
constexpr std::size_t kSitePackageFiles = 64;
constexpr std::uint64_t kSitePackageFileBytes = std::uint64_t{8} << 30U;
}  // namespace limits

struct SitePackageOptions {
  std::string url;                           // the site's
  HttpClientOptions http;                    // whom to trust, what to show
  std::filesystem::path directory;           // made if absent; packages of before, and the next
  CaptureMode capture = CaptureMode::kSync;  // of the model as it is served
  std::chrono::milliseconds interval{5'000};
};

class SitePackage {
 public:
  // Serves what the directory holds of before, if anything, and asks the site at once.
  // kInvalidArgument for a URL that is none; errors of the directory.
  static Result<std::unique_ptr<SitePackage>> Start(SitePackageOptions options,
                                                    ModelRepository& repository,
                                                    const Clock& clock);
  ~SitePackage();  // Stop()
  // The site runs that package now: asked at once where it is another than the one served. Any
  // thread.
  void Hint(const Digest& active);
  void Stop();

 private:
  SitePackage(SitePackageOptions options, ModelRepository& repository, const Clock& clock);
  void Loop();
  Status Ask();
  struct Told;
  static Result<Told> ReadTold(const Json& json);
  Status Fetch(const Told& package);
  Status Use(const Told& package);
  Status ServeHeld();

  const SitePackageOptions options_;
  HttpClient http_;  // the thread's
  ModelRepository* repository_;
  const Clock* clock_;
  std::string served_name_;  // the thread's

  std::mutex mutex_;
  std::condition_variable wake_;
  std::optional<Digest> served_;  // guarded by mutex_, as what follows
  bool hinted_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace skerry
