#include "serve/csv.h"

#include <simdjson.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/limits.h"

namespace skerry {
namespace {

constexpr std::size_t kBufferBytes = 64U << 10U;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

CsvReader::CsvReader(Source source) : source_(std::move(source)), buffer_(kBufferBytes, '\0') {}

CsvReader::CsvReader(std::string_view text)
    : CsvReader([text, done = std::size_t{0}](char* out,
                                              std::size_t size) mutable -> Result<std::size_t> {
        const std::size_t part = std::min(size, text.size() - done);
        std::memcpy(out, text.data() + done, part);
        done += part;
        return part;
      }) {}

Result<bool> CsvReader::Fill() {
  if (position_ < filled_) return true;
  position_ = 0;
  SKERRY_ASSIGN_OR_RETURN(filled_, source_(buffer_.data(), buffer_.size()));
  if (at_start_ && filled_ > 0) {
    at_start_ = false;
    if (std::string_view(buffer_.data(), filled_).starts_with(kByteOrderMark))
      position_ = kByteOrderMark.size();
  }
  return position_ < filled_;
}

Result<bool> CsvReader::Next(std::vector<std::string>& fields) {
  state_ = State::kFieldStart;
  field_ = 0;
  began_ = false;
  record_line_ = line_;
  if (fields.empty()) fields.emplace_back();
  fields[0].clear();
  for (;;) {
    SKERRY_ASSIGN_OR_RETURN(const bool more, Fill());
    if (!more) return Finish(fields);
    SKERRY_RETURN_IF_ERROR(TakeRun(fields));
    if (position_ == filled_) continue;
    SKERRY_ASSIGN_OR_RETURN(const bool record_done, Take(buffer_[position_++], fields));
    if (!record_done) continue;
    if (began_) return true;
    record_line_ = line_;  // a blank line
  }
}

// The bytes up to the next one that could end something, in one piece.
Status CsvReader::TakeRun(std::vector<std::string>& fields) {
  if (state_ != State::kPlain && state_ != State::kQuoted) return {};
  const std::string_view ends = state_ == State::kQuoted ? "\"\n" : ",\"\r\n";
  const std::string_view rest(buffer_.data() + position_, filled_ - position_);
  const std::string_view run = rest.substr(0, rest.find_first_of(ends));
  std::string& field = fields[field_];
  if (run.size() > limits::kFieldBytes - field.size())
    return Fail(ErrorCode::kTooLarge, "line {}: a field of more than {} bytes (kFieldBytes)", line_,
                limits::kFieldBytes);
  field += run;
  position_ += run.size();
  return {};
}

// True when `c` ended the record.
Result<bool> CsvReader::Take(char c, std::vector<std::string>& fields) {
  if (c == '\n') ++line_;
  if (state_ == State::kQuoted) {
    if (c == '"')
      state_ = State::kQuoteInQuoted;
    else
      SKERRY_RETURN_IF_ERROR(Grow(fields, c));
    return false;
  }
  if (c == '\n') {
    if (began_) SKERRY_RETURN_IF_ERROR(EndField(fields));
    if (began_) fields.resize(field_ + 1);
    state_ = State::kFieldStart;
    return true;
  }
  if (c == '\r') return false;  // of a CRLF; a lone one outside quotes means nothing
  began_ = true;
  if (c == ',') {
    SKERRY_RETURN_IF_ERROR(EndField(fields));
    if (++field_ == limits::kTableColumns)
      return Fail(ErrorCode::kTooLarge, "line {}: more than {} columns (kTableColumns)", line_,
                  limits::kTableColumns);
    if (fields.size() <= field_) fields.emplace_back();
    fields[field_].clear();
    state_ = State::kFieldStart;
    return false;
  }
  if (c == '"' && state_ != State::kPlain) {
    if (state_ == State::kQuoteInQuoted) SKERRY_RETURN_IF_ERROR(Grow(fields, c));
    state_ = State::kQuoted;
    return false;
  }
  if (state_ == State::kQuoteInQuoted)
    return Fail(ErrorCode::kInvalidArgument, "line {}: text after a closing quote", line_);
  state_ = State::kPlain;
  SKERRY_RETURN_IF_ERROR(Grow(fields, c));
  return false;
}

Status CsvReader::Grow(std::vector<std::string>& fields, char c) {
  std::string& field = fields[field_];
  if (field.size() == limits::kFieldBytes)
    return Fail(ErrorCode::kTooLarge, "line {}: a field of more than {} bytes (kFieldBytes)", line_,
                limits::kFieldBytes);
  field += c;
  return {};
}

Status CsvReader::EndField(std::vector<std::string>& fields) {
  const std::string& field = fields[field_];
  if (!simdjson::validate_utf8(field.data(), field.size()))
    return Fail(ErrorCode::kInvalidArgument, "line {}: field {} is no UTF-8 text", record_line_,
                field_ + 1);
  return {};
}

// At the end of the bytes: whether there was a last record without a line end.
Result<bool> CsvReader::Finish(std::vector<std::string>& fields) {
  if (state_ == State::kQuoted)
    return Fail(ErrorCode::kInvalidArgument, "line {}: a quote is never closed", record_line_);
  if (!began_) return false;
  SKERRY_RETURN_IF_ERROR(EndField(fields));
  fields.resize(field_ + 1);
  return true;
}

void AppendCsvField(std::string& out, std::string_view field) {
  if (field.find_first_of(",\"\r\n") == std::string_view::npos) {
    out += field;
    return;
  }
  out += '"';
  for (const char c : field) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

}  // namespace skerry
