#include "sync/package_check.h"

#include <utility>

namespace skerry {

PackageCheck::PackageCheck(Deployer& deployer, const PackageCheckOptions& options,
                           std::function<void()> on_damage)
    : deployer_(&deployer), options_(options), on_damage_(std::move(on_damage)) {}

PackageCheck::~PackageCheck() { Stop(); }

void PackageCheck::Start() {
  thread_ = std::thread([this] { Run(); });
}

void PackageCheck::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool PackageCheck::Wait(std::chrono::nanoseconds time) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, time, [this] { return stopped_; });
}

void PackageCheck::Run() {
  const auto pace = [this](std::size_t bytes) {
    return Wait(std::chrono::nanoseconds(bytes * 1'000'000'000 / options_.bytes_per_second));
  };
  for (bool goes_on = Wait(options_.delay); goes_on; goes_on = Wait(options_.interval))
    if (deployer_->CheckHeld(pace) > 0 && on_damage_) on_damage_();
}

}  // namespace skerry
