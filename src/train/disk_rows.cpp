#include "train/disk_rows.h"

#include <string_view>

#include "train/splits.h"
#include "train/training_set.h"

namespace skerry {
namespace {

std::uint64_t HashOfText(std::string_view text) {  // FNV-1a
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const char c : text) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001B3U;
  return hash;
}

}  // namespace

Result<DiskRows> DiskRows::Create(const std::filesystem::path& directory,
                                  const ModelSchema& schema) {
  SKERRY_ASSIGN_OR_RETURN(ScratchFile file, ScratchFile::Create(directory));
  return DiskRows(std::move(file), schema);
}

DiskRows::DiskRows(ScratchFile file, const ModelSchema& schema)
    : categorical(CategoricalColumns(schema)),
      file_(std::move(file)),
      columns_(schema.feature_count()) {
  facts.task = schema.task;
  facts.classes = schema.classes.size();
  unlisted.assign(columns_, 0);
}

Status DiskRows::Append(const Table& table, const ModelSchema& schema,
                        const TrainOptions& options) {
  SKERRY_ASSIGN_OR_RETURN(const LabelledRows part,
                          EncodePart(table, schema, options.weight_column));
  const auto append = [](auto& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  append(facts.labels, part.labels);
  append(facts.weights, part.weights);
  append(facts.targets, part.targets);
  for (std::size_t row = 0; row < part.rows(); ++row)
    copies.push_back(HashOfRow(part.features.row(row)));
  SKERRY_RETURN_IF_ERROR(AppendColumns(table, options));
  CountUnlisted(part.features, schema);
  return file_.Append(std::as_bytes(std::span(part.features.values)));
}

Status DiskRows::AppendColumns(const Table& table, const TrainOptions& options) {
  if (!options.time_column.empty()) {
    SKERRY_ASSIGN_OR_RETURN(const Column* column,
                            FindColumn(table, options.time_column, "time column"));
    SKERRY_ASSIGN_OR_RETURN(const std::vector<double> more, TimesOf(*column));
    times.insert(times.end(), more.begin(), more.end());
  }
  if (options.group_column.empty()) return {};
  SKERRY_ASSIGN_OR_RETURN(const Column* column,
                          FindColumn(table, options.group_column, "group column"));
  SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const RowUnits none_is_blank, UnitsOfGroups(*column));
  for (std::size_t row = 0; row < column->rows(); ++row)
    groups.push_back(HashOfText(CellText(*column, row)));
  return {};
}

void DiskRows::CountUnlisted(const FeatureMatrix& features, const ModelSchema& schema) {
  const std::vector<const Field*> fields = schema.features();
  for (std::size_t i = 0; i < columns_; ++i) {
    if (fields[i]->type != FieldType::kCategory) continue;
    const auto code = static_cast<float>(fields[i]->categories.size());
    for (std::size_t row = 0; row < features.rows(); ++row)
      unlisted[i] += features.row(row)[i] == code ? 1 : 0;
  }
}

Status DiskRows::Read(std::size_t first_row, std::span<float> values) {
  return file_.Read(first_row * columns_ * sizeof(float), std::as_writable_bytes(values));
}

RowBlock SideRows::Next() {
  labels_.clear();
  while (labels_.empty() && next_ < rows_.rows() && failed_) {
    const std::size_t count = std::min(rows_.block_rows(), rows_.rows() - next_);
    values_.resize(count * columns());
    failed_ = rows_.Read(next_, values_);
    if (failed_) Keep(next_, count);
    next_ += count;
  }
  return {values_, labels_, weights_};
}

// Those of the block that are wanted, moved to its beginning.
void SideRows::Keep(std::size_t first, std::size_t count) {
  weights_.clear();
  const LabelledRows& facts = rows_.facts;
  for (std::size_t row = first; row < first + count; ++row) {
    if (!wanted_(rows_.side[row], fold_)) continue;
    std::copy_n(values_.begin() + static_cast<std::ptrdiff_t>((row - first) * columns()), columns(),
                values_.begin() + static_cast<std::ptrdiff_t>(labels_.size() * columns()));
    labels_.push_back(facts.targets.empty() ? static_cast<float>(facts.labels[row])
                                            : facts.targets[row]);
    weights_.push_back(facts.weights[row]);
  }
  values_.resize(labels_.size() * columns());
}

}  // namespace skerry
