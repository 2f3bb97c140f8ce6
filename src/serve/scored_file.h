// The file that scored rows are written to: the columns that were there, and what was scored. CSV
// or Parquet. Inside serve.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "model/schema.h"
#include "serve/file_rows.h"

namespace skerry {

// prediction: the class's word. score: P(class 1), or the predicted class's. value: a regression's.
// anomaly_score: null, or an empty cell, without a detector. anomaly: whether it is one.
// probability_WORD: of each of several classes.
enum class ScoredKind : std::uint8_t { kPrediction, kScore, kAnomalyScore, kAnomaly, kProbability };
struct ScoredColumn {
  std::string name;
  ScoredKind kind = ScoredKind::kScore;
  std::size_t which = 0;  // of kProbability: the class
};
// What is added, by the schema's task.
std::vector<ScoredColumn> ScoredColumnsOf(const ModelSchema& schema);

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
  std::vector<ScoredColumn> scored;
  bool parquet = false;             // what is written
  std::filesystem::path directory;  // for what is not complete; its own, and big enough
  int threads = 1;
};
// kResourceExhausted where there is no room.
Result<std::unique_ptr<ScoredOutput>> OpenScoredOutput(const ScoredOutputOptions& options);

}  // namespace skerry
