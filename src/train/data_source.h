// The files that a training reads: one table out of many, their digests, and whether they stood
// still.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "tabular/engine.h"
#include "train/trainer.h"

namespace skerry {

struct SourceData {
  Table table{};
  // File name (without directories) and digest, in the order that they were read.
  std::vector<std::pair<std::string, std::string>> files{};
  std::string digest{};  // of the file; of the files' digests, one a line, when there are several
};

// Reads the files as one table, in this order. Columns of `text_columns` are read as text; whole
// numbers become fractions where one of two files has fractions, and a column that is missing
// throughout one file takes the type of the other. kInvalidArgument: files that do not have the
// same columns of the same types. kFailedPrecondition: a file that changed meanwhile.
Result<SourceData> ReadSourceData(TabularEngine& engine,
                                  const std::vector<std::filesystem::path>& paths,
                                  const std::vector<std::string>& text_columns,
                                  const ProgressSink& progress);

}  // namespace skerry
