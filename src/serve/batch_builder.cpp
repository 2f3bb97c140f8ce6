#include "serve/batch_builder.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/limits.h"

namespace skerry {
namespace {

Status CheckRows(std::size_t rows) {
  if (rows == 0) return Fail(ErrorCode::kInvalidArgument, "expected at least one row, got none");
  if (rows > limits::kRowsPerRequest)
    return Fail(ErrorCode::kTooLarge, "{} rows in one request, the limit kRowsPerRequest is {}",
                rows, limits::kRowsPerRequest);
  return {};
}

// A code that came from outside: NaN, or an integer of 0 or more (past the last one: unseen).
Status CheckCode(const Field& field, float value, std::size_t row) {
  if (std::isnan(value) || (value >= 0 && value == std::floor(value))) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "field {}: row {}: expected a category code 0 to {} or null, got {}", field.name, row,
              field.categories.size() - 1, value);
}

Status FillFromMatrix(const Tensor& tensor, RowBatch& batch) {
  const std::vector<const Field*> features = batch.package->schema.features();
  if (tensor.type != TensorType::kFloat32)
    return Fail(ErrorCode::kInvalidArgument, "input \"input\": expected datatype FP32, got {}",
                TensorTypeName(tensor.type));
  if (tensor.shape.size() != 2 || static_cast<std::size_t>(tensor.shape[1]) != features.size())
    return Fail(ErrorCode::kInvalidArgument, "input \"input\": expected shape [N,{}], got {}",
                features.size(), ShapeText(tensor.shape));
  batch.rows = static_cast<std::size_t>(tensor.shape[0]);
  SKERRY_RETURN_IF_ERROR(CheckRows(batch.rows));
  const auto values = tensor.View<float>();
  batch.features.assign(values.begin(), values.end());
  for (std::size_t i = 0; i < values.size(); ++i)
    if (std::isinf(values[i]))
      return Fail(ErrorCode::kInvalidArgument, "field {}: row {}: an infinite number",
                  features[i % features.size()]->name, i / features.size());
  for (std::size_t i = 0; i < features.size(); ++i) {
    if (features[i]->type != FieldType::kCategory) continue;
    for (std::size_t row = 0; row < batch.rows; ++row)
      SKERRY_RETURN_IF_ERROR(CheckCode(*features[i], batch.Row(row)[i], row));
  }
  return {};
}

template <typename T>
void CopyColumn(const Tensor& tensor, std::size_t column, std::size_t width,
                std::vector<float>& out) {
  const auto values = tensor.View<T>();
  for (std::size_t row = 0; row < values.size(); ++row)
    out[row * width + column] = static_cast<float>(values[row]);
}

Status FillNumbers(const Field& field, const Tensor& tensor, std::size_t column, std::size_t width,
                   std::vector<float>& out) {
  switch (tensor.type) {
    case TensorType::kInt8: CopyColumn<std::int8_t>(tensor, column, width, out); break;
    case TensorType::kInt16: CopyColumn<std::int16_t>(tensor, column, width, out); break;
    case TensorType::kInt32: CopyColumn<std::int32_t>(tensor, column, width, out); break;
    case TensorType::kInt64: CopyColumn<std::int64_t>(tensor, column, width, out); break;
    case TensorType::kUint8: CopyColumn<std::uint8_t>(tensor, column, width, out); break;
    case TensorType::kUint16: CopyColumn<std::uint16_t>(tensor, column, width, out); break;
    case TensorType::kUint32: CopyColumn<std::uint32_t>(tensor, column, width, out); break;
    case TensorType::kUint64: CopyColumn<std::uint64_t>(tensor, column, width, out); break;
    case TensorType::kFloat32: CopyColumn<float>(tensor, column, width, out); break;
    case TensorType::kFloat64: CopyColumn<double>(tensor, column, width, out); break;
    default:
      return Fail(ErrorCode::kInvalidArgument,
                  "field {}: expected a tensor of a number type, got {}", field.name,
                  TensorTypeName(tensor.type));
  }
  for (std::size_t row = 0; row < tensor.elements(); ++row)
    if (std::isinf(out[row * width + column]))
      return Fail(ErrorCode::kInvalidArgument, "field {}: row {}: a number that FP32 cannot hold",
                  field.name, row);
  return {};
}

Status FillCategories(const Field& field, const Tensor& tensor, std::size_t column,
                      std::size_t width, std::vector<float>& out) {
  if (tensor.type != TensorType::kString)
    return Fail(ErrorCode::kInvalidArgument, "field {}: expected a tensor of BYTES, got {}",
                field.name, TensorTypeName(tensor.type));
  for (std::size_t row = 0; row < tensor.strings.size(); ++row)
    out[row * width + column] = EncodeCategory(field, tensor.strings[row]);
  return {};
}

const Tensor* FindTensor(const InferRequest& request, std::string_view name) {
  for (const Tensor& tensor : request.inputs)
    if (tensor.name == name) return &tensor;
  return nullptr;
}

// Every tensor must be a feature's, and each feature's must be there once.
Status CheckTensorNames(const ModelSchema& schema, const InferRequest& request) {
  for (std::size_t i = 0; i < request.inputs.size(); ++i) {
    const std::string& name = request.inputs[i].name;
    const Field* field = schema.Find(name);
    if (field == nullptr)
      return Fail(
          ErrorCode::kInvalidArgument,
          "input \"{}\" is no field of model {}: expected \"input\" or one tensor a feature", name,
          schema.model);
    if (field->role != FieldRole::kFeature)
      return Fail(ErrorCode::kInvalidArgument,
                  "input \"{}\" is a field of role {}: send it in the request's parameters", name,
                  FieldRoleName(field->role));
    if (FindTensor(request, name) != &request.inputs[i])
      return Fail(ErrorCode::kInvalidArgument, "input \"{}\" is given twice", name);
  }
  for (const Field& field : schema.fields)
    if (field.role == FieldRole::kFeature && FindTensor(request, field.name) == nullptr)
      return Fail(ErrorCode::kInvalidArgument,
                  "field {} is missing: expected a tensor of {}, [N] or "
                  "[N,1]",
                  field.name, field.type == FieldType::kCategory ? "BYTES" : "a number type");
  return {};
}

Status FillFromNamed(const InferRequest& request, RowBatch& batch) {
  const ModelSchema& schema = batch.package->schema;
  SKERRY_RETURN_IF_ERROR(CheckTensorNames(schema, request));
  const std::vector<const Field*> features = schema.features();
  batch.rows = request.inputs.front().elements();
  SKERRY_RETURN_IF_ERROR(CheckRows(batch.rows));
  batch.features.resize(batch.rows * features.size());
  for (std::size_t i = 0; i < features.size(); ++i) {
    const Field& field = *features[i];
    const Tensor& tensor = *FindTensor(request, field.name);
    const bool column =
        tensor.shape.size() == 1 || (tensor.shape.size() == 2 && tensor.shape[1] == 1);
    if (!column || tensor.elements() != batch.rows)
      return Fail(ErrorCode::kInvalidArgument, "field {}: expected shape [{}] or [{},1], got {}",
                  field.name, batch.rows, batch.rows, ShapeText(tensor.shape));
    SKERRY_RETURN_IF_ERROR(field.type == FieldType::kCategory
                               ? FillCategories(field, tensor, i, features.size(), batch.features)
                               : FillNumbers(field, tensor, i, features.size(), batch.features));
  }
  return {};
}

Status FillTexts(const RequestParameters& parameters, RowBatch& batch) {
  for (const Field& field : batch.package->schema.fields) {
    if (field.role == FieldRole::kFeature) continue;
    auto& texts = batch.texts.emplace_back();
    const auto found = parameters.find(field.name);
    if (found == parameters.end()) {
      texts.resize(batch.rows);
    } else if (!found->second.per_row) {
      texts.assign(batch.rows, found->second.texts.front());
    } else if (found->second.texts.size() == batch.rows) {
      texts = found->second.texts;
    } else {
      return Fail(ErrorCode::kInvalidArgument,
                  "parameters.{}: expected one value or an array of {}, got {}", field.name,
                  batch.rows, found->second.texts.size());
    }
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<RowBatch>> BatchFromTensors(std::shared_ptr<const ModelPackage> package,
                                                   const InferRequest& request) {
  auto batch = std::make_shared<RowBatch>();
  batch->package = std::move(package);
  const bool matrix = request.inputs.size() == 1 && request.inputs[0].name == "input" &&
                      batch->package->schema.Find("input") == nullptr;
  SKERRY_RETURN_IF_ERROR(matrix ? FillFromMatrix(request.inputs[0], *batch)
                                : FillFromNamed(request, *batch));
  SKERRY_RETURN_IF_ERROR(FillTexts(request.parameters, *batch));
  return batch;
}

Result<CsvColumns> MapCsvColumns(const ModelSchema& schema,
                                 const std::vector<std::string>& header) {
  const auto find = [&](const Field& field) -> Result<std::size_t> {
    std::size_t found = CsvColumns::kAbsent;
    for (std::size_t i = 0; i < header.size(); ++i) {
      if (header[i] != field.column && header[i] != field.name) continue;
      if (found != CsvColumns::kAbsent)
        return Fail(ErrorCode::kInvalidArgument, "field {} is in two columns: \"{}\" and \"{}\"",
                    field.name, header[found], header[i]);
      found = i;
    }
    return found;
  };
  CsvColumns columns;
  columns.width = header.size();
  std::string missing;
  for (const Field& field : schema.fields) {
    SKERRY_ASSIGN_OR_RETURN(const std::size_t column, find(field));
    const bool looked_at = field.role == FieldRole::kFeature || field.name == schema.windows.entity;
    if (column == CsvColumns::kAbsent && looked_at)
      missing +=
          fmt::format("{}{} (\"{}\")", missing.empty() ? "" : ", ", field.name, field.column);
    if (field.role != FieldRole::kFeature) {
      columns.text_columns.push_back(column);
      continue;
    }
    columns.features.push_back(&field);
    columns.feature_columns.push_back(column);
  }
  if (!missing.empty())
    return Fail(ErrorCode::kInvalidArgument, "the CSV header has no column for {}", missing);
  return columns;
}

Status AppendCsvRow(const CsvColumns& columns, const std::vector<std::string>& fields,
                    std::uint64_t line, RowBatch& batch) {
  if (fields.size() != columns.width)
    return Fail(ErrorCode::kInvalidArgument, "line {}: {} fields, the header has {}", line,
                fields.size(), columns.width);
  for (std::size_t i = 0; i < columns.features.size(); ++i) {
    SKERRY_ASSIGN_OR_RETURN(const float value,
                            EncodeFeature(*columns.features[i], fields[columns.feature_columns[i]]),
                            fmt::format("line {}", line));
    batch.features.push_back(value);
  }
  batch.texts.resize(columns.text_columns.size());
  for (std::size_t i = 0; i < columns.text_columns.size(); ++i)
    batch.texts[i].push_back(columns.text_columns[i] == CsvColumns::kAbsent
                                 ? std::string()
                                 : fields[columns.text_columns[i]]);
  ++batch.rows;
  return {};
}

void DropPartRow(RowBatch& batch) {
  batch.features.resize(batch.rows * batch.package->reference.features.size());
  for (auto& texts : batch.texts) texts.resize(batch.rows);
}

}  // namespace skerry
