// The file that scored rows are written to: the columns that were there, and three more. CSV or
// Parquet. Inside serve.
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "serve/file_rows.h"

namespace skerry {

// The class's word; P(class 1); null, or an empty cell, without a detector.
constexpr std::array<std::string_view, 3> kScoredColumns = {"prediction", "score", "anomaly_score"};

// One block on its way into the file.
struct RenderedRows {
  std::string text{};
  Table table{};
};

class ScoredOutput {
 public:
  virtual ~ScoredOutput() = default;
  // Of scored rows. Any thread.
  virtual RenderedRows Render(const FileRows& block) const = 0;
  // One thread at a time, in the order of the rows.
  virtual Status Write(RenderedRows rendered) = 0;
  // Completes the file and returns its path, in the directory that it was opened with.
  virtual Result<std::filesystem::path> Finish() = 0;
};

struct ScoredOutputOptions {
  std::filesystem::path in;  // what `columns` are the columns of
  std::vector<std::string> columns;
  bool parquet = false;             // what is written
  std::filesystem::path directory;  // for what is not complete; its own, and big enough
  int threads = 1;
};
// kResourceExhausted where there is no room.
Result<std::unique_ptr<ScoredOutput>> OpenScoredOutput(const ScoredOutputOptions& options);

}  // namespace skerry
