// The rows of a file that is to be scored, block by block: CSV or Parquet. Inside serve.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/row_batch.h"

namespace skerry {

// Some thousands of rows.
struct FileRows {
  RowBatch batch{};                                 // package, rows, features, and of windows texts
  std::vector<std::vector<std::string>> records{};  // of CSV: every field of the rows as it came
};

// One thread at a time. Memory does not grow with the file.
class RowInput {
 public:
  virtual ~RowInput() = default;
  // False at the end. kInvalidArgument gives the line or row, and the field of a bad value.
  virtual Result<bool> Next(FileRows& block) = 0;
  // How much of the file was read, 0 to 1.
  virtual double share() const = 0;
  const std::vector<std::string>& columns() const { return columns_; }

 protected:
  std::vector<std::string> columns_;
};

bool IsParquet(const std::filesystem::path& path);  // by the name's end

// Finds the features by their column or field names. kNotFound; kInvalidArgument names columns that
// are missing, or that the scored file could not have beside its own.
Result<std::unique_ptr<RowInput>> OpenRowInput(const std::filesystem::path& path,
                                               std::shared_ptr<const ModelPackage> package);

}  // namespace skerry
