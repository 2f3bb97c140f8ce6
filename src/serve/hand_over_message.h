// What a scorer sends to the site whose outbox keeps its rows: POST /v1/capture.
//
// Format: docs/formats/hand-over.md, version 1. Plain values and functions; thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/ids.h"
#include "crypto/digest.h"
#include "model/row_batch.h"

namespace skerry {

namespace limits {
// Rows and bytes that a scorer gathers for one message; one request's rows go together in any case.
constexpr std::size_t kHandOverRows = 16'384;
constexpr std::size_t kHandOverBytes = std::size_t{8} << 20U;
// Of one message at the site: what a large request becomes when it is scored.
constexpr std::size_t kHandOverRowsMost = std::size_t{4} << 20U;
constexpr std::size_t kHandOverBytesMost = std::size_t{256} << 20U;
}  // namespace limits

struct HandOverMessage {
  InstanceId scorer;
  std::uint64_t number = 0;     // outbox/hand_over.h
  bool abandoned = false;       // asks what became of the number; without rows
  std::uint64_t lost_rows = 0;  // ever
  std::optional<Digest> package;
  std::vector<std::shared_ptr<const RowBatch>> batches;  // of that package, scored by `scorer`
};

// `mono_us`: the scorer's monotonic clock, on which the batches are dated, as it is sent.
std::string EncodeHandOver(const HandOverMessage& message, std::int64_t mono_us);

// The package of a digest; an error refuses the message.
using PackageFinder =
    std::function<Result<std::shared_ptr<const ModelPackage>>(const Digest& digest)>;

// Everything is checked against the package: columns, codes of categories, classes, lengths; what
// comes out is as this process' own scoring would have left it. Monotonic times are put on `clock`,
// as long ago as they were for the scorer. kInvalidArgument says what is wrong; kUnimplemented for
// another version; what `find` returned.
Result<HandOverMessage> DecodeHandOver(std::string_view bytes, const PackageFinder& find,
                                       const Clock& clock);

}  // namespace skerry
