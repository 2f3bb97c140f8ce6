// The files that a training reads: one table out of many, their digests, and whether they stood
// still.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "storage/file.h"
#include "tabular/engine.h"
#include "train/trainer.h"

namespace skerry {

struct SourceData {
  Table table{};
  // File name (without directories) and digest, in the order that they were read.
  std::vector<std::pair<std::string, std::string>> files{};
  std::vector<FileState> states{};
  std::string digest{};  // of the file; of the files' digests, one a line, when there are several
};

// Reads the files as one table, in this order. Columns of `text_columns` are read as text; whole
// numbers become fractions where one of two files has fractions, and a column that is missing
// throughout one file takes the type of the other. kInvalidArgument: files that do not have the
// same columns of the same types. kFailedPrecondition: a file that changed meanwhile.
// With `first_rows` no more than about so many are taken, from the beginning of each file.
Result<SourceData> ReadSourceData(TabularEngine& engine,
                                  const std::vector<std::filesystem::path>& paths,
                                  const std::vector<std::string>& text_columns,
                                  const ProgressSink& progress,
                                  std::optional<std::uint64_t> first_rows = {});

// kFailedPrecondition: one of them changed since they were read.
Status CheckUnchanged(const std::vector<std::filesystem::path>& paths,
                      const std::vector<FileState>& states);

}  // namespace skerry
