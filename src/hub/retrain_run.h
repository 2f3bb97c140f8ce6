// The child process of a retraining run: `skerry __retrain SPEC.json`.
//
// Role: everything of a run that needs XGBoost or much memory, in a process of its own, so that
// the hub never loads the trainer and outlives whatever a run does. It joins the lake's `sample`
// records with the labels by row id, trains the challenger (train/retrain.h), compares it with the
// champion on the hold-outs (train/gate.h) and writes `result.json` beside the spec. Both files are
// documented in docs/formats/retrain-run.md.
//
// One thread. Logs to stderr, which the hub has turned into the run's log file.
#pragma once

#include <filesystem>

namespace skerry {

// The process' exit status: 0 when result.json was written, whatever the verdict; 1 otherwise, with
// the reason as last line of the log.
int RunRetrainChild(const std::filesystem::path& spec_file);

}  // namespace skerry
