#include "serve/access_watch.h"

#include <sys/stat.h>

#include <chrono>
#include <utility>

#include "base/log.h"

namespace skerry {
namespace {

constexpr std::chrono::seconds kBetweenLooks{2};

std::int64_t Nanoseconds(const timespec& time) {
  return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec;
}

}  // namespace

AccessWatch::AccessWatch(AccessOptions options, std::vector<std::string> addresses,
                         const Access& access, UseTls use_tls)
    : options_(std::move(options)),
      addresses_(std::move(addresses)),
      use_tls_(std::move(use_tls)),
      keys_(access.keys),
      stamps_(Stamps()) {}

AccessWatch::~AccessWatch() { Stop(); }

AccessWatch::Stamp AccessWatch::StampOf(const std::filesystem::path& file) {
  struct stat facts{};
  if (file.empty() || ::stat(file.c_str(), &facts) != 0) return {};
  return {facts.st_dev, facts.st_ino, facts.st_size, Nanoseconds(facts.st_mtim),
          Nanoseconds(facts.st_ctim)};
}

std::vector<AccessWatch::Stamp> AccessWatch::Stamps() const {
  return {StampOf(options_.tls_cert), StampOf(options_.tls_key), StampOf(options_.client_ca),
          StampOf(options_.api_keys)};
}

Status AccessWatch::Use() {
  AccessOptions but_keys = options_;
  but_keys.api_keys.clear();
  SKERRY_ASSIGN_OR_RETURN(const Access read, LoadAccess(but_keys, addresses_));
  std::optional<ApiKeys> keys;
  if (keys_) {
    SKERRY_ASSIGN_OR_RETURN(keys,
                            ApiKeys::Load(options_.api_keys, ApiKeys::WithoutKeys::kNobodyMay));
  }
  if (read.tls) SKERRY_RETURN_IF_ERROR(use_tls_(*read.tls));
  if (keys) keys_->Replace(*keys);
  return {};
}

Result<bool> AccessWatch::Look() {
  // Taken before the files are read, so that what is written meanwhile is another change.
  std::vector<Stamp> stamps = Stamps();
  if (stamps == stamps_) return false;
  stamps_ = std::move(stamps);
  const Status used = Use();
  const std::lock_guard lock(mutex_);
  problem_ = used ? "" : used.error().message();
  if (!used) return tl::make_unexpected(used.error());
  return true;
}

std::string AccessWatch::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

void AccessWatch::Start() {
  thread_ = std::thread([this] {
    std::unique_lock lock(mutex_);
    while (!stopped_.wait_for(lock, kBetweenLooks, [this] { return stopping_; })) {
      lock.unlock();
      if (const auto looked = Look(); !looked)
        LogWarning("certificates and keys have changed and are of no use, those before hold: {}",
                   looked.error().message());
      else if (*looked)
        LogInfo("certificates and keys have changed and are in use");
      lock.lock();
    }
  });
}

void AccessWatch::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stopped_.notify_all();
  if (thread_.joinable()) thread_.join();
}

}  // namespace skerry
