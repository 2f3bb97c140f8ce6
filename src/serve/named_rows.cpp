// POST /v1/score's JSON and NDJSON: rows of named fields. Declared in batch_builder.h.
#include <cmath>
#include <limits>
#include <unordered_map>
#include <utility>

#include "base/limits.h"
#include "serve/batch_builder.h"
#include "serve/json_read.h"

namespace skerry {

namespace ondemand = simdjson::ondemand;
using json_read::KindName;

// Errors call a row by its index in the batch, or by its line where it has one.
class NamedRows {
 public:
  explicit NamedRows(const ModelPackage& package) : package_(package) {
    for (const Field& field : package.schema.fields)
      slots_[field.name] = {&field, field.role == FieldRole::kFeature ? width_++ : texts_++};
  }

  void Into(RowBatch& batch, std::uint64_t line = 0) {
    batch_ = &batch;
    line_ = line;
    batch.texts.resize(texts_);
  }

  Status TakeRow(ondemand::value& value) {
    ondemand::object object;
    if (value.get_object().get(object))
      return Fail(ErrorCode::kInvalidArgument, "{}: expected an object of named fields, got {}",
                  Place(), KindName(value));
    if (batch_->rows == limits::kRowsPerRequest)
      return Fail(ErrorCode::kTooLarge, "more than {} rows in one request (kRowsPerRequest)",
                  limits::kRowsPerRequest);
    given_.assign(width_, 0);
    batch_->features.resize((batch_->rows + 1) * width_);
    for (auto& texts : batch_->texts) texts.emplace_back();
    for (auto item : object) {
      ondemand::field member;
      std::string_view key;
      if (std::move(item).get(member) || member.unescaped_key().get(key))
        return Fail(ErrorCode::kInvalidArgument, "{}: no valid JSON", Place());
      ondemand::value field_value = member.value();
      SKERRY_RETURN_IF_ERROR(TakeField(key, field_value));
    }
    SKERRY_RETURN_IF_ERROR(CheckGiven());
    ++batch_->rows;
    return {};
  }

 private:
  struct Slot {
    const Field* field = nullptr;
    std::size_t index = 0;  // among the features, or among the texts
  };

  tl::unexpected<Error> Expected(const Field& field, std::string_view what,
                                 ondemand::value& value) {
    return Fail(ErrorCode::kInvalidArgument, "{}: field {}: expected {}, got {}", Place(),
                field.name, what, KindName(value));
  }

  Status TakeField(std::string_view name, ondemand::value& value) {
    const auto found = slots_.find(name);
    if (found == slots_.end())
      return Fail(ErrorCode::kInvalidArgument, "{}: \"{}\" is no field of model {}", Place(),
                  name.substr(0, 64), package_.schema.model);
    const auto [field, index] = found->second;
    if (field->role != FieldRole::kFeature) {
      if (json_read::ReadText(value, batch_->texts[index].back())) return {};
      return Expected(*field, "a string, number or boolean", value);
    }
    if (given_[index]++ != 0)
      return Fail(ErrorCode::kInvalidArgument, "{}: field {} is given twice", Place(), field->name);
    float& out = batch_->features[batch_->rows * width_ + index];
    return field->type == FieldType::kCategory ? TakeCategory(*field, value, out)
                                               : TakeNumber(*field, value, out);
  }

  Status TakeCategory(const Field& field, ondemand::value& value, float& out) {
    if (!json_read::ReadText(value, text_)) return Expected(field, "a string or null", value);
    out = EncodeCategory(field, text_);
    return {};
  }

  Status TakeNumber(const Field& field, ondemand::value& value, float& out) {
    double number = 0;
    if (value.get_double().get(number)) {
      bool is_null = false;
      if (value.is_null().get(is_null) || !is_null)
        return Expected(field, "a number or null", value);
      out = std::numeric_limits<float>::quiet_NaN();
      return {};
    }
    out = static_cast<float>(number);
    if (std::isfinite(out)) return {};
    return Fail(ErrorCode::kInvalidArgument, "{}: field {}: a number that FP32 cannot hold",
                Place(), field.name);
  }

  Status CheckGiven() const {
    for (const auto& [name, slot] : slots_)
      if (slot.field->role == FieldRole::kFeature && given_[slot.index] == 0)
        return Fail(ErrorCode::kInvalidArgument,
                    "{}: field {} is missing: expected a {} (null when it is not known)", Place(),
                    name, slot.field->type == FieldType::kCategory ? "string" : "number");
    return {};
  }

  std::string Place() const {
    return line_ == 0 ? fmt::format("row {}", batch_->rows) : fmt::format("line {}", line_);
  }

  const ModelPackage& package_;
  RowBatch* batch_ = nullptr;
  std::uint64_t line_ = 0;
  std::unordered_map<std::string_view, Slot> slots_;
  std::size_t width_ = 0, texts_ = 0;
  std::vector<std::uint8_t> given_;
  std::string text_;
};

namespace {

Status TakeDocument(ondemand::document& document, std::string& body, NamedRows& rows) {
  ondemand::json_type type;
  if (const auto error = document.type().get(type))
    return tl::make_unexpected(json_read::Malformed(error, document, body));
  ondemand::value root;
  if (type == ondemand::json_type::object) {
    if (const auto error = document.get_value().get(root))
      return tl::make_unexpected(json_read::Malformed(error, document, body));
    return rows.TakeRow(root);
  }
  ondemand::array array;
  if (document.get_array().get(array))
    return Fail(ErrorCode::kInvalidArgument,
                "expected a JSON object of named fields or an array of them");
  for (auto item : array) {
    ondemand::value row;
    if (const auto error = item.get(row))
      return tl::make_unexpected(json_read::Malformed(error, document, body));
    SKERRY_RETURN_IF_ERROR(rows.TakeRow(row));
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<RowBatch>> BatchFromNamedRows(std::shared_ptr<const ModelPackage> package,
                                                     std::string& body) {
  auto batch = std::make_shared<RowBatch>();
  batch->package = std::move(package);
  SKERRY_ASSIGN_OR_RETURN(ondemand::document document, json_read::Start(body));
  NamedRows rows(*batch->package);
  rows.Into(*batch);
  SKERRY_RETURN_IF_ERROR(TakeDocument(document, body, rows));
  if (!json_read::AtEnd(document))
    return Fail(ErrorCode::kInvalidArgument, "the body is no valid JSON: text after its end");
  if (batch->rows == 0)
    return Fail(ErrorCode::kInvalidArgument, "expected at least one row, got none");
  return batch;
}

NamedRowAppender::NamedRowAppender(const ModelPackage& package)
    : rows_(std::make_unique<NamedRows>(package)) {}
NamedRowAppender::~NamedRowAppender() = default;

Status NamedRowAppender::Append(std::string& text, std::uint64_t line, RowBatch& batch) {
  rows_->Into(batch, line);
  SKERRY_ASSIGN_OR_RETURN(ondemand::document document, json_read::Start(text),
                          fmt::format("line {}", line));
  ondemand::value root;
  ondemand::json_type type;
  if (document.type().get(type) || type != ondemand::json_type::object ||
      document.get_value().get(root))
    return Fail(ErrorCode::kInvalidArgument, "line {}: expected a JSON object of named fields",
                line);
  SKERRY_RETURN_IF_ERROR(rows_->TakeRow(root));
  if (json_read::AtEnd(document)) return {};
  --batch.rows;
  return Fail(ErrorCode::kInvalidArgument, "line {}: text after the end of its object", line);
}

}  // namespace skerry
