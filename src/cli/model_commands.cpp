// train, evaluate, score: what makes and runs models.
#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <memory>

#include "cli/command.h"
#include "cli/report_text.h"
#include "cli/terminal.h"
#include "model/package.h"
#include "serve/score_file.h"
#include "tabular/engine.h"
#include "train/gate.h"
#include "train/trainer.h"

namespace skerry {

CommandRun DeclareTrain(CLI::App& app) {
  struct Arguments {
    TrainOptions options;
    bool json = false;
  };
  auto args = std::make_shared<Arguments>();
  TrainOptions& options = args->options;
  app.add_option("data", options.data, "CSV, Parquet or NDJSON files")->required();
  app.add_option("--label", options.label, "the column to predict; a task anomaly has none");
  app.add_option("--task", options.task,
                 "classification (two values, or more: a class each), multiclass, regression or "
                 "anomaly; default: by the label");
  app.add_option("--objective", options.parameters.objective,
                 "of a regression: squared-error, absolute-error, poisson, gamma or tweedie");
  app.add_option("--out", options.out, "the model package's directory, made new")->required();
  app.add_option("--name", options.name, "the model's name")->capture_default_str();
  app.add_option("--version", options.version, "its version")->capture_default_str();
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
  app.add_option("--positive", options.positive, "the label's value that is to be found");
  app.add_option("--seed", options.seed, "of the one shuffle and of training")
      ->capture_default_str();
  app.add_option("--holdout", options.holdout, "share of rows held out for the report")
      ->check(CLI::Range(0.0, 0.9))
      ->capture_default_str();
  app.add_flag("--json", args->json, "print the report as JSON");
  return [args]() -> Status {
    args->options.progress = [](std::string_view line) { PrintProgress(line); };
    SKERRY_ASSIGN_OR_RETURN(const TrainReport report, Train(args->options));
    std::fputs(args->json ? DumpJsonPretty(report.ToJson()).c_str() : report.ToText().c_str(),
               stdout);
    return {};
  };
}

CommandRun DeclareEvaluate(CLI::App& app) {
  struct Arguments {
    std::string package, data;
    bool json = false;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("package", args->package, "a model package's directory")->required();
  app.add_option("data", args->data, "a labelled table")->required();
  app.add_flag("--json", args->json, "print the report as JSON");
  return [args]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(auto engine, TabularEngine::Open({}));
    ReadOptions read;
    read.csv_types = CsvTypes::kText;
    SKERRY_ASSIGN_OR_RETURN(const Table table, engine->ReadFile(args->data, read));
    SKERRY_ASSIGN_OR_RETURN(const EvaluateReport report, Evaluate(args->package, table, {}));
    std::fputs(
        args->json ? DumpJsonPretty(report.ToJson()).c_str() : EvaluationText(report).c_str(),
        stdout);
    return {};
  };
}

namespace {

// Ctrl-C (or SIGTERM) ends the command after the rows in hand, so that it can clean up; the second
// one ends it at once.
volatile std::sig_atomic_t interrupted = 0;

void CatchInterrupts() {
  struct sigaction action{};
  action.sa_handler = [](int) { interrupted = 1; };
  // What is being read or written goes on: else its error would come in the interruption's place.
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

// At most some lines a second.
std::function<void(std::uint64_t, double)> ScoringProgress() {
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kPause{200};
  if (!ShowsProgress()) return {};
  const Clock::time_point started = Clock::now();
  return [started, shown = started](std::uint64_t rows, double share) mutable {
    const Clock::time_point now = Clock::now();
    if (now - shown < kPause) return;
    shown = now;
    const double seconds = std::chrono::duration<double>(now - started).count();
    const auto speed = static_cast<std::uint64_t>(static_cast<double>(rows) / seconds);
    PrintProgress(ProgressBar(
        share, fmt::format("{} rows, {} a second", WithThousands(rows), WithThousands(speed))));
  };
}

void PrintScored(const ScoreFileReport& report, const std::string& out, bool binary, bool json) {
  if (json) {
    Json facts{{"rows", report.rows}, {"anomalies", report.anomalies}, {"seconds", report.seconds}};
    if (binary) facts["positives"] = report.positives;
    std::fputs(DumpJsonPretty(facts).c_str(), stdout);
    return;
  }
  const std::string positives = binary ? fmt::format(" {} positive,", report.positives) : "";
  std::fputs(fmt::format("{}: {} rows,{} {} anomalies, {:.2f} s\n", out, report.rows, positives,
                         report.anomalies, report.seconds)
                 .c_str(),
             stdout);
}

}  // namespace

CommandRun DeclareScore(CLI::App& app) {
  struct Arguments {
    ScoreFileOptions options;
    std::string package;
    bool json = false;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("file", args->options.in, "a CSV file with a header line, or a Parquet file")
      ->required();
  app.add_option("model", args->package, "a model package's directory")->required();
  app.add_option("--out", args->options.out, "the file to write; Parquet where it ends in .parquet")
      ->required();
  app.add_option("--threads", args->options.threads, "that score; 0: one a core")
      ->check(CLI::Range(0, 256))
      ->capture_default_str();
  app.add_flag("--json", args->json, "print the counts as JSON");
  return [args]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(
        const auto package,
        LoadPackage(args->package, {.name = "", .version = "0", .digest = {}, .files = {}}));
    CatchInterrupts();
    args->options.cancelled = [] { return interrupted != 0; };
    args->options.progress = ScoringProgress();
    const Result<ScoreFileReport> report = ScoreFile(args->options, package);
    if (ShowsProgress()) PrintProgress("");
    if (!report) return Propagate(Result<ScoreFileReport>(report));
    PrintScored(*report, args->options.out.string(), package->schema.task == ModelTask::kBinary,
                args->json);
    return {};
  };
}

}  // namespace skerry
