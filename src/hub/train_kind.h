// Training runs: `skerry train` as a child process, on data and clusters that the hub's operator
// allows (training_grounds.h). The package is packed, signed and stored as a model's version.
#pragma once

#include "hub/model_shelf.h"
#include "hub/run_kind.h"
#include "hub/training_grounds.h"

namespace skerry {

class TrainKind : public RunKind {
 public:
  // `lake` is its directory. What is pointed to outlives this.
  TrainKind(ModelShelf& shelf, TrainingGrounds grounds, std::filesystem::path lake)
      : shelf_(&shelf), grounds_(std::move(grounds)), lake_(std::move(lake)) {}

  // Also kPermissionDenied (data or a cluster that is not allowed), kNotFound (no such file, no
  // spark-submit), kAlreadyExists (the version).
  Result<Json> Check(const Json& body) override;
  Result<std::vector<std::string>> Prepare(const Json& spec,
                                           const std::filesystem::path& directory) override;
  Result<RunVerdict> Conclude(const Json& spec, const std::filesystem::path& directory) override;

 private:
  ModelShelf* shelf_;
  const TrainingGrounds grounds_;
  const std::filesystem::path lake_;
};

}  // namespace skerry
