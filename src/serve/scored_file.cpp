#include "serve/scored_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <utility>

#include "serve/csv.h"
#include "serve/json_text.h"
#include "tabular/engine.h"

namespace skerry {
namespace {

constexpr std::size_t kPartRows = 65'536;

// What the three columns hold of one row.
std::string_view PredictionOf(const RowBatch& batch, std::size_t row) {
  return batch.package->schema.classes[batch.prediction[row]];
}

class CsvOutput final : public ScoredOutput {
 public:
  CsvOutput(std::filesystem::path path, const std::vector<std::string>& columns)
      : path_(std::move(path)), stream_(path_, std::ios::binary | std::ios::trunc) {
    for (const std::string& column : columns) AppendCell(head_, column);
    for (const std::string_view column : kScoredColumns) AppendCell(head_, column);
    head_.back() = '\n';
  }

  RenderedRows Render(const FileRows& block) const override {
    RenderedRows rendered;
    std::string& text = rendered.text;
    const RowBatch& batch = block.batch;
    for (std::size_t row = 0; row < batch.rows; ++row) {
      for (const std::string& field : block.records[row]) AppendCell(text, field);
      AppendCell(text, PredictionOf(batch, row));
      AppendJsonNumber(text, batch.score[row]);
      text += ',';
      if (!batch.anomaly_score.empty()) AppendJsonNumber(text, batch.anomaly_score[row]);
      text += '\n';
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
    Column* added = table.columns.data() + carried_.size();
    for (std::size_t row = 0; row < batch.rows; ++row) {
      added[0].AppendText(std::string(PredictionOf(batch, row)));
      added[1].AppendDouble(batch.score[row]);
      if (batch.anomaly_score.empty())
        added[2].AppendNull();
      else
        added[2].AppendDouble(batch.anomaly_score[row]);
    }
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
    const std::filesystem::path path = options_.directory / "scored";
    SKERRY_RETURN_IF_ERROR(engine_->Execute(
        fmt::format("COPY (SELECT {}scored.prediction, scored.score::FLOAT AS score, "
                    "scored.anomaly_score::FLOAT AS anomaly_score FROM {}) TO {} ({})",
                    kept, from, QuoteLiteral(path.string()),
                    options_.parquet ? "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd"
                                     : "FORMAT csv, HEADER")));
    return path;
  }

 private:
  Table EmptyPart() const {
    Table table;
    for (const std::string& column : carried_)
      table.columns.push_back({.name = column, .type = ColumnType::kText});
    table.columns.push_back({.name = "prediction", .type = ColumnType::kText});
    table.columns.push_back({.name = "score", .type = ColumnType::kDouble});
    table.columns.push_back({.name = "anomaly_score", .type = ColumnType::kDouble});
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

Result<std::unique_ptr<ScoredOutput>> OpenScoredOutput(const ScoredOutputOptions& options) {
  if (!options.parquet && !IsParquet(options.in))
    return std::make_unique<CsvOutput>(options.directory / "scored", options.columns);
  SKERRY_RETURN_IF_ERROR(CheckDistinct(options.columns));
  SKERRY_ASSIGN_OR_RETURN(auto engine,
                          TabularEngine::Open({.memory_limit = "512MiB",
                                               .threads = options.threads,
                                               .temp_directory = options.directory.string()}));
  return std::make_unique<PartedOutput>(options, std::move(engine));
}

}  // namespace skerry
