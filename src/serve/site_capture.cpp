#include "serve/site_capture.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "codec/json.h"
#include "http/url.h"

namespace skerry {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kFirstPause{20};
constexpr std::chrono::milliseconds kLongestPause{500};
constexpr std::size_t kAnswerBytes = 64U << 10U;

// A message that the site will never take, whatever is tried.
bool IsRefusal(ErrorCode code) {
  return code == ErrorCode::kInvalidArgument || code == ErrorCode::kFailedPrecondition ||
         code == ErrorCode::kConflict || code == ErrorCode::kTooLarge ||
         code == ErrorCode::kUnimplemented;
}

std::size_t BytesOf(const RowBatch& batch) {
  std::size_t bytes = 64 + batch.rows * 3;
  for (const std::vector<float>* values :
       {&batch.features, &batch.windows, &batch.inputs, &batch.score, &batch.probabilities,
        &batch.anomaly_score})
    bytes += values->size() * sizeof(float);
  for (const std::vector<std::string>& column : batch.texts)
    for (const std::string& text : column) bytes += 4 + text.size();
  return bytes;
}

}  // namespace

std::string_view CaptureOutageName(CaptureOutage outage) {
  switch (outage) {
    case CaptureOutage::kWait: return "wait";
    case CaptureOutage::kAnswer: return "answer";
    case CaptureOutage::kRefuse: return "refuse";
  }
  return "wait";
}

Result<CaptureOutage> ParseCaptureOutage(std::string_view name) {
  for (const CaptureOutage outage :
       {CaptureOutage::kWait, CaptureOutage::kAnswer, CaptureOutage::kRefuse})
    if (name == CaptureOutageName(outage)) return outage;
  return Fail(ErrorCode::kInvalidArgument, "\"{}\" is not wait, answer or refuse", name);
}

struct SiteCapture::SiteWord {
  bool kept = false;
};

struct SiteCapture::Metrics {
  explicit Metrics(MetricRegistry& registry)
      : handed_over(registry.AddCounter("skerry_capture_handed_over_rows_total",
                                        "Rows that the site has said are durable.")),
        lost(registry.AddCounter("skerry_capture_lost_rows_total",
                                 "Scored rows that were not handed over; the site is told.")),
        messages(registry.AddCounter("skerry_capture_messages_total",
                                     "Messages to the site, with what asks and repeats.")),
        seconds(registry.AddHistogram("skerry_capture_message_seconds",
                                      "From a message's start to the site's answer.",
                                      LatencySecondsBounds())),
        queued(registry.AddGauge("skerry_capture_queue_rows", "Rows that wait for the site.")),
        away(registry.AddGauge("skerry_capture_site_away",
                               "1 while the site takes no rows, else 0.")) {}

  Counter& handed_over;
  Counter& lost;
  Counter& messages;
  Histogram& seconds;
  Gauge& queued;
  Gauge& away;
};

SiteCapture::SiteCapture(SiteCaptureOptions options)
    : options_(std::move(options)),
      http_(options_.http),
      metrics_(std::make_unique<Metrics>(*options_.metrics)) {
  sender_ = std::thread([this] { SendLoop(); });
  watcher_ = std::thread([this] { WatchLoop(); });
}

Result<std::unique_ptr<SiteCapture>> SiteCapture::Start(SiteCaptureOptions options) {
  SKERRY_ASSIGN_OR_RETURN(const Url url, Url::Parse(options.url), "the site's URL");
  if (options.clock == nullptr || options.metrics == nullptr || options.scorer.is_none())
    return Fail(ErrorCode::kInvalidArgument, "capture needs a clock, metrics and the instance");
  options.url = url.Origin();
  // A site that says nothing is away before those who wait for it give up.
  const auto most =
      options.timeout.count() == 0 ? std::chrono::milliseconds(10'000) : options.timeout;
  options.http.connect_timeout = std::min(options.http.connect_timeout, most);
  options.http.stall_timeout = std::min(options.http.stall_timeout, most);
  return std::unique_ptr<SiteCapture>(new SiteCapture(std::move(options)));
}

SiteCapture::~SiteCapture() { Close({}); }

void SiteCapture::Give(Answers& answers) {
  for (auto& [done, status] : answers)
    if (done) done(std::move(status));
  answers.clear();
}

void SiteCapture::Lose(Waiting& waiting, const Error& why, Answers& answers) {
  lost_rows_ += waiting.batch->rows;
  metrics_->lost.Add(waiting.batch->rows);
  if (waiting.done) answers.emplace_back(std::move(waiting.done), tl::unexpected(why));
  waiting.done = {};
}

void SiteCapture::LoseAll(const Error& why, Answers& answers) {
  for (Waiting& waiting : queue_) Lose(waiting, why, answers);
  queue_.clear();
  queued_rows_ = 0;
}

// What arrives while a message is under way goes in the next one, whoever waits for it.
void SiteCapture::CaptureUnwaited(const std::shared_ptr<const RowBatch>& batch, Counter* lost) {
  Capture(batch, [lost, rows = batch->rows](const Status& kept) {
    if (!kept && lost != nullptr) lost->Add(rows);
  });
}

void SiteCapture::Capture(std::shared_ptr<const RowBatch> batch, std::function<void(Status)> done) {
  const std::size_t rows = batch->rows;
  Waiting waiting{std::move(batch), std::move(done), SteadyClock::now() + options_.timeout};
  if (rows == 0) return waiting.done({});
  Answers answers;
  {
    const std::scoped_lock lock(mutex_);
    const auto refuse = [&](ErrorCode code, std::string why) {
      Lose(waiting, Error(code, std::move(why)), answers);
      wake_.notify_one();  // the site is to be told
    };
    if (closing_) {
      refuse(ErrorCode::kUnavailable, "the scorer ends");
    } else if (away_ && options_.outage != CaptureOutage::kWait) {
      refuse(ErrorCode::kUnavailable, fmt::format("the site at {} is away", options_.url));
    } else if (rows > limits::kHandOverRowsMost ||
               BytesOf(*waiting.batch) > limits::kHandOverBytesMost) {
      refuse(ErrorCode::kTooLarge, fmt::format("{} rows at once are too many to hand over", rows));
    } else if (queued_rows_ > 0 && queued_rows_ + rows > options_.queue_rows) {
      refuse(ErrorCode::kResourceExhausted,
             fmt::format("{} rows wait for the site at {}, the limit is {}", queued_rows_,
                         options_.url, options_.queue_rows));
    } else {
      queued_rows_ += rows;
      queue_.push_back(std::move(waiting));
      wake_.notify_one();
    }
  }
  Give(answers);
}

bool SiteCapture::HasWork() const {
  return !queue_.empty() || unsettled_ || lost_rows_ > told_lost_rows_;
}

void SiteCapture::SendLoop() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return HasWork() || closing_; });
    if (pause_.count() > 0) {
      const auto until = SteadyClock::now() + pause_;
      wake_.wait_until(lock, until, [&] {
        return SteadyClock::now() >= until || (closing_ && SteadyClock::now() >= close_by_);
      });
    }
    if (closing_ && (!HasWork() || SteadyClock::now() >= close_by_)) return;
    const bool settle = unsettled_;
    if (!settle) TakeGroup();
    metrics_->queued.Set(static_cast<double>(queued_rows_));
    lock.unlock();
    settle ? Settle() : SendGroup();
    lock.lock();
  }
}

// Rows of one package: the site may know one of them and not the other.
void SiteCapture::TakeGroup() {
  std::size_t rows = 0;
  std::size_t bytes = 0;
  while (!queue_.empty()) {
    Waiting& next = queue_.front();
    const std::size_t more = BytesOf(*next.batch);
    if (!flight_.empty() &&
        (next.batch->package != flight_.front().batch->package ||
         rows + next.batch->rows > limits::kHandOverRows || bytes + more > limits::kHandOverBytes))
      break;
    rows += next.batch->rows;
    bytes += more;
    flight_.push_back(std::move(next));
    queue_.pop_front();
  }
  queued_rows_ -= rows;
  ++number_;
}

Result<SiteCapture::SiteWord> SiteCapture::Send(const HandOverMessage& message) {
  const auto started = SteadyClock::now();
  HttpCall call;
  call.method = "POST";
  call.url = options_.url + "/v1/capture";
  call.headers = {{"Content-Type", "application/vnd.skerry.hand-over.v1"}};
  call.body = EncodeHandOver(message, options_.clock->MonotonicMicros());
  call.max_reply_bytes = kAnswerBytes;
  metrics_->messages.Add();
  SKERRY_ASSIGN_OR_RETURN(const HttpReply reply, http_.Send(call));
  const std::chrono::duration<double> took = SteadyClock::now() - started;
  metrics_->seconds.Observe(took.count());
  if (reply.status != 200) return tl::unexpected(ErrorOfReply(reply, "the site"));
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(reply.body), "the site's answer");
  const JsonObject object(json, "the site's answer");
  SiteWord word;
  SKERRY_ASSIGN_OR_RETURN(word.kept, object.Bool("kept"));
  if (const auto active = object.String("active"); active && options_.on_active)
    if (const auto digest = Digest::Parse(*active)) options_.on_active(*digest);
  return word;
}

void SiteCapture::SendGroup() {
  HandOverMessage message;
  message.scorer = options_.scorer;
  {
    const std::scoped_lock lock(mutex_);
    message.number = number_;
    message.lost_rows = lost_rows_;
    for (const Waiting& waiting : flight_) message.batches.push_back(waiting.batch);
    if (!flight_.empty()) message.package = flight_.front().batch->package->digest;
  }
  const Result<SiteWord> word = Send(message);
  Answers answers;
  {
    const std::scoped_lock lock(mutex_);
    if (word) {
      NoteBack();
      told_lost_rows_ = message.lost_rows;
      for (Waiting& waiting : flight_) {
        metrics_->handed_over.Add(waiting.batch->rows);
        if (waiting.done) answers.emplace_back(std::move(waiting.done), Status());
      }
      flight_.clear();
    } else if (IsRefusal(word.error().code())) {
      NoteBack();
      for (Waiting& waiting : flight_) Lose(waiting, word.error(), answers);
      // What it refuses without rows it would refuse for ever.
      if (flight_.empty()) told_lost_rows_ = message.lost_rows;
      flight_.clear();
    } else {
      unsettled_ = true;
      NoteAway(word.error());
      if (options_.outage != CaptureOutage::kWait) {
        for (Waiting& waiting : flight_)
          if (waiting.done)
            answers.emplace_back(std::exchange(waiting.done, {}), tl::unexpected(word.error()));
        LoseAll(word.error(), answers);
      }
    }
  }
  Give(answers);
}

// Asks what became of the number that has no answer.
void SiteCapture::Settle() {
  HandOverMessage message;
  message.scorer = options_.scorer;
  message.abandoned = true;
  {
    const std::scoped_lock lock(mutex_);
    message.number = number_;
    message.lost_rows = lost_rows_;
  }
  const Result<SiteWord> word = Send(message);
  Answers answers;
  {
    const std::scoped_lock lock(mutex_);
    if (!word && !IsRefusal(word.error().code())) {
      NoteAway(word.error());
      return;
    }
    if (!word) LogError("capture: the site refuses to settle {}", word.error().ToString());
    NoteBack();
    unsettled_ = false;
    told_lost_rows_ = message.lost_rows;
    const bool kept = word && word->kept;
    const Error gone(ErrorCode::kUnavailable, "the site was away");
    for (Waiting& waiting : flight_) {
      if (kept) {
        metrics_->handed_over.Add(waiting.batch->rows);
        if (waiting.done) answers.emplace_back(std::move(waiting.done), Status());
      } else if (!waiting.done) {
        Lose(waiting, gone, answers);  // was answered; now it is known that it is nowhere
      }
    }
    // In their old order in front of the others.
    if (!kept) {
      for (auto at = flight_.rbegin(); at != flight_.rend(); ++at) {
        if (!at->done) continue;
        queued_rows_ += at->batch->rows;
        queue_.push_front(std::move(*at));
      }
    }
    flight_.clear();
    watch_.notify_one();
  }
  Give(answers);
}

void SiteCapture::NoteAway(const Error& why) {
  if (!away_)
    LogWarning("capture: the site is away url={} outage={} reason={}", options_.url,
               CaptureOutageName(options_.outage), why.ToString());
  away_ = true;
  metrics_->away.Set(1);
  pause_ = std::clamp(pause_ * 2, kFirstPause, kLongestPause);
}

void SiteCapture::NoteBack() {
  if (away_) LogInfo("capture: the site is back url={} lost_rows={}", options_.url, lost_rows_);
  away_ = false;
  metrics_->away.Set(0);
  pause_ = {};
}

void SiteCapture::WatchLoop() {
  if (options_.timeout.count() == 0) return;
  const auto period = std::clamp(options_.timeout / 20, std::chrono::milliseconds(5),
                                 std::chrono::milliseconds(100));
  std::unique_lock lock(mutex_);
  while (!closing_ || !queue_.empty() || !flight_.empty()) {
    const auto now = SteadyClock::now();
    const Error late(ErrorCode::kDeadlineExceeded,
                     fmt::format("the site at {} has not kept them within {} ms", options_.url,
                                 options_.timeout.count()));
    Answers answers;
    while (!queue_.empty() && queue_.front().deadline <= now) {
      queued_rows_ -= queue_.front().batch->rows;
      Lose(queue_.front(), late, answers);
      queue_.pop_front();
    }
    // Those under way may be kept yet: they are counted when that is known.
    for (Waiting& waiting : flight_)
      if (waiting.done && waiting.deadline <= now)
        answers.emplace_back(std::exchange(waiting.done, {}), tl::unexpected(late));
    lock.unlock();
    Give(answers);
    lock.lock();
    watch_.wait_for(lock, period);
  }
}

void SiteCapture::Close(std::chrono::milliseconds longest) {
  {
    const std::scoped_lock lock(mutex_);
    if (!closing_) close_by_ = SteadyClock::now() + longest;
    closing_ = true;
  }
  wake_.notify_all();
  watch_.notify_all();
  if (sender_.joinable()) sender_.join();
  Answers answers;
  {
    const std::scoped_lock lock(mutex_);
    const Error ended(ErrorCode::kUnavailable, "the scorer ended");
    LoseAll(ended, answers);
    for (Waiting& waiting : flight_) Lose(waiting, ended, answers);
    flight_.clear();
    if (lost_rows_ > told_lost_rows_)
      LogWarning("capture: the site was not told of rows that are lost rows={}",
                 lost_rows_ - told_lost_rows_);
    told_lost_rows_ = lost_rows_;
  }
  watch_.notify_all();
  if (watcher_.joinable()) watcher_.join();
  Give(answers);
}

}  // namespace skerry
