// A training that is told to an MLflow server while it runs.
#pragma once

#include <CLI/CLI.hpp>

#include "base/error.h"
#include "tracking/mlflow.h"
#include "train/trainer.h"

namespace skerry {

// --mlflow and --mlflow-experiment.
void AddMlflowOptions(CLI::App& app, MlflowOptions& mlflow);

// Train; where a server is named, a run is begun there first (its error: nothing was trained), gets
// what was chosen, then the figures, the card and the plots, and is ended as the training ended.
// The environment's MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD, are shown to
// the server. kUnavailable when the server is lost later: the package is there all the same.
Result<TrainReport> TrainTracked(const TrainOptions& options, MlflowOptions mlflow);

}  // namespace skerry
