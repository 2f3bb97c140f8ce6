// Hands the rows of a scorer over to its site, whose outbox keeps them: the capture of
// `skerry serve --capture`.
//
// Role: the sink of a process without an outbox. One message is under way at a time and carries
// what has gathered meanwhile, as the outbox's own group commit does; numbers make it arrive once
// (outbox/hand_over.h). Whatever ends without the site's word is settled first when the site is
// back: the scorer asks what became of the number, and takes its rows back where nothing did.
// Rows that were not handed over are counted, and the count reaches the site with the next message.
// A scorer that is killed takes along what was in its queue and what it had not told yet.
//
// Owned by the composition root, made before the server that uses it and closed after. Borrowed:
// clock, metrics. Threads: Capture from any; a sender and a thread that keeps the deadlines.
//   SKERRY_ASSIGN_OR_RETURN(auto capture, SiteCapture::Start({.url = "https://site:8000", ...}));
//   parts.capture = capture.get();  ...  capture->Close(std::chrono::seconds(10));
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/ids.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "crypto/digest.h"
#include "http/client.h"
#include "serve/capture.h"
#include "serve/hand_over_message.h"

namespace skerry {

// What becomes of rows while the site is away. kWait: they wait for it, up to the timeout, and are
// refused then. kAnswer: they are given up at once, and answered (CaptureMode::kTry). kRefuse: they
// are given up at once, and refused. The default of `skerry serve` is kWait.
enum class CaptureOutage : std::uint8_t { kWait, kAnswer, kRefuse };
std::string_view CaptureOutageName(CaptureOutage outage);  // "wait", "answer", "refuse"
Result<CaptureOutage> ParseCaptureOutage(std::string_view name);

struct SiteCaptureOptions {
  std::string url;         // the site's, "https://site:8000"
  HttpClientOptions http;  // whom to trust, what to show
  InstanceId scorer;       // this process, as in its row ids
  CaptureOutage outage = CaptureOutage::kWait;
  // How long rows may wait to be kept. Zero: for ever (capture async, whose queue is its bound).
  std::chrono::milliseconds timeout{10'000};
  std::size_t queue_rows = limits::kCaptureQueueRows;
  const Clock* clock = nullptr;
  MetricRegistry* metrics = nullptr;
  // The package that the site runs, as each of its answers says. On the sender's thread.
  std::function<void(const Digest&)> on_active{};
};

class SiteCapture final : public CaptureSink {
 public:
  // kInvalidArgument for a URL that is none. Asks nothing of the site yet.
  static Result<std::unique_ptr<SiteCapture>> Start(SiteCaptureOptions options);
  ~SiteCapture() override;  // Close(0)

  // kResourceExhausted over queue_rows, kTooLarge for a batch over limits::kHandOverRowsMost or
  // kHandOverBytesMost, kUnavailable while the site is away (but for kWait), kDeadlineExceeded at
  // the timeout, and what the site said for rows that it does not take.
  void Capture(std::shared_ptr<const RowBatch> batch, std::function<void(Status)> done) override;
  // As Capture: a message takes on what has gathered anyway.
  void CaptureUnwaited(const std::shared_ptr<const RowBatch>& batch, Counter* lost) override;

  // Hands over what is queued, and what is lost, for so long at most; then gives up the rest, and
  // says how much that is in the log. Repeats are harmless.
  void Close(std::chrono::milliseconds longest);

 private:
  struct Waiting {
    std::shared_ptr<const RowBatch> batch;
    std::function<void(Status)> done;  // empty once it was answered
    std::chrono::steady_clock::time_point deadline;
  };
  using Answers = std::vector<std::pair<std::function<void(Status)>, Status>>;
  struct Metrics;
  struct SiteWord;  // what the site answered

  explicit SiteCapture(SiteCaptureOptions options);
  void SendLoop();
  void WatchLoop();
  bool HasWork() const;  // under mutex_, as the next ones
  void TakeGroup();      // queue_ -> flight_
  void Lose(Waiting& waiting, const Error& why, Answers& answers);
  void LoseAll(const Error& why, Answers& answers);  // of the queue
  Result<SiteWord> Send(const HandOverMessage& message);
  void SendGroup();
  void Settle();
  void NoteAway(const Error& why);
  void NoteBack();
  static void Give(Answers& answers);

  const SiteCaptureOptions options_;
  HttpClient http_;  // the sender's
  const std::unique_ptr<Metrics> metrics_;

  std::mutex mutex_;
  std::condition_variable wake_;   // of the sender
  std::condition_variable watch_;  // of the thread of deadlines
  std::deque<Waiting> queue_;      // guarded by mutex_, as what follows
  std::vector<Waiting> flight_;    // of the number under way
  std::size_t queued_rows_ = 0;
  std::uint64_t lost_rows_ = 0;
  std::uint64_t told_lost_rows_ = 0;
  std::uint64_t number_ = 0;  // the last one used
  bool unsettled_ = false;    // what became of number_ is not known
  bool away_ = false;
  std::chrono::milliseconds pause_{0};  // before the next try
  bool closing_ = false;
  std::chrono::steady_clock::time_point close_by_;

  std::thread sender_;
  std::thread watcher_;
};

}  // namespace skerry
