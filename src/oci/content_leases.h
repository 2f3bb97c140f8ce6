// Keeps what is in use out of the hands of the collector (collector.h).
//
// Whoever is about to rely on content that is here, or to make a link to it, takes a lease on its
// digest first, then looks, then links, then lets go. The collector removes nothing that is leased
// or was leased at any moment since its sweep began. So, whichever of the two comes first: either
// the collector sees the lease and keeps the content, or the other sees that the content is gone
// and has it pushed again. No clock is asked.
// Owned by Registry; thread-safe. Leases last for a request at most, so that the table is small.
//   const ContentLeases::Lease lease = leases.Take({digest});
//   if (blobs.Has(digest)) repositories.LinkBlob(name, digest);
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "crypto/digest.h"

namespace skerry {

class ContentLeases {
 public:
  class Lease {
   public:
    Lease(Lease&& other) noexcept
        : leases_(std::exchange(other.leases_, nullptr)), digests_(std::move(other.digests_)) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease();

   private:
    friend class ContentLeases;
    Lease(ContentLeases* leases, std::vector<Digest> digests)
        : leases_(leases), digests_(std::move(digests)) {}
    ContentLeases* leases_;
    std::vector<Digest> digests_;
  };

  // Waits while one of them is being removed. Taking a digest twice, or on several threads, is
  // fine.
  Lease Take(std::vector<Digest> digests);

  // From its construction on, what is leased stays marked. One at a time.
  class Sweep {
   public:
    explicit Sweep(ContentLeases& leases);
    Sweep(const Sweep&) = delete;
    Sweep& operator=(const Sweep&) = delete;
    ~Sweep();
    // Runs `remove`, during which nobody gets a lease on the digest; false, and not run, when it
    // is leased or was since the sweep began.
    Result<bool> Remove(const Digest& digest, const std::function<Status()>& remove);

   private:
    ContentLeases& leases_;
  };

 private:
  struct Entry {
    std::size_t holders = 0;
    bool marked = false;  // was leased since the sweep began
    bool being_removed = false;
  };
  bool AnyBeingRemoved(const std::vector<Digest>& digests) const;
  void Release(const std::vector<Digest>& digests);

  std::mutex mutex_;  // guards what follows
  std::condition_variable removed_;
  std::unordered_map<Digest, Entry> entries_;
  bool sweeping_ = false;
};

}  // namespace skerry
