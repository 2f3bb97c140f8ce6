#include "serve/hand_over_message.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "codec/text.h"

namespace skerry {
namespace {

static_assert(std::endian::native == std::endian::little, "the message is little-endian");

constexpr std::string_view kMagic = "SKH";
constexpr char kVersion = 1;
constexpr std::int64_t kLastTimeUs = 253'402'300'799'999'999;  // the end of the year 9999

template <typename T>
void PutNumber(std::string& out, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

void PutShort(std::string& out, std::string_view text) {
  PutNumber(out, static_cast<std::uint8_t>(text.size()));
  out += text;
}

template <typename T>
void PutArray(std::string& out, const std::vector<T>& values) {
  out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

// The columns of a row, then the values of all rows.
void PutFloats(std::string& out, const std::vector<float>& values, std::size_t rows) {
  PutNumber(out, static_cast<std::uint32_t>(values.size() / rows));
  PutArray(out, values);
}

void PutBatch(std::string& out, const RowBatch& batch) {
  PutNumber(out, batch.first_n);
  PutNumber(out, batch.event_time_us);
  PutNumber(out, batch.mono_us);
  PutNumber(out, batch.infer_us);
  PutNumber(out, static_cast<std::uint8_t>(batch.clock));
  PutShort(out, batch.role);
  PutNumber(out, static_cast<std::uint32_t>(batch.rows));
  for (const std::vector<float>* values :
       {&batch.features, &batch.windows, &batch.inputs, &batch.score, &batch.probabilities,
        &batch.anomaly_score})
    PutFloats(out, *values, batch.rows);
  PutNumber(out, static_cast<std::uint8_t>(batch.prediction.empty() ? 0 : 1));
  PutArray(out, batch.prediction);
  PutNumber(out, static_cast<std::uint32_t>(batch.texts.size()));
  for (const std::vector<std::string>& column : batch.texts)
    for (const std::string& text : column) {
      PutNumber(out, static_cast<std::uint32_t>(text.size()));
      out += text;
    }
  for (std::size_t row = 0; row < batch.rows; ++row) {
    static const std::vector<std::uint16_t> kNone;
    const auto& outside = row < batch.out_of_range.size() ? batch.out_of_range[row] : kNone;
    PutNumber(out, static_cast<std::uint16_t>(outside.size()));
    PutArray(out, outside);
  }
}

tl::unexpected<Error> Broken(std::string_view what) {
  return Fail(ErrorCode::kInvalidArgument, "the message is broken: {}", what);
}

// Reads front to back; what is not there is an error of the whole message, kept until asked for.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  std::string_view Bytes(std::size_t size) {
    if (size > rest_.size()) {
      short_ = true;
      rest_ = {};
      return {};
    }
    const std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }
  template <typename T>
  T Number() {
    T value{};
    if (const std::string_view bytes = Bytes(sizeof value); !bytes.empty())
      std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  std::string_view Short() { return Bytes(Number<std::uint8_t>()); }
  template <typename T>
  std::vector<T> Array(std::uint64_t size) {
    if (size > rest_.size() / sizeof(T)) {
      short_ = true;
      rest_ = {};
      return {};
    }
    std::vector<T> values(size);
    const std::string_view bytes = Bytes(size * sizeof(T));
    if (size > 0) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  std::size_t left() const { return rest_.size(); }
  Status Whole() const { return short_ ? Status(Broken("it ends early")) : Status(); }

 private:
  std::string_view rest_;
  bool short_ = false;
};

// What a scored batch of a package has.
class BatchShape {
 public:
  explicit BatchShape(const ModelPackage& package)
      : package_(&package), features_(package.schema.features()) {
    const ModelSchema& schema = package.schema;
    texts_ = schema.texts().size();
    inputs_ = schema.input_names().size();
    windows_ = inputs_ - features_.size() - schema.derived.size();
  }

  Status Read(ByteReader& in, RowBatch& batch) const {
    const ModelSchema& schema = package_->schema;
    const bool scored = schema.task != ModelTask::kAnomaly;
    const std::size_t many = schema.task == ModelTask::kMulticlass ? schema.classes.size() : 0;
    SKERRY_RETURN_IF_ERROR(
        ReadFloats(in, batch.rows, features_.size(), features_.size(), "features", batch.features));
    SKERRY_RETURN_IF_ERROR(ReadFloats(in, batch.rows, 0, windows_, "windows", batch.windows));
    SKERRY_RETURN_IF_ERROR(ReadFloats(in, batch.rows, 0, inputs_, "inputs", batch.inputs));
    SKERRY_RETURN_IF_ERROR(
        ReadFloats(in, batch.rows, scored ? 1 : 0, scored ? 1 : 0, "score", batch.score));
    SKERRY_RETURN_IF_ERROR(
        ReadFloats(in, batch.rows, many, many, "probabilities", batch.probabilities));
    SKERRY_RETURN_IF_ERROR(ReadFloats(in, batch.rows, 0, 1, "anomaly_score", batch.anomaly_score));
    SKERRY_RETURN_IF_ERROR(CheckCategories(batch));
    SKERRY_RETURN_IF_ERROR(ReadPredictions(in, batch));
    SKERRY_RETURN_IF_ERROR(ReadTexts(in, batch));
    return ReadOutOfRange(in, batch);
  }

 private:
  static Status ReadFloats(ByteReader& in, std::size_t rows, std::size_t least, std::size_t most,
                           std::string_view what, std::vector<float>& values) {
    const std::uint64_t columns = in.Number<std::uint32_t>();
    if (columns != least && columns != most)
      return Fail(ErrorCode::kInvalidArgument, "{} has {} columns, the package has {}", what,
                  columns, most);
    values = in.Array<float>(rows * columns);
    return in.Whole();
  }

  Status CheckCategories(const RowBatch& batch) const {
    for (std::size_t column = 0; column < features_.size(); ++column) {
      if (features_[column]->type != FieldType::kCategory) continue;
      const auto last = static_cast<float>(features_[column]->categories.size());
      for (std::size_t row = 0; row < batch.rows; ++row) {
        const float code = batch.features[row * features_.size() + column];
        if (!std::isnan(code) && !(code >= 0 && code <= last && code == std::floor(code)))
          return Fail(ErrorCode::kInvalidArgument, "{} has the code {}, the last one is {}",
                      features_[column]->name, code, last);
      }
    }
    return {};
  }

  Status ReadPredictions(ByteReader& in, RowBatch& batch) const {
    const std::size_t classes = package_->schema.classes.size();
    const auto there = in.Number<std::uint8_t>();
    if (there != (classes > 0 ? 1 : 0)) return Broken("predictions do not fit the task");
    batch.prediction = in.Array<std::uint8_t>(there == 0 ? 0 : batch.rows);
    if (std::ranges::any_of(batch.prediction, [&](std::uint8_t c) { return c >= classes; }))
      return Broken("a prediction is none of the classes");
    return in.Whole();
  }

  Status ReadTexts(ByteReader& in, RowBatch& batch) const {
    if (in.Number<std::uint32_t>() != texts_) return Broken("texts do not fit the schema");
    batch.texts.resize(texts_);
    for (std::vector<std::string>& column : batch.texts) {
      column.reserve(batch.rows);
      for (std::size_t row = 0; row < batch.rows; ++row) {
        column.emplace_back(in.Bytes(in.Number<std::uint32_t>()));
        SKERRY_RETURN_IF_ERROR(in.Whole());
      }
    }
    return {};
  }

  Status ReadOutOfRange(ByteReader& in, RowBatch& batch) const {
    batch.out_of_range.resize(batch.rows);
    for (std::vector<std::uint16_t>& outside : batch.out_of_range) {
      outside = in.Array<std::uint16_t>(in.Number<std::uint16_t>());
      SKERRY_RETURN_IF_ERROR(in.Whole());
      if (std::ranges::any_of(outside, [&](std::uint16_t f) { return f >= features_.size(); }))
        return Broken("a feature out of range is none of the schema");
    }
    return {};
  }

  const ModelPackage* package_;
  std::vector<const Field*> features_;
  std::size_t texts_ = 0, inputs_ = 0, windows_ = 0;
};

Status ReadHead(ByteReader& in, std::int64_t sent_mono_us, std::int64_t now_mono_us,
                RowBatch& batch) {
  batch.first_n = in.Number<std::uint64_t>();
  batch.event_time_us = in.Number<std::int64_t>();
  const auto mono_us = in.Number<std::int64_t>();
  batch.infer_us = in.Number<std::int64_t>();
  const auto clock = in.Number<std::uint8_t>();
  batch.role = std::string(in.Short());
  batch.rows = in.Number<std::uint32_t>();
  SKERRY_RETURN_IF_ERROR(in.Whole());
  // Each row has a byte at least, so that a number alone reserves no memory.
  if (batch.rows == 0 || batch.rows > std::min(in.left(), limits::kHandOverRowsMost))
    return Broken("rows");
  if (batch.first_n == 0 || batch.first_n > (std::uint64_t{1} << 62U)) return Broken("row numbers");
  if (batch.event_time_us < 0 || batch.event_time_us > kLastTimeUs) return Broken("event time");
  if (mono_us < 0 || mono_us > sent_mono_us) return Broken("monotonic time");
  if (clock > static_cast<std::uint8_t>(ClockQuality::kSynced)) return Broken("clock");
  if (batch.role != "active" && batch.role != "shadow" && batch.role != "canary")
    return Broken("role");
  batch.clock = static_cast<ClockQuality>(clock);
  batch.mono_us = now_mono_us - (sent_mono_us - mono_us);
  return {};
}

Status ReadBatches(ByteReader& in, HandOverMessage& message, const PackageFinder& find,
                   std::int64_t sent_mono_us, std::int64_t now_mono_us) {
  const auto batches = in.Number<std::uint32_t>();
  SKERRY_RETURN_IF_ERROR(in.Whole());
  if (batches == 0) return {};
  if (!message.package || message.abandoned) return Broken("rows without a package");
  SKERRY_ASSIGN_OR_RETURN(const auto package, find(*message.package));
  const BatchShape shape(*package);
  for (std::uint32_t i = 0; i < batches; ++i) {
    auto batch = std::make_shared<RowBatch>();
    batch->package = package;
    batch->instance = message.scorer;
    SKERRY_RETURN_IF_ERROR(ReadHead(in, sent_mono_us, now_mono_us, *batch));
    SKERRY_RETURN_IF_ERROR(shape.Read(in, *batch));
    message.batches.push_back(std::move(batch));
  }
  return {};
}

}  // namespace

std::string EncodeHandOver(const HandOverMessage& message, std::int64_t mono_us) {
  std::string out(kMagic);
  out += kVersion;
  const auto& scorer = message.scorer.bytes();
  out.append(reinterpret_cast<const char*>(scorer.data()), scorer.size());
  PutNumber(out, message.number);
  PutNumber(out, static_cast<std::uint8_t>(message.abandoned ? 1 : 0));
  PutNumber(out, message.lost_rows);
  PutNumber(out, mono_us);
  PutShort(out, message.package ? message.package->ToString() : "");
  PutNumber(out, static_cast<std::uint32_t>(message.batches.size()));
  for (const auto& batch : message.batches) PutBatch(out, *batch);
  return out;
}

Result<HandOverMessage> DecodeHandOver(std::string_view bytes, const PackageFinder& find,
                                       const Clock& clock) {
  ByteReader in(bytes);
  if (in.Bytes(kMagic.size()) != kMagic) return Broken("it does not begin with SKH");
  if (const char version = in.Number<char>(); version != kVersion)
    return Fail(ErrorCode::kUnimplemented,
                "the message has version {}, this site reads {}: scorer and site have to be of one "
                "release",
                static_cast<int>(version), static_cast<int>(kVersion));
  HandOverMessage message;
  SKERRY_ASSIGN_OR_RETURN(message.scorer,
                          InstanceId::Parse(EncodeHex(in.Bytes(message.scorer.bytes().size()))),
                          "scorer");
  message.number = in.Number<std::uint64_t>();
  message.abandoned = in.Number<std::uint8_t>() != 0;
  message.lost_rows = in.Number<std::uint64_t>();
  const auto sent_mono_us = in.Number<std::int64_t>();
  const std::string_view digest = in.Short();
  SKERRY_RETURN_IF_ERROR(in.Whole());
  if (!digest.empty()) {
    SKERRY_ASSIGN_OR_RETURN(message.package, Digest::Parse(digest), "package");
  }
  if (message.scorer.is_none() || message.number == 0 || message.number >> 62U != 0 ||
      message.lost_rows >> 62U != 0)
    return Broken("scorer or number");
  SKERRY_RETURN_IF_ERROR(ReadBatches(in, message, find, sent_mono_us, clock.MonotonicMicros()));
  if (in.left() != 0) return Broken("something stands behind its end");
  return message;
}

}  // namespace skerry
