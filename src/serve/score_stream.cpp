#include "serve/score_stream.h"

#include <future>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "insight/contributions.h"
#include "serve/answers.h"
#include "serve/batch_builder.h"
#include "serve/csv.h"

namespace skerry {
namespace {

constexpr std::size_t kReadBytes = 64U << 10U;

// Lines of a source, without their line feeds; blank ones are skipped.
class LineReader {
 public:
  explicit LineReader(CsvReader::Source source)
      : source_(std::move(source)), buffer_(kReadBytes, '\0') {}

  Result<bool> Next(std::string& line) {
    line.clear();
    for (;;) {
      if (rest_.empty()) {
        SKERRY_ASSIGN_OR_RETURN(const std::size_t got, source_(buffer_.data(), buffer_.size()));
        rest_ = std::string_view(buffer_.data(), got);
        if (got == 0) {
          ++number_;
          return IsFilled(line);
        }
      }
      const std::size_t end = rest_.find('\n');
      line += rest_.substr(0, end);
      rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
      if (end == std::string_view::npos) continue;
      ++number_;
      if (IsFilled(line)) return true;
      line.clear();
    }
  }
  // Of the line that Next gave, from 1 on.
  std::uint64_t number() const { return number_; }

 private:
  static bool IsFilled(const std::string& line) {
    return line.find_first_not_of(" \t\r") != std::string::npos;
  }

  CsvReader::Source source_;
  std::string buffer_;
  std::string_view rest_;
  std::uint64_t number_ = 0;
};

}  // namespace

ScoreStream::ScoreStream(const ScoringParts& parts, RowAnswer answer, bool explain)
    : parts_(parts), answer_(std::move(answer)), explain_(explain) {
  answer_.answered.shared_run = true;  // the chunks' runs are counted as they are made
  StartBatch();
}

void ScoreStream::StartBatch() {
  batch_ = std::make_shared<RowBatch>();
  batch_->package = answer_.model->package;
}

void ScoreStream::Run(BodyReader& body, RowFormat format) {
  Status status = format == RowFormat::kCsv ? ReadCsv(body) : ReadNdjson(body);
  // What came before the row that was refused is answered; after an error of Flush itself there is
  // nothing left to be.
  if (Status flushed = Flush(); status && !flushed) status = std::move(flushed);
  if (status && answer_.answered.rows == 0)
    status = Fail(ErrorCode::kInvalidArgument, "expected at least one row, got none");
  End(status);
}

Result<std::size_t> ScoreStream::ReadMore(BodyReader& body, char* out, std::size_t size) {
  SKERRY_RETURN_IF_ERROR(Flush());
  if (row_bytes_ > limits::kStreamedRowBytes)
    return Fail(ErrorCode::kTooLarge, "a row of more than {} bytes (kStreamedRowBytes)",
                limits::kStreamedRowBytes);
  SKERRY_ASSIGN_OR_RETURN(const std::size_t got, body.Read(out, size));
  row_bytes_ += got;
  return got;
}

Status ScoreStream::NoteRow(Status appended) {
  if (!appended) {
    DropPartRow(*batch_);
    return appended;
  }
  row_bytes_ = 0;
  return batch_->rows < limits::kStreamedChunkRows ? Status() : Flush();
}

Status ScoreStream::ReadCsv(BodyReader& body) {
  CsvReader reader([&](char* out, std::size_t size) { return ReadMore(body, out, size); });
  std::vector<std::string> fields;
  SKERRY_ASSIGN_OR_RETURN(const bool has_header, reader.Next(fields));
  if (!has_header)
    return Fail(ErrorCode::kInvalidArgument, "the CSV is empty: expected a header row");
  SKERRY_ASSIGN_OR_RETURN(const CsvColumns columns,
                          MapCsvColumns(answer_.model->package->schema, fields));
  row_bytes_ = 0;
  for (;;) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, reader.Next(fields));
    if (!more) return {};
    SKERRY_RETURN_IF_ERROR(NoteRow(AppendCsvRow(columns, fields, reader.line(), *batch_)));
  }
}

Status ScoreStream::ReadNdjson(BodyReader& body) {
  LineReader reader([&](char* out, std::size_t size) { return ReadMore(body, out, size); });
  NamedRowAppender rows(*answer_.model->package);
  std::string line;
  for (;;) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, reader.Next(line));
    if (!more) return {};
    SKERRY_RETURN_IF_ERROR(NoteRow(rows.Append(line, reader.number(), *batch_)));
  }
}

// Scores, keeps and answers the rows that came so far.
Status ScoreStream::Flush() {
  if (batch_->rows == 0) return {};
  const std::shared_ptr<RowBatch> batch = std::exchange(batch_, nullptr);
  StartBatch();
  if (explain_) SKERRY_RETURN_IF_ERROR(CheckExplained(*batch->package));
  SKERRY_RETURN_IF_ERROR(ScoreAndNumber(parts_, *answer_.model, *batch));
  std::optional<Contributions> explained;
  if (explain_) {
    SKERRY_ASSIGN_OR_RETURN(explained, ExplainRows(*batch));
  }
  AnsweredRequest& answered = answer_.answered;
  answered.times.infer_us += batch->infer_us;
  answered.utc_us = batch->event_time_us;
  if (answer_.model->statistics)
    answer_.model->statistics->CountRun(batch->rows, {.infer_us = batch->infer_us});
  std::string lines = ScoreLines(*batch, explained ? &*explained : nullptr);
  SKERRY_RETURN_IF_ERROR(Keep(batch));
  if (!std::exchange(started_, true))
    answer_.responder.Start(HttpResponse::Text(200, "", "application/x-ndjson"));
  SKERRY_RETURN_IF_ERROR(answer_.responder.Write(std::move(lines)));
  answered.rows += batch->rows;
  return {};
}

Status ScoreStream::Keep(const std::shared_ptr<const RowBatch>& batch) {
  if (!WantsCapture(parts_, *answer_.model, batch.get())) return {};
  if (answer_.model->capture == CaptureMode::kAsync) {
    CaptureUnwaited(parts_, *answer_.model, batch);
    return {};
  }
  // Shared with the sink's thread, which may still be in set_value when this one goes on.
  auto kept = std::make_shared<std::promise<Status>>();
  CaptureRows(parts_, answer_.model, batch,
              [kept](const Status& status) { kept->set_value(status); });
  Status durable = kept->get_future().get();
  return answer_.model->capture == CaptureMode::kTry ? Status() : durable;
}

void ScoreStream::End(const Status& status) {
  if (!started_) return answer_.Send(status);
  AnsweredRequest& answered = answer_.answered;
  answered.total_us = answer_.clock->MonotonicMicros() - answer_.started_us;
  CountAnswer(*answer_.model, status, answered);
  // Where the peer is gone there is nobody to tell, and the Responder's end closes the connection.
  if (!status && !answer_.responder.Write(ScoreErrorLine(status.error(), answered.rows + 1)))
    return;
  answer_.responder.Finish();
}

}  // namespace skerry
