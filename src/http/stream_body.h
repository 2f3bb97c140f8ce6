// The body of a streaming request on its way from the loop to the handler. Internal to http.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "http/message.h"

namespace skerry::http_detail {

// One piece at a time: the next one is read from the network when the handler asks, so a slow
// handler slows the sender. Read is the handler's, on its pool thread; Give, End and FailWith are
// the loop's.
class StreamBody final : public BodyReader {
 public:
  // `want` asks the loop for the next piece.
  explicit StreamBody(std::function<void()> want) : want_(std::move(want)) {}

  Result<std::size_t> Read(char* out, std::size_t size) override;

  void Give(std::string piece);
  void End();
  void FailWith(Error error);

 private:
  const std::function<void()> want_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::string piece_;
  std::size_t used_ = 0;
  bool ended_ = false;
  std::optional<Error> failed_;
};

}  // namespace skerry::http_detail
