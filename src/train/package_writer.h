// Writes a model package directory as a whole or not at all.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "train/data_source.h"
#include "train/model_fit.h"

namespace skerry {

// File names and contents.
using NamedTexts = std::vector<std::pair<std::string, std::string>>;
// Writes the files, each synced, to a new directory (storage/new_directory.h); files without
// content are left out. The errors of CheckNewDirectory, which is to be asked before the work, too,
// so that nobody waits for a refusal.
Status WriteNewDirectory(const NamedTexts& files, const std::filesystem::path& out);

// model.onnx, detector.onnx, schema.json, reference.json, card.md, report.json, the plots and
// provenance.json with the digests of the others, by WriteNewDirectory. `data` says for the card
// where the rows are from, a line each. The same arguments give the same bytes: how long a training
// took (TrainReport::seconds) is not written.
Status WritePackage(const FittedPackage& package, const std::vector<std::string>& data,
                    Json provenance, const std::filesystem::path& out);

// Runs from its creation.
class TrainingClock {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// The end of every training from files: what the report lacks (name, version, digest, seconds),
// then WritePackage, unless it was cancelled meanwhile.
Result<TrainReport> FinishPackage(FittedPackage package, const TrainOptions& options,
                                  const SourceData& data, const TrainingClock& clock);

}  // namespace skerry
