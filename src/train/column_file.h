// What is known of the columns of a training table, and the file (schema.yaml) by which a person
// corrects it. Format: docs/formats/training-columns.md ("skerry-columns/1").
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "codec/json.h"
#include "model/schema.h"
#include "train/trainer.h"

namespace skerry {

// One column as training takes it.
struct ColumnFacts {
  std::string column{};
  std::string found{};  // type in the data: ColumnTypeName
  // feature, label, weight, group, time, context, id, ignore
  std::string role{};
  std::string type{};        // of a feature: number, category; else ""
  std::size_t missing = 0;   // cells; NaN is missing too
  std::size_t distinct = 0;  // texts; counted up to kDistinctCounted
  std::string values{};      // "1.5 to 80", "A, B, C and 4 more"
  Json ToJson() const;
};
constexpr std::size_t kDistinctCounted = 10'000;

std::vector<ColumnFacts> DescribeColumns(const Table& table, const ModelSchema& schema,
                                         const TrainOptions& options);

// Reads options.data and says what training would make of the columns; options.label may be empty.
Result<std::vector<ColumnFacts>> InspectColumns(const TrainOptions& options);

// A table for a person, a line a column; ends with a line feed.
std::string ColumnFactsText(std::span<const ColumnFacts> facts);

// The file that tells training what it would have inferred.
std::string ColumnFileText(std::span<const ColumnFacts> facts);

// Takes over what the file tells: label, weight, group, time, context, id, ignore, and types of
// features. kInvalidArgument with file and line: no such role or type, a feature of another type
// than number and category, a role that a column cannot have twice, or that an option gives to
// another column.
Status ReadColumnFile(const std::filesystem::path& file, TrainOptions& options);

}  // namespace skerry
