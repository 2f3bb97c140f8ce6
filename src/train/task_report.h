// How the reports and cards of other tasks than the binary one are written. Inside train.
#pragma once

#include <string>
#include <vector>

#include "codec/json.h"
#include "train/model_fit.h"

namespace skerry {

// Puts the task's figures in the place of the binary ones in report.json.
void AddTaskFigures(const TrainReport& report, Json& json);
// The table that `skerry train` prints.
std::string TaskReportText(const TrainReport& report);
// card.md; `data` says where the rows are from, a line each.
std::string RenderTaskCard(const FittedPackage& package, const std::vector<std::string>& data);

}  // namespace skerry
