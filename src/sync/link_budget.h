// What a site may use of its link: bytes a second, bytes a day, times of the week. One for all
// traffic of the exchange, in both directions.
//
// Role: asked before bytes pass (Admit), told of what has passed besides (Charge). Bytes are those
// of HTTP, heads included; what TLS and TCP add to them, some percent, is not counted. A day's
// bytes hold: what a call may add unasked is set aside before it begins (Reserve). Only an answer
// that turns out not to fit has come already, which is at most what the kernel holds of it.
//
// The day is that of UTC. Its count is in `<data>/sync/budget.json` and is never too low after a
// crash: what is saved runs ahead of what is used. The last tenth of a day's bytes is for what is
// small and urgent: desired state, receipts, labels, anomalies, status.
//
// Clocks: a clock is taken at its word unless it is known to be wrong, which is when nothing has
// synchronised it and it reads earlier than a time that the hub has signed (NoteTrustedTime). Then
// windows count as open, since a site whose clock stands in 1970 would else never meet its hub, and
// a day is 24 h of uptime. A clock that is set back does not give a day's bytes twice.
//
// Owned by the Exchange; borrowed: the clock. Thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "sync/sync_windows.h"

namespace skerry {

struct LinkOptions {
  std::uint64_t bytes_per_second = 0;  // 0: no limit
  std::uint64_t bytes_per_day = 0;     // 0: no limit
  std::vector<std::string> windows{};  // sync_windows.h; empty: always
};

enum class TransferKind {
  kUrgent,  // goes before everything else
  kTalk,    // desired state, status, receipts: waits for what is urgent
  kBulk,    // the same, and may not use the last tenth of a day
};

struct LinkFacts {
  std::uint64_t bytes_today = 0;
  std::uint64_t bytes_in_all = 0;  // since the start
  // Why nothing passes now, and until when; empty when it may.
  std::string closed;
};

class LinkBudget {
 public:
  // kInvalidArgument: options. An unreadable count begins anew.
  static Result<std::unique_ptr<LinkBudget>> Open(LinkOptions options,
                                                  std::filesystem::path state_file,
                                                  const Clock& clock);
  LinkBudget(const LinkBudget&) = delete;
  LinkBudget& operator=(const LinkBudget&) = delete;
  ~LinkBudget();  // saves the count as it is

  // 0: the bytes may pass, and are counted. Above: ask again in so many microseconds. kUnavailable:
  // not for longer, with the sentence of LinkFacts::closed.
  // `reserved` of the bytes were set aside; they stay so unless 0 is returned.
  Result<std::int64_t> Admit(TransferKind kind, std::uint64_t bytes, std::uint64_t reserved = 0);
  // Sets bytes of the day aside. kUnavailable as Admit; the link's rate does not matter.
  Status Reserve(TransferKind kind, std::uint64_t bytes);
  // They have passed already. `reserved` bytes are no longer set aside, used or not.
  void Charge(std::uint64_t bytes, std::uint64_t reserved = 0);
  // A time that the hub has signed: no right clock reads earlier.
  void NoteTrustedTime(std::int64_t utc_us);

  LinkFacts facts();
  const LinkOptions& options() const { return options_; }

 private:
  LinkBudget(LinkOptions options, SyncWindows windows, std::filesystem::path state_file,
             const Clock& clock);
  bool ClockIsWrong() const;
  void BeginDayIfDue();
  // `bytes`: besides what is used and set aside.
  std::optional<std::string> Closed(TransferKind kind, std::uint64_t bytes) const;
  void Count(std::uint64_t bytes);
  void SaveIfDue();
  void Load();
  void Save(std::uint64_t bytes);

  const LinkOptions options_;
  const SyncWindows windows_;
  const std::filesystem::path state_file_;
  const Clock* const clock_;

  std::mutex mutex_;
  std::int64_t trusted_us_ = 0;
  std::int64_t day_ = 0;  // since 1970
  std::int64_t day_began_mono_us_ = 0;
  std::uint64_t used_today_ = 0;
  std::uint64_t reserved_ = 0;
  std::uint64_t saved_today_ = 0;
  std::uint64_t used_ = 0;
  std::int64_t free_mono_us_ = 0;  // when what has passed is paid off
};

}  // namespace skerry
