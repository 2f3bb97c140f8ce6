#include "cli/demo/source_rows.h"

#include <charconv>
#include <cmath>

#include "train/trainer.h"

namespace skerry {
namespace {

constexpr double kTrainShare = 0.6;

Result<double> NumberOf(const Column& column, std::size_t row) {
  if (column.IsNull(row)) return std::nan("");
  const std::string& text = column.texts[row];
  SKERRY_ASSIGN_OR_RETURN(const float parsed, EncodeNumber(text), column.name);
  double value = 0;
  const auto end = text.data() + text.size();
  // The float tells blank and NaN apart from numbers; the double keeps the digits as written.
  return std::from_chars(text.data(), end, value).ptr == end ? value : static_cast<double>(parsed);
}

}  // namespace

SourceSplit SplitSourceRows(std::size_t rows, std::uint64_t seed) {
  const std::vector<std::size_t> order = ShuffledRows(rows, seed);
  const auto train =
      static_cast<std::size_t>(std::llround(static_cast<double>(rows) * kTrainShare));
  const std::size_t middle = train + (rows - train) / 2;
  SourceSplit split;
  for (std::size_t i = 0; i < rows; ++i) {
    if (i < train) {
      split.train.push_back(order[i]);
      continue;
    }
    split.arrive.push_back(order[i]);
    (i < middle ? split.labelling : split.holdout).push_back(order[i]);
  }
  return split;
}

Table TakeRows(const Table& table, const std::vector<std::size_t>& rows) {
  Table taken;
  for (const Column& column : table.columns) {
    Column out;
    out.name = column.name;
    out.type = column.type;
    for (const std::size_t row : rows) out.AppendFrom(column, row);
    taken.columns.push_back(std::move(out));
  }
  return taken;
}

void AddContextColumns(Table& table) {
  Column unit, note;
  unit.name = "unit_id";
  note.name = "operator_note";
  unit.type = note.type = ColumnType::kText;
  const std::size_t rows = table.rows();
  for (std::size_t i = 0; i < rows; ++i) {
    unit.AppendText(fmt::format("unit-{:02}", i % 40));
    note.AppendText("as built");
  }
  table.columns.push_back(std::move(unit));
  table.columns.push_back(std::move(note));
}

Status ScaleColumn(Table& table, std::string_view name, double factor) {
  Column* column = table.Find(name);
  if (column == nullptr)
    return Fail(ErrorCode::kInvalidArgument, "the table has no column '{}'", name);
  for (std::size_t i = 0; i < column->rows(); ++i) {
    SKERRY_ASSIGN_OR_RETURN(const double value, NumberOf(*column, i));
    if (!std::isnan(value)) column->texts[i] = fmt::format("{}", value * factor);
  }
  return {};
}

Result<LoadData> MakeLoadData(const Table& table, const ModelSchema& schema) {
  LoadData data;
  for (const Field* field : schema.features()) {
    const Column* column = table.Find(field->column);
    if (column == nullptr)
      return Fail(ErrorCode::kInvalidArgument, "the table has no column '{}'", field->column);
    LoadField load;
    load.name = field->name;
    for (std::size_t i = 0; i < column->rows(); ++i) {
      if (field->type == FieldType::kCategory) {
        load.texts.push_back(column->IsNull(i) ? "" : column->texts[i]);
        continue;
      }
      SKERRY_ASSIGN_OR_RETURN(const double value, NumberOf(*column, i));
      load.numbers.push_back(value);
    }
    data.fields.push_back(std::move(load));
  }
  return data;
}

}  // namespace skerry
