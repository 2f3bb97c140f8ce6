#include "train/data_source.h"

#include <fmt/format.h>

#include <algorithm>

#include "crypto/digest.h"

namespace skerry {
namespace {

bool MissingThroughout(const Column& column) {
  return std::all_of(column.valid.begin(), column.valid.end(),
                     [](std::uint8_t valid) { return valid == 0; });
}

// For a column without a value.
void Retype(Column& column, ColumnType type) {
  Column empty{.name = column.name, .type = type};
  for (std::size_t row = 0; row < column.rows(); ++row) empty.AppendNull();
  column = std::move(empty);
}

void Widen(Column& column) {
  column.type = ColumnType::kDouble;
  column.doubles.assign(column.ints.begin(), column.ints.end());
  column.ints.clear();
}

void Append(Column& column, const Column& other) {
  const auto append = [](auto& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  append(column.ints, other.ints);
  append(column.doubles, other.doubles);
  append(column.texts, other.texts);
  append(column.valid, other.valid);
}

Status AppendColumn(Column& column, Column& other, const std::string& file) {
  if (column.type != other.type && MissingThroughout(other)) Retype(other, column.type);
  if (column.type != other.type && MissingThroughout(column)) Retype(column, other.type);
  if (column.type == ColumnType::kInt64 && other.type == ColumnType::kDouble) Widen(column);
  if (column.type == ColumnType::kDouble && other.type == ColumnType::kInt64) Widen(other);
  if (column.type != other.type)
    return Fail(ErrorCode::kInvalidArgument,
                "column '{}' is {} in {}, and {} before it: mend the cells, or tell its type "
                "(--schema)",
                column.name, ColumnTypeName(other.type), file, ColumnTypeName(column.type));
  Append(column, other);
  return {};
}

// Appends `more` below `table`: the same columns in any order.
Status AppendTable(Table& table, Table more, const std::string& file) {
  for (const Column& column : more.columns)
    if (table.Find(column.name) == nullptr)
      return Fail(ErrorCode::kInvalidArgument,
                  "{} has a column '{}', which the files before it do not have", file, column.name);
  for (Column& column : table.columns) {
    Column* other = more.Find(column.name);
    if (other == nullptr)
      return Fail(ErrorCode::kInvalidArgument, "{} has no column '{}', which the first file has",
                  file, column.name);
    SKERRY_RETURN_IF_ERROR(AppendColumn(column, *other, file));
  }
  return {};
}

}  // namespace

Result<SourceData> ReadSourceData(TabularEngine& engine,
                                  const std::vector<std::filesystem::path>& paths,
                                  const std::vector<std::string>& text_columns,
                                  const ProgressSink& progress,
                                  std::optional<std::uint64_t> first_rows) {
  SourceData data;
  std::string digests;
  for (const std::filesystem::path& path : paths) {
    SKERRY_ASSIGN_OR_RETURN(FileState state, ReadFileState(path));
    data.states.push_back(state);
    SKERRY_ASSIGN_OR_RETURN(const Digest digest, DigestOfFile(path));
    data.files.emplace_back(path.filename().string(), digest.ToString());
    data.digest = digest.ToString();
    digests += data.digest + "\n";
  }
  if (paths.size() > 1) data.digest = Digest::Sha256(digests).ToString();
  for (const std::filesystem::path& path : paths) {
    if (progress) progress(fmt::format("reading {}", path.string()));
    ReadOptions options;
    options.text_columns = text_columns;
    if (first_rows) options.first_rows = std::max<std::uint64_t>(1, *first_rows / paths.size());
    SKERRY_ASSIGN_OR_RETURN(Table more, engine.ReadFile(path, options));
    if (data.table.columns.empty())
      data.table = std::move(more);
    else
      SKERRY_RETURN_IF_ERROR(AppendTable(data.table, std::move(more), path.string()));
  }
  SKERRY_RETURN_IF_ERROR(CheckUnchanged(paths, data.states));
  return data;
}

Status CheckUnchanged(const std::vector<std::filesystem::path>& paths,
                      const std::vector<FileState>& states) {
  for (std::size_t i = 0; i < paths.size(); ++i) {
    const Result<FileState> now = ReadFileState(paths[i]);
    if (!now || *now != states[i])
      return Fail(ErrorCode::kFailedPrecondition,
                  "{} changed while it was read: train on a copy that nothing writes to",
                  paths[i].string());
  }
  return {};
}

}  // namespace skerry
