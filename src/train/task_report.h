// What reports and cards say of other tasks than the binary one, and what all of them share. Inside
// train.
#pragma once

#include <string>

#include "codec/json.h"
#include "train/trainer.h"

namespace skerry {

// Puts the task's figures in the place of the binary ones in report.json.
void AddTaskFigures(const TrainReport& report, Json& json);
// The table that `skerry train` prints.
std::string TaskReportText(const TrainReport& report);
// The same for card.md, in Markdown.
std::string TaskFigures(const TrainReport& report);
// Of any task: the features that gained most, for a terminal; empty without a predictor.
std::string GainsText(const TrainReport& report);

}  // namespace skerry
