// How far a bundle is that is being written or read, for people who wait. One at a time: whoever
// begins while another is under way is refused. Thread-safe; owned by the site or the hub, or by
// a command.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "base/error.h"
#include "codec/json.h"

namespace skerry {

class BundleProgress {
 public:
  // From Begin until it goes out of scope.
  class Work {
   public:
    explicit Work(BundleProgress* progress) : progress_(progress) {}
    Work(Work&& other) noexcept : progress_(other.progress_) { other.progress_ = nullptr; }
    Work& operator=(Work&&) = delete;
    ~Work();

   private:
    BundleProgress* progress_;
  };

  // `verb`: "export", "import". kFailedPrecondition while another is under way.
  Result<Work> Begin(std::string_view verb);
  void Expect(std::size_t parts, std::uint64_t bytes);  // 0 bytes: not known
  void AddBytes(std::uint64_t bytes);
  void AddPart();
  // {"running","verb","parts","all_parts","bytes","all_bytes"}
  Json ToJson() const;
  double share() const;  // 0 to 1

 private:
  mutable std::mutex mutex_;  // guards what follows
  bool running_ = false;
  std::string verb_;
  std::size_t parts_ = 0, all_parts_ = 0;
  std::uint64_t bytes_ = 0, all_bytes_ = 0;
};

}  // namespace skerry
