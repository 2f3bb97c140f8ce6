#include "oci/content_leases.h"

#include <algorithm>

namespace skerry {

ContentLeases::Lease::~Lease() {
  if (leases_ != nullptr) leases_->Release(digests_);
}

bool ContentLeases::AnyBeingRemoved(const std::vector<Digest>& digests) const {
  return std::ranges::any_of(digests, [&](const Digest& digest) {
    const auto found = entries_.find(digest);
    return found != entries_.end() && found->second.being_removed;
  });
}

ContentLeases::Lease ContentLeases::Take(std::vector<Digest> digests) {
  std::unique_lock lock(mutex_);
  removed_.wait(lock, [&] { return !AnyBeingRemoved(digests); });
  for (const Digest& digest : digests) ++entries_[digest].holders;
  return Lease(this, std::move(digests));
}

void ContentLeases::Release(const std::vector<Digest>& digests) {
  const std::lock_guard lock(mutex_);
  for (const Digest& digest : digests) {
    const auto found = entries_.find(digest);
    if (--found->second.holders > 0) continue;
    if (sweeping_)
      found->second.marked = true;
    else
      entries_.erase(found);
  }
}

ContentLeases::Sweep::Sweep(ContentLeases& leases) : leases_(leases) {
  const std::lock_guard lock(leases_.mutex_);
  leases_.sweeping_ = true;
}

ContentLeases::Sweep::~Sweep() {
  const std::lock_guard lock(leases_.mutex_);
  leases_.sweeping_ = false;
  for (auto& [digest, entry] : leases_.entries_) entry.marked = false;
  std::erase_if(leases_.entries_, [](const auto& entry) { return entry.second.holders == 0; });
}

Result<bool> ContentLeases::Sweep::Remove(const Digest& digest,
                                          const std::function<Status()>& remove) {
  {
    const std::lock_guard lock(leases_.mutex_);
    Entry& entry = leases_.entries_[digest];
    if (entry.holders > 0 || entry.marked) return false;
    entry.being_removed = true;
  }
  const Status done = remove();
  {
    const std::lock_guard lock(leases_.mutex_);
    leases_.entries_.erase(digest);
  }
  leases_.removed_.notify_all();
  if (!done) return tl::make_unexpected(done.error());
  return true;
}

}  // namespace skerry
