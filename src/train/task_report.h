// What reports and cards say of other tasks than the binary one, and what all of them share.
#pragma once

#include <string>
#include <string_view>

#include "codec/json.h"
#include "train/trainer.h"

namespace skerry {

// Puts the task's figures in the place of the binary ones in report.json.
void AddTaskFigures(const TrainReport& report, Json& json);
// The table that `skerry train` prints.
std::string TaskReportText(const TrainReport& report);
// The same for card.md, in Markdown.
std::string TaskFigures(const TrainReport& report);
// "log loss" of "log_loss", and so on.
std::string_view FigureName(std::string_view name);
// "best F1", "least cost at 1 a false alarm and 20 a missed row", "alarms on 2 % of the rows".
std::string GoalWords(const ThresholdGoal& goal);
// "alarm rate 0.034 [0.020, 0.050], ..., cost a row ...": the figures at a binary model's
// threshold.
std::string AtThresholdText(const ModelScores& scores);
// The same of one detector's alarms; empty without figures.
std::string AlarmFiguresText(const TaskScores& alarms);
// How far scores are probabilities, before and after calibration, in a line a kind of rows.
std::string ProbabilitiesText(const CalibrationReport& report);
// "Brier score 0.031 [0.025, 0.038], calibration error ...".
std::string ProbabilityFiguresText(const ProbabilityScores& scores);
// The same for card.md, with the reliability table.
std::string ReliabilityText(const CalibrationReport& report);
// How often the detector beside a predictor raises alarms, beside what was asked for, in a line a
// kind of rows; empty of task anomaly, whose figures are that.
std::string AlarmsText(const TrainReport& report);
// Of any task: what was found by a search of derived features; empty without one.
std::string DerivedText(const DeriveReport& derived);
// "depth 6, learning rate 0.05, ..."
std::string ParameterWords(const HyperParameters& parameters);
// "log loss 0.071 on the inner folds, of the default parameters 0.075".
std::string SearchWords(const SearchFacts& search);
// What a search chose, for a terminal; empty without one.
std::string SearchText(const TrainReport& report);
// Of any task: the features that gained most, for a terminal; empty without a predictor.
std::string GainsText(const TrainReport& report);

}  // namespace skerry
