#include "sync/bundle_progress.h"

#include <algorithm>

namespace skerry {

BundleProgress::Work::~Work() {
  if (progress_ == nullptr) return;
  const std::lock_guard lock(progress_->mutex_);
  progress_->running_ = false;
}

Result<BundleProgress::Work> BundleProgress::Begin(std::string_view verb) {
  const std::lock_guard lock(mutex_);
  if (running_)
    return Fail(ErrorCode::kFailedPrecondition, "a bundle's {} is under way: wait for its end",
                verb_);
  running_ = true;
  verb_ = verb;
  parts_ = all_parts_ = 0;
  bytes_ = all_bytes_ = 0;
  return Work(this);
}

void BundleProgress::Expect(std::size_t parts, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  all_parts_ = parts;
  all_bytes_ = bytes;
}

void BundleProgress::AddBytes(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  bytes_ += bytes;
}

void BundleProgress::AddPart() {
  const std::lock_guard lock(mutex_);
  ++parts_;
}

Json BundleProgress::ToJson() const {
  const std::lock_guard lock(mutex_);
  return Json{{"running", running_},     {"verb", verb_},   {"parts", parts_},
              {"all_parts", all_parts_}, {"bytes", bytes_}, {"all_bytes", all_bytes_}};
}

double BundleProgress::share() const {
  const std::lock_guard lock(mutex_);
  const double of_bytes =
      all_bytes_ == 0 ? 0 : static_cast<double>(bytes_) / static_cast<double>(all_bytes_);
  const double of_parts =
      all_parts_ == 0 ? 0 : static_cast<double>(parts_) / static_cast<double>(all_parts_);
  return std::min(1.0, all_bytes_ == 0 ? of_parts : of_bytes);
}

}  // namespace skerry
