// train: from files to a model package.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>

#include "base/child_process.h"
#include "cli/command.h"
#include "cli/data_files.h"
#include "cli/interrupts.h"
#include "cli/terminal.h"
#include "cli/tracked_training.h"
#include "s3/place.h"
#include "storage/file.h"
#include "storage/new_directory.h"
#include "tabular/file_list.h"
#include "train/column_file.h"
#include "train/option_ranges.h"
#include "train/trainer.h"

namespace skerry {
namespace {

constexpr const char* kDataHelp =
    "CSV, Parquet or NDJSON files, or patterns ('data/*.csv'), here or on S3 "
    "('s3://bucket/*.parquet')";

template <typename T>
CLI::Range Within(const OptionRange& range) {
  return {static_cast<T>(range.least), static_cast<T>(range.most)};
}

bool IsAddress(std::string_view name) { return name.find("://") != std::string_view::npos; }

Status PrintColumns(const TrainOptions& options, bool json) {
  if (!options.spark.data.empty())
    return Fail(ErrorCode::kUnimplemented,
                "columns are looked at on this machine: name a file here that is like {}",
                options.spark.data[0]);
  SKERRY_ASSIGN_OR_RETURN(const std::vector<ColumnFacts> facts, InspectColumns(options));
  Json list = Json::array();
  for (const ColumnFacts& fact : facts) list.push_back(fact.ToJson());
  std::fputs(json ? DumpJsonPretty({{"columns", list}}).c_str() : ColumnFileText(facts).c_str(),
             stdout);
  return {};
}

void AddColumnOptions(CLI::App& app, TrainOptions& options) {
  app.add_option("--ignore", options.ignore, "columns to leave out")->delimiter(',');
  app.add_option("--context", options.context, "columns carried along, not learnt from")
      ->delimiter(',');
  app.add_option("--id", options.id, "columns that name a unit or person; carried along")
      ->delimiter(',');
  app.add_option("--group", options.group_column,
                 "a column whose rows of one value stay on one side of every split");
  app.add_option("--time", options.time_column,
                 "a column of times: the latest rows are held out, inner folds follow it");
  app.add_option("--weight", options.weight_column, "a column of weights, over 0; not learnt from");
  app.add_option("--slice", options.slices,
                 "a column by whose values the figures are told, too; may be repeated; default: "
                 "categories and context columns of few values")
      ->delimiter(',');
  app.add_option("--positive", options.positive, "the label's value that is to be found");
  app.add_option("--derive", options.derive,
                 "at most so many products, ratios and differences of two number columns, those "
                 "that help on inner folds; the package computes them itself")
      ->check(Within<std::size_t>(option_ranges::kDerive))
      ->capture_default_str();
  app.add_option("--window-column", options.windows.columns,
                 "a number column that --window makes features of; may be repeated; default: all")
      ->delimiter(',');
}

void AddTreeOptions(CLI::App& app, HyperParameters& parameters) {
  app.add_option("--objective", parameters.objective,
                 "of a regression: squared-error, absolute-error, poisson, gamma or tweedie");
  app.add_option("--trees", parameters.trees, "at most (of several classes: of each)")
      ->check(Within<int>(option_ranges::kTrees))
      ->capture_default_str();
  app.add_option("--depth", parameters.depth, "of a tree at most")
      ->check(Within<int>(option_ranges::kDepth))
      ->capture_default_str();
  app.add_option("--learning-rate", parameters.learning_rate, "how much of each tree is taken")
      ->check(Within<double>(option_ranges::kLearningRate))
      ->capture_default_str();
  app.add_option("--bins", parameters.bins,
                 fmt::format("that a number's values are cut into at most; default: {} up to {} "
                             "cells, {} beyond",
                             HyperParameters::kFineBins, HyperParameters::kFineCells,
                             HyperParameters::kBins))
      ->check(Within<int>(option_ranges::kBins));
  app.add_option("--threads", parameters.threads,
                 fmt::format("that fit trees; another number may give other last digits; default: "
                             "one for each {} cells, at most one a core",
                             HyperParameters::kCellsOfThread))
      ->check(Within<int>(option_ranges::kThreads));
}

// Where the trees are fitted, as it was told.
struct EngineArguments {
  std::string engine = "embedded", listen;
};

void AddEngineOptions(CLI::App& app, EngineArguments& args, TrainOptions& options) {
  AddTreeOptions(app, options.parameters);
  SparkOptions& spark = options.spark;
  app.add_option("--engine", args.engine, "where the trees are fitted: embedded, or spark")
      ->check(CLI::IsMember({"embedded", "spark"}))
      ->capture_default_str();
  app.add_flag("--from-disk", options.from_disk,
               "keep the rows on disk while trees are fitted; by itself where they are many");
  app.add_option("--master", spark.master,
                 "Spark's: local[*], spark://HOST:PORT, yarn or k8s://URL");
  app.add_option("--livy", spark.livy,
                 "the Livy server of a managed cluster, instead of --master: http(s)://HOST:8998");
  app.add_option("--return-listen", args.listen,
                 "with --livy: ADDRESS:PORT of this machine where the cluster hands the model in");
  app.add_option("--return-url", spark.return_url,
                 "how the cluster reaches that; default: http://ADDRESS:PORT");
  app.add_option("--spark-submit", spark.submit,
                 "the program; default: of $SPARK_HOME, else on the PATH");
  app.add_option("--spark-conf", spark.conf,
                 "a setting of Spark, NAME=VALUE (spark.executor.memory=2g); may be repeated");
}

// kInvalidArgument: options of an engine that do not go together.
Status CheckEngine(const EngineArguments& args, TrainOptions& options) {
  SparkOptions& spark = options.spark;
  const int roads = (spark.master.empty() ? 0 : 1) + (spark.livy.empty() ? 0 : 1);
  if (roads != (args.engine == "spark" ? 1 : 0))
    return Fail(ErrorCode::kInvalidArgument, "spark and one of --master and --livy go together");
  if (spark.livy.empty() != args.listen.empty())
    return Fail(ErrorCode::kInvalidArgument, "--livy and --return-listen go together");
  if (args.engine == "spark" && options.from_disk)
    return Fail(ErrorCode::kInvalidArgument, "--from-disk is of the embedded engine");
  if (args.listen.empty()) return {};
  SKERRY_ASSIGN_OR_RETURN(const HostPort at, ParseHostPort(args.listen), "--return-listen");
  spark.return_host = at.host;
  spark.return_port = at.port;
  return {};
}

// For Spark, which reads objects where they are: addresses, or else files of this machine.
Status TakeSparkData(const std::vector<std::string>& names, TrainOptions& options) {
  std::vector<std::string> files;
  for (const std::string& name : names)
    (IsAddress(name) ? options.spark.data : files).push_back(name);
  if (!options.spark.data.empty() && !files.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "{} is a file of this machine and {} is not: name data of one kind", files[0],
                options.spark.data[0]);
  if (files.empty()) return {};
  SKERRY_ASSIGN_OR_RETURN(options.data, ExpandFiles(files));
  return {};
}

Result<DataFiles> TakeData(const std::vector<std::string>& names, TrainOptions& options) {
  for (const std::string& name : names)
    if (IsAddress(name) && !IsS3Address(name))
      return Fail(ErrorCode::kUnimplemented,
                  "{} is read by Spark alone: add --engine spark, or name a file of this machine "
                  "or an object of S3 (s3://)",
                  name);
  SKERRY_ASSIGN_OR_RETURN(DataFiles data, DataFiles::Open(names));
  options.data = data.paths();
  return data;
}

struct TrainArguments {
  TrainOptions options;
  MlflowOptions mlflow;
  std::vector<std::string> data;
  std::string schema, threshold, window, calibration = "none", detector = "isolation-forest";
  EngineArguments engine;
  bool print_schema = false, json = false;
  std::string run;  // the directory of a hub's run that this process is the child of
};

// A hub that was killed finds by the lock, when it starts again, whether its child has ended.
Result<std::optional<DirectoryLock>> TakePartInRun(const std::string& directory) {
  if (directory.empty()) return std::optional<DirectoryLock>();
  SKERRY_RETURN_IF_ERROR(EndWithParent(SIGTERM));
  return DirectoryLock::Acquire(directory).map(
      [](DirectoryLock&& lock) { return std::optional<DirectoryLock>(std::move(lock)); });
}

// With the data that is there by now.
Status RunTraining(TrainArguments& args) {
  if (args.print_schema) return PrintColumns(args.options, args.json);
  SKERRY_ASSIGN_OR_RETURN(const TrainReport report, TrainTracked(args.options, args.mlflow));
  if (!args.run.empty()) return {};  // its log tells progress; the report is in the package
  std::fputs(args.json ? DumpJsonPretty(report.ToJson()).c_str() : report.ToText().c_str(), stdout);
  return {};
}

// What is chosen on the inner folds.
void AddChoiceOptions(CLI::App& app, TrainArguments& args) {
  app.add_option("--threshold", args.threshold,
                 "what a score's threshold is chosen for, of two classes: f1 (the default), "
                 "cost=FP:FN (as 1:20) or alarm-rate=R (share of all rows)");
  app.add_option("--calibration", args.calibration,
                 "that makes scores probabilities, of two classes: none, sigmoid or isotonic")
      ->check(CLI::IsMember({"none", "sigmoid", "isotonic"}))
      ->capture_default_str();
  app.add_option(
      "--search", args.options.search,
      "how many choices of hyper-parameters to try on the inner folds (2 to 256); default: "
      "none");
  app.add_option("--detector", args.detector,
                 "of anomalies: isolation-forest, or pca (numbers alone; T^2 and Q)")
      ->check(CLI::IsMember({"isolation-forest", "pca"}))
      ->capture_default_str();
  app.add_option("--alarm-rate", args.options.detector.alarm_rate,
                 "share of normal rows that the anomaly detector may raise alarms on")
      ->check(Within<double>(option_ranges::kAlarmRate))
      ->capture_default_str();
}

}  // namespace

CommandRun DeclareTrain(CLI::App& app) {
  auto args = std::make_shared<TrainArguments>();
  TrainOptions& options = args->options;
  app.add_option("data", args->data, kDataHelp)->required();
  app.add_option("--label", options.label, "the column to predict; a task anomaly has none");
  app.add_option("--task", options.task,
                 "classification (two values, or more: a class each), multiclass, regression or "
                 "anomaly; default: by the label");
  app.add_option("--out", options.out, "the model package's directory, made new");
  app.add_option("--schema", args->schema, "a file that tells roles and types of columns");
  app.add_flag("--print-schema", args->print_schema,
               "print such a file, as inferred, and train nothing");
  app.add_option("--name", options.name, "the model's name")->capture_default_str();
  app.add_option("--version", options.version, "its version")->capture_default_str();
  AddColumnOptions(app, options);
  AddChoiceOptions(app, *args);
  app.add_option(
      "--window", args->window,
      "COLUMN:ROWS[,ROWS...], as machine:5,30: also mean, sd, min, max, slope and lags of "
      "number columns over the last rows of each machine, in the order of --time; the "
      "package computes them itself");
  app.add_option("--seed", options.seed, "of the one shuffle and of training")
      ->capture_default_str();
  app.add_option("--holdout", options.holdout, "share of rows held out for the report")
      ->check(Within<double>(option_ranges::kHoldout))
      ->capture_default_str();
  AddEngineOptions(app, args->engine, options);
  AddMlflowOptions(app, args->mlflow);
  app.add_flag("--json", args->json, "print the report as JSON");
  app.add_option("--run-of-hub", args->run, "")->group("");  // no person types it
  app.parse_complete_callback([args] {
    if (!args->threshold.empty()) {
      const Result<ThresholdGoal> goal = ThresholdGoal::Parse(args->threshold);
      if (!goal) throw CLI::ValidationError("--threshold", goal.error().message());
      args->options.threshold = *goal;
    }
    if (!args->window.empty()) {
      Result<WindowOptions> windows = WindowOptions::Parse(args->window);
      if (!windows) throw CLI::ValidationError("--window", windows.error().message());
      windows->columns = std::move(args->options.windows.columns);
      args->options.windows = std::move(*windows);
    }
    if (args->print_schema) return;
    if (args->options.out.empty()) throw CLI::RequiredError("--out");
    if (const Status engine = CheckEngine(args->engine, args->options); !engine)
      throw CLI::ValidationError("--engine", engine.error().message());
    if (args->options.label.empty() && args->schema.empty() && args->options.task != "anomaly")
      throw CLI::RequiredError("--label");
  });
  return [args]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(const auto part, TakePartInRun(args->run));
    TrainOptions& told = args->options;
    SKERRY_ASSIGN_OR_RETURN(told.calibration, ParseCalibration(args->calibration));
    SKERRY_ASSIGN_OR_RETURN(told.detector.kind, ParseDetectorKind(args->detector));
    if (!args->schema.empty()) SKERRY_RETURN_IF_ERROR(ReadColumnFile(args->schema, told));
    const bool addressed = std::any_of(args->data.begin(), args->data.end(), IsAddress);
    if (addressed && !args->print_schema) SKERRY_RETURN_IF_ERROR(CheckNewDirectory(told.out));
    if (addressed || !args->print_schema)
      CatchInterrupts(part ? SecondInterrupt::kIsIgnored : SecondInterrupt::kEndsAtOnce);
    DataFiles data;
    if (told.spark.asked()) {
      SKERRY_RETURN_IF_ERROR(TakeSparkData(args->data, told));
    } else {
      SKERRY_ASSIGN_OR_RETURN(data, TakeData(args->data, told));
    }
    told.progress = [&data](std::string_view line) { PrintProgress(data.Told(std::string(line))); };
    told.cancelled = Interrupted;
    return data.Told(RunTraining(*args));
  };
}

}  // namespace skerry
