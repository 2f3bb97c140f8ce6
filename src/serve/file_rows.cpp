#include "serve/file_rows.h"

#include <fstream>
#include <utility>

#include "http/message.h"
#include "model/window_state.h"
#include "serve/batch_builder.h"
#include "serve/csv.h"
#include "serve/scored_file.h"
#include "tabular/engine.h"

namespace skerry {
namespace {

constexpr std::size_t kBlockRows = 4'096;
constexpr std::size_t kBlockBytes = 4U << 20U;  // of the records of CSV

Status CheckColumns(const std::vector<std::string>& columns, const ModelSchema& schema) {
  const std::vector<ScoredColumn> scored = ScoredColumnsOf(schema);
  for (const std::string& column : columns)
    for (const ScoredColumn& added : scored)
      if (EqualIgnoringCase(column, added.name))
        return Fail(ErrorCode::kInvalidArgument,
                    "the file has a column \"{}\" already, which scoring would add: rename it or "
                    "leave it out",
                    column);
  return {};
}

class CsvInput final : public RowInput {
 public:
  CsvInput(std::shared_ptr<const ModelPackage> package, std::ifstream stream, double file_bytes)
      : package_(std::move(package)),
        stream_(std::move(stream)),
        file_bytes_(file_bytes),
        reader_([this](char* out, std::size_t size) { return Read(out, size); }) {}

  Status ReadHeader() {
    SKERRY_ASSIGN_OR_RETURN(const bool has_header, reader_.Next(columns_));
    if (!has_header)
      return Fail(ErrorCode::kInvalidArgument, "the file is empty: expected a CSV header");
    SKERRY_ASSIGN_OR_RETURN(fields_, MapCsvColumns(package_->schema, columns_));
    return CheckColumns(columns_, package_->schema);
  }

  Result<bool> Next(FileRows& block) override {
    block.batch.package = package_;
    std::size_t bytes = 0;
    while (block.batch.rows < kBlockRows && bytes < kBlockBytes) {
      std::vector<std::string> record;
      SKERRY_ASSIGN_OR_RETURN(const bool more, reader_.Next(record));
      if (!more) break;
      SKERRY_RETURN_IF_ERROR(AppendCsvRow(fields_, record, reader_.line(), block.batch));
      for (const std::string& field : record) bytes += field.size();
      block.records.push_back(std::move(record));
    }
    return block.batch.rows > 0;
  }
  double share() const override { return file_bytes_ == 0 ? 1 : read_bytes_ / file_bytes_; }

 private:
  Result<std::size_t> Read(char* out, std::size_t size) {
    stream_.read(out, static_cast<std::streamsize>(size));
    if (stream_.bad()) return Fail(ErrorCode::kDataLoss, "the file cannot be read");
    read_bytes_ += static_cast<double>(stream_.gcount());
    return static_cast<std::size_t>(stream_.gcount());
  }

  std::shared_ptr<const ModelPackage> package_;
  std::ifstream stream_;
  double file_bytes_, read_bytes_ = 0;
  CsvReader reader_;
  CsvColumns fields_;
};

// Every feature comes as the text that CSV would have, so that both formats are read alike.
class ParquetInput final : public RowInput {
 public:
  ParquetInput(std::shared_ptr<const ModelPackage> package, std::unique_ptr<TabularEngine> engine)
      : package_(std::move(package)),
        features_(package_->schema.features()),
        engine_(std::move(engine)) {}

  Status Open(const std::filesystem::path& path) {
    const std::string call = fmt::format("read_parquet({})", QuoteLiteral(path.string()));
    SKERRY_ASSIGN_OR_RETURN(
        const Table described,
        engine_->Query("SELECT column_name FROM (DESCRIBE SELECT * FROM " + call + ")"));
    columns_ = described.columns[0].texts;
    SKERRY_ASSIGN_OR_RETURN(const CsvColumns fields, MapCsvColumns(package_->schema, columns_));
    SKERRY_RETURN_IF_ERROR(CheckColumns(columns_, package_->schema));
    SKERRY_ASSIGN_OR_RETURN(const Table count, engine_->Query("SELECT count(*) FROM " + call));
    file_rows_ = static_cast<double>(count.columns[0].ints[0]);
    std::string select;
    for (std::size_t i = 0; i < features_.size(); ++i)
      select += fmt::format("{}{}::VARCHAR AS c{}", i == 0 ? "" : ", ",
                            QuoteIdentifier(columns_[fields.feature_columns[i]]), i);
    if (const ModelSchema& schema = package_->schema; !schema.windows.empty()) {
      entity_ = WindowState(schema).entity_text();
      select += fmt::format(", {}::VARCHAR AS entity",
                            QuoteIdentifier(columns_[fields.text_columns[entity_]]));
    }
    SKERRY_ASSIGN_OR_RETURN(rows_, engine_->Stream(fmt::format("SELECT {} FROM {}", select, call)));
    return {};
  }

  Result<bool> Next(FileRows& block) override {
    block.batch.package = package_;
    SKERRY_ASSIGN_OR_RETURN(const Table table, rows_->Next());
    for (std::size_t row = 0; row < table.rows(); ++row) {
      ++read_rows_;
      for (std::size_t i = 0; i < features_.size(); ++i) {
        SKERRY_ASSIGN_OR_RETURN(const float value,
                                EncodeFeature(*features_[i], table.columns[i].texts[row]),
                                fmt::format("row {}", read_rows_));
        block.batch.features.push_back(value);
      }
    }
    if (table.columns.size() > features_.size()) {
      block.batch.texts.resize(entity_ + 1);
      block.batch.texts[entity_] = table.columns.back().texts;
    }
    block.batch.rows = table.rows();
    return block.batch.rows > 0;
  }
  double share() const override {
    return file_rows_ == 0 ? 1 : static_cast<double>(read_rows_) / file_rows_;
  }

 private:
  std::shared_ptr<const ModelPackage> package_;
  std::vector<const Field*> features_;
  std::size_t entity_ = 0;  // of windows: an index of RowBatch::texts
  std::unique_ptr<TabularEngine> engine_;
  std::unique_ptr<TableStream> rows_;
  std::uint64_t read_rows_ = 0;
  double file_rows_ = 0;
};

}  // namespace

bool IsParquet(const std::filesystem::path& path) { return path.extension() == ".parquet"; }

Result<std::unique_ptr<RowInput>> OpenRowInput(const std::filesystem::path& path,
                                               std::shared_ptr<const ModelPackage> package) {
  if (IsParquet(path)) {
    SKERRY_ASSIGN_OR_RETURN(auto engine,
                            TabularEngine::Open({.memory_limit = "256MiB", .threads = 1}));
    auto input = std::make_unique<ParquetInput>(std::move(package), std::move(engine));
    SKERRY_RETURN_IF_ERROR(input->Open(path));
    return input;
  }
  std::ifstream stream(path, std::ios::binary);
  std::error_code unknown;  // of a pipe, say; the share of it that was read is not known then
  const auto bytes = std::filesystem::file_size(path, unknown);
  if (!stream) return Fail(ErrorCode::kNotFound, "{} cannot be opened", path.string());
  auto input = std::make_unique<CsvInput>(std::move(package), std::move(stream),
                                          unknown ? 0 : static_cast<double>(bytes));
  SKERRY_RETURN_IF_ERROR(input->ReadHeader());
  return input;
}

}  // namespace skerry
