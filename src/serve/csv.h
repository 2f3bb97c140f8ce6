// RFC 4180 CSV, streaming: one record at a time, bounded, with line numbers for errors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry {

// Reads records from a source of bytes. LF and CRLF end a record, a byte-order mark is skipped,
// blank lines are skipped. Not thread-safe.
//   CsvReader reader(std::string_view(body));
//   std::vector<std::string> fields;
//   while (true) { SKERRY_ASSIGN_OR_RETURN(bool more, reader.Next(fields)); if (!more) break; ... }
class CsvReader {
 public:
  // Fills up to `size` bytes, 0 at the end.
  using Source = std::function<Result<std::size_t>(char* out, std::size_t size)>;
  explicit CsvReader(Source source);
  // Over text in memory, which must outlive the reader.
  explicit CsvReader(std::string_view text);

  // False at the end. Reuses `fields`. kInvalidArgument gives the line (an open quote, text after a
  // closing quote, bytes that are no UTF-8); kTooLarge over limits::kTableColumns or kFieldBytes.
  Result<bool> Next(std::vector<std::string>& fields);
  // Where the last record began, from 1.
  std::uint64_t line() const { return record_line_; }

 private:
  enum class State : std::uint8_t { kFieldStart, kPlain, kQuoted, kQuoteInQuoted };
  Result<bool> Fill();
  Status TakeRun(std::vector<std::string>& fields);
  Result<bool> Take(char c, std::vector<std::string>& fields);
  Status Grow(std::vector<std::string>& fields, char c);
  Result<bool> Finish(std::vector<std::string>& fields);
  Status EndField(std::vector<std::string>& fields);

  Source source_;
  std::string buffer_;
  std::size_t position_ = 0;
  std::size_t filled_ = 0;
  State state_ = State::kFieldStart;
  std::size_t field_ = 0;  // index of the field being read
  bool began_ = false;     // the record has at least one byte besides its line end
  bool at_start_ = true;
  std::uint64_t line_ = 1;
  std::uint64_t record_line_ = 1;
};

// One field, quoted where RFC 4180 wants it.
void AppendCsvField(std::string& out, std::string_view field);

}  // namespace skerry
