// Retraining runs: a challenger from the lake's labelled rows, put before the gate in a child
// process (retrain_run.h). One that passed is packed, signed and stored as a new version of the
// model; one that was refused stays in the run's directory with its report.
#pragma once

#include "hub/model_shelf.h"
#include "hub/retrain_spec.h"
#include "hub/run_kind.h"
#include "hub/store.h"

namespace skerry {

class RetrainKind : public RunKind {
 public:
  // `lake` is its directory. What is pointed to outlives this.
  RetrainKind(HubStore& store, ModelShelf& shelf, std::filesystem::path lake)
      : store_(&store), shelf_(&shelf), lake_(std::move(lake)) {}

  // Also kNotFound (the model), kAlreadyExists (the version), kFailedPrecondition (no labels).
  Result<Json> Check(const Json& body) override;
  Result<std::vector<std::string>> Prepare(const Json& spec,
                                           const std::filesystem::path& directory) override;
  Result<RunVerdict> Conclude(const Json& spec, const std::filesystem::path& directory) override;

 private:
  HubStore* store_;
  ModelShelf* shelf_;
  const std::filesystem::path lake_;
};

}  // namespace skerry
