#include "serve/score_file.h"

#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "model/scorer.h"
#include "serve/batch_builder.h"
#include "serve/csv.h"
#include "serve/json_text.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr std::size_t kBatchRows = 1024;

// A temporary beside the target, removed unless it was published.
class PendingFile {
 public:
  explicit PendingFile(const std::filesystem::path& target)
      : target_(target),
        path_(target.parent_path() /
              fmt::format(".{}.{}.tmp", target.filename().string(), RandomHex(8))),
        stream_(path_, std::ios::binary | std::ios::trunc) {}
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;
  ~PendingFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  Status Write(std::string_view bytes) {
    stream_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (stream_) return {};
    return Fail(ErrorCode::kResourceExhausted,
                "{} cannot be written: is there room and permission?", target_.string());
  }
  Status Publish() {
    stream_.close();
    if (!stream_)
      return Fail(ErrorCode::kResourceExhausted, "{} cannot be written", target_.string());
    return PublishFileDurably(path_, target_);
  }

 private:
  std::filesystem::path target_;
  std::filesystem::path path_;
  std::ofstream stream_;
};

class FileScorer {
 public:
  FileScorer(std::shared_ptr<const ModelPackage> package, PendingFile& out) : out_(out) {
    batch_.package = std::move(package);
  }

  Status TakeHeader(const std::vector<std::string>& header) {
    SKERRY_ASSIGN_OR_RETURN(columns_, MapCsvColumns(batch_.package->schema, header));
    AppendRecord(header, {"prediction", "score", "anomaly_score"});
    return out_.Write(std::exchange(text_, {}));
  }

  Status TakeRow(const std::vector<std::string>& fields, std::uint64_t line) {
    SKERRY_RETURN_IF_ERROR(AppendCsvRow(columns_, fields, line, batch_));
    records_.push_back(fields);
    return batch_.rows < kBatchRows ? Status() : Flush();
  }

  Status Flush() {
    if (batch_.rows == 0) return {};
    SKERRY_RETURN_IF_ERROR(ScoreRows(batch_));
    for (std::size_t row = 0; row < batch_.rows; ++row) {
      std::string score;
      std::string anomaly;
      AppendJsonNumber(score, batch_.score[row]);
      if (!batch_.anomaly_score.empty()) AppendJsonNumber(anomaly, batch_.anomaly_score[row]);
      AppendRecord(records_[row],
                   {batch_.package->schema.classes[batch_.prediction[row]], score, anomaly});
      report_.positives += batch_.prediction[row];
      report_.anomalies += batch_.IsAnomaly(row) ? 1 : 0;
    }
    report_.rows += batch_.rows;
    records_.clear();
    batch_.rows = 0;
    batch_.features.clear();
    for (auto& texts : batch_.texts) texts.clear();
    return out_.Write(std::exchange(text_, {}));
  }

  const ScoreFileReport& report() const { return report_; }

 private:
  void AppendRecord(const std::vector<std::string>& fields, const std::vector<std::string>& more) {
    for (const std::string& field : fields) {
      AppendCsvField(text_, field);
      text_ += ',';
    }
    for (const std::string& field : more) {
      AppendCsvField(text_, field);
      text_ += ',';
    }
    text_.back() = '\n';
  }

  PendingFile& out_;
  CsvColumns columns_;
  RowBatch batch_;
  std::vector<std::vector<std::string>> records_;
  std::string text_;
  ScoreFileReport report_;
};

CsvReader::Source FileSource(std::shared_ptr<std::ifstream> stream, std::string name) {
  return [stream = std::move(stream), name = std::move(name)](
             char* out, std::size_t size) -> Result<std::size_t> {
    stream->read(out, static_cast<std::streamsize>(size));
    if (stream->bad()) return Fail(ErrorCode::kDataLoss, "{} cannot be read", name);
    return static_cast<std::size_t>(stream->gcount());
  };
}

Status ScoreRecords(CsvReader& reader, FileScorer& scorer,
                    const std::function<void(std::uint64_t)>& progress) {
  std::vector<std::string> fields;
  SKERRY_ASSIGN_OR_RETURN(const bool has_header, reader.Next(fields));
  if (!has_header)
    return Fail(ErrorCode::kInvalidArgument, "the file is empty: expected a CSV header");
  SKERRY_RETURN_IF_ERROR(scorer.TakeHeader(fields));
  std::uint64_t told = 0;
  for (;;) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, reader.Next(fields));
    if (!more) break;
    SKERRY_RETURN_IF_ERROR(scorer.TakeRow(fields, reader.line()));
    if (progress && scorer.report().rows != told) progress(told = scorer.report().rows);
  }
  SKERRY_RETURN_IF_ERROR(scorer.Flush());
  if (scorer.report().rows == 0)
    return Fail(ErrorCode::kInvalidArgument, "the file has a header but no rows");
  return {};
}

}  // namespace

Result<ScoreFileReport> ScoreFile(const std::filesystem::path& in,
                                  std::shared_ptr<const ModelPackage> package,
                                  const std::filesystem::path& out,
                                  const std::function<void(std::uint64_t)>& progress) {
  const auto started = std::chrono::steady_clock::now();
  if (package->bare)
    return Fail(ErrorCode::kFailedPrecondition,
                "model {} is a bare ONNX file without a schema: a CSV needs a model package",
                package->name);
  auto stream = std::make_shared<std::ifstream>(in, std::ios::binary);
  if (!*stream) return Fail(ErrorCode::kNotFound, "{} cannot be opened", in.string());
  CsvReader reader(FileSource(std::move(stream), in.string()));
  PendingFile pending(out);
  FileScorer scorer(std::move(package), pending);
  SKERRY_RETURN_IF_ERROR(ScoreRecords(reader, scorer, progress), in.string());
  SKERRY_RETURN_IF_ERROR(pending.Publish());
  ScoreFileReport report = scorer.report();
  report.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return report;
}

}  // namespace skerry
