#include "serve/scored_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <set>
#include <utility>

#include "serve/csv.h"
#include "serve/json_text.h"
#include "tabular/engine.h"

namespace skerry {
namespace {

constexpr std::size_t kPartRows = 65'536;

std::string_view PredictionOf(const RowBatch& batch, std::size_t row) {
  return batch.package->schema.classes[batch.prediction[row]];
}

// Of a column of numbers; none: there is no detector.
std::optional<float> NumberOf(const ScoredColumn& column, const RowBatch& batch, std::size_t row) {
  if (column.kind == ScoredKind::kScore) return batch.score[row];
  if (column.kind == ScoredKind::kProbability)
    return batch.probabilities[row * batch.package->schema.classes.size() + column.which];
  if (batch.anomaly_score.empty()) return std::nullopt;
  return batch.anomaly_score[row];
}

ColumnType TypeOf(const ScoredColumn& column) {
  if (column.kind == ScoredKind::kPrediction) return ColumnType::kText;
  return column.kind == ScoredKind::kAnomaly ? ColumnType::kBool : ColumnType::kDouble;
}

class CsvOutput final : public ScoredOutput {
 public:
  explicit CsvOutput(const ScoredOutputOptions& options)
      : path_(options.directory / "scored"),
        scored_(options.scored),
        stream_(path_, std::ios::binary | std::ios::trunc) {
    for (const std::string& column : options.columns) AppendCell(head_, column);
    for (const ScoredColumn& column : scored_) AppendCell(head_, column.name);
    head_.back() = '\n';
  }

  RenderedRows Render(const FileRows& block) const override {
    RenderedRows rendered;
    std::string& text = rendered.text;
    const RowBatch& batch = block.batch;
    for (std::size_t row = 0; row < batch.rows; ++row) {
      for (const std::string& field : block.records[row]) AppendCell(text, field);
      for (const ScoredColumn& column : scored_) AppendScored(text, column, batch, row);
      text.back() = '\n';
    }
    return rendered;
  }

  Status Write(RenderedRows rendered) override {
    if (!head_.empty()) stream_ << std::exchange(head_, {});
    stream_ << rendered.text;
    return Check();
  }

  Result<std::filesystem::path> Finish() override {
    stream_.close();
    SKERRY_RETURN_IF_ERROR(Check());
    return path_;
  }

 private:
  static void AppendScored(std::string& text, const ScoredColumn& column, const RowBatch& batch,
                           std::size_t row) {
    if (column.kind == ScoredKind::kPrediction) return AppendCell(text, PredictionOf(batch, row));
    if (column.kind == ScoredKind::kAnomaly)
      return AppendCell(text, batch.IsAnomaly(row) ? "true" : "false");
    if (const auto number = NumberOf(column, batch, row)) AppendJsonNumber(text, *number);
    text += ',';
  }
  static void AppendCell(std::string& text, std::string_view cell) {
    AppendCsvField(text, cell);
    text += ',';
  }
  Status Check() const {
    if (stream_) return {};
    return Fail(ErrorCode::kResourceExhausted,
                "the scored file cannot be written: is there room and permission?");
  }

  std::filesystem::path path_;
  std::vector<ScoredColumn> scored_;
  std::ofstream stream_;
  std::string head_;
};

// Through Parquet files of some rows each, since DuckDB writes a table at once: at the end they are
// copied together. Columns that were in Parquet are not carried along, but read again then: they
// keep their types.
class PartedOutput final : public ScoredOutput {
 public:
  PartedOutput(ScoredOutputOptions options, std::unique_ptr<TabularEngine> engine)
      : options_(std::move(options)), engine_(std::move(engine)) {
    if (!IsParquet(options_.in)) carried_ = options_.columns;
  }

  RenderedRows Render(const FileRows& block) const override {
    RenderedRows rendered;
    Table& table = rendered.table;
    table = EmptyPart();
    for (std::size_t i = 0; i < carried_.size(); ++i)
      for (const std::vector<std::string>& record : block.records)
        record[i].empty() ? table.columns[i].AppendNull() : table.columns[i].AppendText(record[i]);
    const RowBatch& batch = block.batch;
    for (std::size_t i = 0; i < options_.scored.size(); ++i)
      for (std::size_t row = 0; row < batch.rows; ++row)
        AppendScored(options_.scored[i], batch, row, table.columns[carried_.size() + i]);
    return rendered;
  }

  Status Write(RenderedRows rendered) override {
    if (part_.columns.empty()) part_ = EmptyPart();
    for (std::size_t i = 0; i < part_.columns.size(); ++i)
      for (std::size_t row = 0; row < rendered.table.rows(); ++row)
        part_.columns[i].AppendFrom(rendered.table.columns[i], row);
    return part_.rows() < kPartRows ? Status() : WritePart();
  }

  Result<std::filesystem::path> Finish() override {
    SKERRY_RETURN_IF_ERROR(WritePart());
    std::string parts;
    for (std::size_t i = 0; i < parts_; ++i)
      parts += (i == 0 ? "" : ", ") + QuoteLiteral(PartPath(i).string());
    const std::string scores = fmt::format("read_parquet([{}]) AS scored", parts);
    const std::string from = carried_.empty()
                                 ? fmt::format("read_parquet({}) AS given POSITIONAL JOIN {}",
                                               QuoteLiteral(options_.in.string()), scores)
                                 : scores;
    std::string kept;
    for (const std::string& column : options_.columns)
      kept +=
          fmt::format("{}.{}, ", carried_.empty() ? "given" : "scored", QuoteIdentifier(column));
    for (const ScoredColumn& column : options_.scored) {
      const std::string name = QuoteIdentifier(column.name);
      const bool number = TypeOf(column) == ColumnType::kDouble;
      kept += fmt::format("scored.{}{} AS {}, ", name, number ? "::FLOAT" : "", name);
    }
    kept.resize(kept.size() - 2);
    const std::filesystem::path path = options_.directory / "scored";
    SKERRY_RETURN_IF_ERROR(engine_->Execute(
        fmt::format("COPY (SELECT {} FROM {}) TO {} ({})", kept, from, QuoteLiteral(path.string()),
                    options_.parquet ? "FORMAT parquet, COMPRESSION zstd" : "FORMAT csv, HEADER")));
    return path;
  }

 private:
  static void AppendScored(const ScoredColumn& column, const RowBatch& batch, std::size_t row,
                           Column& out) {
    if (column.kind == ScoredKind::kPrediction)
      return out.AppendText(std::string(PredictionOf(batch, row)));
    if (column.kind == ScoredKind::kAnomaly) return out.AppendInt(batch.IsAnomaly(row) ? 1 : 0);
    if (const auto number = NumberOf(column, batch, row))
      out.AppendDouble(*number);
    else
      out.AppendNull();
  }
  Table EmptyPart() const {
    Table table;
    for (const std::string& column : carried_)
      table.columns.push_back({.name = column, .type = ColumnType::kText});
    for (const ScoredColumn& column : options_.scored)
      table.columns.push_back({.name = column.name, .type = TypeOf(column)});
    return table;
  }
  std::filesystem::path PartPath(std::size_t part) const {
    return options_.directory / fmt::format("part-{}.parquet", part);
  }
  Status WritePart() {
    if (part_.rows() == 0) return {};
    SKERRY_RETURN_IF_ERROR(engine_->WriteParquet(part_, PartPath(parts_)));
    ++parts_;
    part_ = EmptyPart();
    return {};
  }

  ScoredOutputOptions options_;
  std::unique_ptr<TabularEngine> engine_;
  std::vector<std::string> carried_;
  Table part_;
  std::size_t parts_ = 0;
};

// A table of SQL has no two names that differ in case alone.
Status CheckDistinct(std::vector<std::string> columns) {
  for (std::string& column : columns)
    std::transform(column.begin(), column.end(), column.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
  std::sort(columns.begin(), columns.end());
  const auto twice = std::adjacent_find(columns.begin(), columns.end());
  if (twice == columns.end()) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "the file has two columns named \"{}\", which Parquet cannot: rename one", *twice);
}

}  // namespace

std::vector<ScoredColumn> ScoredColumnsOf(const ModelSchema& schema) {
  if (schema.task == ModelTask::kAnomaly)
    return {{"anomaly_score", ScoredKind::kAnomalyScore}, {"anomaly", ScoredKind::kAnomaly}};
  if (schema.task == ModelTask::kRegression)
    return {{"value", ScoredKind::kScore}, {"anomaly_score", ScoredKind::kAnomalyScore}};
  std::vector<ScoredColumn> columns = {{"prediction", ScoredKind::kPrediction},
                                       {"score", ScoredKind::kScore},
                                       {"anomaly_score", ScoredKind::kAnomalyScore}};
  if (schema.task == ModelTask::kMulticlass)
    for (std::size_t i = 0; i < schema.classes.size(); ++i)
      columns.push_back({"probability_" + schema.classes[i], ScoredKind::kProbability, i});
  return columns;
}

Result<std::unique_ptr<ScoredOutput>> OpenScoredOutput(const ScoredOutputOptions& options) {
  if (!options.parquet && !IsParquet(options.in)) return std::make_unique<CsvOutput>(options);
  std::vector<std::string> columns = options.columns;
  for (const ScoredColumn& column : options.scored) columns.push_back(column.name);
  SKERRY_RETURN_IF_ERROR(CheckDistinct(std::move(columns)));
  SKERRY_ASSIGN_OR_RETURN(auto engine,
                          TabularEngine::Open({.memory_limit = "512MiB",
                                               .threads = options.threads,
                                               .temp_directory = options.directory.string()}));
  return std::make_unique<PartedOutput>(options, std::move(engine));
}

}  // namespace skerry
