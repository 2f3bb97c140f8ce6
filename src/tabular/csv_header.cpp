#include "tabular/csv_header.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <system_error>

#include "base/limits.h"

namespace skerry {
namespace {

constexpr std::string_view kDelimiters = ",;\t|";
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// Where the first record ends (the position of its line end, or the text's size).
std::size_t RecordEnd(std::string_view text) {
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') quoted = !quoted;  // a doubled quote toggles twice
    if (!quoted && (text[i] == '\n' || text[i] == '\r')) return i;
  }
  return text.size();
}

std::size_t CountOutsideQuotes(std::string_view record, char wanted) {
  bool quoted = false;
  std::size_t count = 0;
  for (const char c : record) {
    if (c == '"') quoted = !quoted;
    count += !quoted && c == wanted;
  }
  return count;
}

std::string Unquote(std::string_view field) {
  if (field.size() < 2 || field.front() != '"' || field.back() != '"') return std::string(field);
  std::string text;
  for (std::size_t i = 1; i + 1 < field.size(); ++i) {
    text.push_back(field[i]);
    if (field[i] == '"' && i + 2 < field.size() && field[i + 1] == '"') ++i;
  }
  return text;
}

std::vector<std::string> SplitRecord(std::string_view record, char delimiter) {
  std::vector<std::string> fields;
  bool quoted = false;
  std::size_t start = 0;
  for (std::size_t i = 0; i <= record.size(); ++i) {
    if (i < record.size() && record[i] == '"') quoted = !quoted;
    if (i < record.size() && (quoted || record[i] != delimiter)) continue;
    fields.push_back(Unquote(record.substr(start, i - start)));
    start = i + 1;
  }
  return fields;
}

}  // namespace

Result<CsvHeader> ParseCsvHeader(std::string_view text, std::string_view name) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  const std::size_t end = RecordEnd(text);
  const std::string_view record = text.substr(0, end);
  if (record.empty()) return Fail(ErrorCode::kInvalidArgument, "{} is empty: it has no rows", name);
  CsvHeader header;
  std::size_t most = 0;
  for (const char delimiter : kDelimiters) {
    const std::size_t count = CountOutsideQuotes(record, delimiter);
    if (count > most) header.delimiter = delimiter;
    most = std::max(most, count);
  }
  if (most + 1 > limits::kTableColumns)
    return Fail(ErrorCode::kTooLarge, "{} has {} columns, the limit is {}: leave some out", name,
                most + 1, limits::kTableColumns);
  header.fields = SplitRecord(record, header.delimiter);
  header.more_lines = text.find_first_not_of("\r\n", end) != std::string_view::npos;
  return header;
}

Result<CsvHeader> ReadCsvHeader(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error))
    return Fail(ErrorCode::kNotFound, "there is no file {}", path.string());
  if (std::filesystem::is_directory(path, error))
    return Fail(ErrorCode::kInvalidArgument, "{} is a directory, not a table", path.string());
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::array<char, 64U << 10U> block{};
  while (file.read(block.data(), block.size()) || file.gcount() > 0) {
    text.append(block.data(), static_cast<std::size_t>(file.gcount()));
    const std::size_t end = RecordEnd(text);
    if (text.find_first_not_of("\r\n", end) != std::string::npos) break;  // a second record began
    if (text.size() <= limits::kCsvHeaderBytes) continue;
    SKERRY_RETURN_IF_ERROR(ParseCsvHeader(text, path.string()));  // too many columns says more
    return Fail(ErrorCode::kTooLarge, "the first line of {} is longer than {} bytes: is it a CSV?",
                path.string(), limits::kCsvHeaderBytes);
  }
  if (file.bad()) return Fail(ErrorCode::kInternal, "cannot read {}", path.string());
  return ParseCsvHeader(text, path.string());
}

}  // namespace skerry
