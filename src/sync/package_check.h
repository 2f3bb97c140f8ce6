// Reads the packages that a site holds, at its start and now and then, so that one that has rotted
// on the disk is found before it is needed.
//
// Role: a thread that calls Deployer::CheckHeld and gives it its pace; what is damaged is an alarm
// there, and is fetched anew with the next round of the exchange, which `on_damage` may call for.
// Owned by the site; borrowed: the deployer, which outlives it. Start and Stop from one thread.
//   PackageCheck check(*deployer, {}, [&] { exchange->Wake(); });
//   check.Start();
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

#include "base/package_check_limits.h"
#include "sync/deployer.h"

namespace skerry {

struct PackageCheckOptions {
  std::chrono::milliseconds delay = limits::kPackageCheckDelay;
  std::chrono::milliseconds interval = limits::kPackageCheckInterval;
  std::uint64_t bytes_per_second = limits::kPackageCheckBytesPerSecond;
};

class PackageCheck {
 public:
  PackageCheck(Deployer& deployer, const PackageCheckOptions& options,
               std::function<void()> on_damage);
  ~PackageCheck();  // Stop()
  PackageCheck(const PackageCheck&) = delete;
  PackageCheck& operator=(const PackageCheck&) = delete;

  void Start();
  void Stop();  // at once, in the middle of a file too; repeats are harmless

 private:
  void Run();
  // false: it has been stopped.
  bool Wait(std::chrono::nanoseconds time);

  Deployer* deployer_;
  const PackageCheckOptions options_;
  const std::function<void()> on_damage_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace skerry
