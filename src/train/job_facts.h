// What a Spark job says of itself: JSON objects with an "event" (spark/README.md).
#pragma once

#include <string>
#include <string_view>

#include "train/trainer.h"

namespace skerry {

class JobFacts {
 public:
  // Progress goes to the sink, which outlives this.
  explicit JobFacts(const ProgressSink& progress) : progress_(progress) {}

  // One fact; text that is none is ignored.
  void Take(std::string_view text);
  bool done() const { return done_; }
  // Why it failed, in the job's words; "" while it has not said so.
  const std::string& failure() const { return failure_; }

 private:
  const ProgressSink& progress_;
  std::string failure_{};
  bool done_ = false;
};

}  // namespace skerry
