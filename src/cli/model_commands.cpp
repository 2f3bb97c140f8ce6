// train, evaluate, score: what makes and runs models.
#include <cstdio>
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
  app.add_option("--label", options.label, "the column to predict; it has two values")->required();
  app.add_option("--out", options.out, "the model package's directory, made new")->required();
  app.add_option("--name", options.name, "the model's name")->capture_default_str();
  app.add_option("--version", options.version, "its version")->capture_default_str();
  app.add_option("--ignore", options.ignore, "columns to leave out")->delimiter(',');
  app.add_option("--context", options.context, "columns carried along, not learnt from")
      ->delimiter(',');
  app.add_option("--id", options.id, "columns that name a unit or person; carried along")
      ->delimiter(',');
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

CommandRun DeclareScore(CLI::App& app) {
  struct Arguments {
    std::string in, package, out;
    bool json = false;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("file", args->in, "a CSV file with a header line")->required();
  app.add_option("model", args->package, "a model package's directory")->required();
  app.add_option("--out", args->out, "the CSV file to write")->required();
  app.add_flag("--json", args->json, "print the counts as JSON");
  return [args]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(
        const auto package,
        LoadPackage(args->package, {.name = "", .version = "0", .digest = {}, .files = {}}));
    SKERRY_ASSIGN_OR_RETURN(const ScoreFileReport report,
                            ScoreFile(args->in, package, args->out, [](std::uint64_t rows) {
                              PrintProgress(fmt::format("{} rows", rows));
                            }));
    if (args->json) {
      const Json facts{{"rows", report.rows},
                       {"positives", report.positives},
                       {"anomalies", report.anomalies},
                       {"seconds", report.seconds}};
      std::fputs(DumpJsonPretty(facts).c_str(), stdout);
    } else {
      std::printf("%s: %llu rows, %llu positive, %llu anomalies, %.2f s\n", args->out.c_str(),
                  static_cast<unsigned long long>(report.rows),
                  static_cast<unsigned long long>(report.positives),
                  static_cast<unsigned long long>(report.anomalies), report.seconds);
    }
    return {};
  };
}

}  // namespace skerry
