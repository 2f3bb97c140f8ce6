// evaluate, compare, score: what judges and runs models.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/command.h"
#include "cli/data_files.h"
#include "cli/interrupts.h"
#include "cli/report_text.h"
#include "cli/terminal.h"
#include "crypto/digest.h"
#include "model/package.h"
#include "serve/score_file.h"
#include "storage/new_directory.h"
#include "tabular/engine.h"
#include "train/evaluate.h"
#include "train/gate.h"
#include "train/package_writer.h"
#include "train/training_set.h"

namespace skerry {
namespace {

struct LabelledTable {
  DataFiles file;
  Table table{};
};

Result<LabelledTable> ReadLabelled(const std::string& name, std::vector<std::string> texts) {
  SKERRY_ASSIGN_OR_RETURN(DataFiles file, DataFiles::One(name));
  SKERRY_ASSIGN_OR_RETURN(auto engine, TabularEngine::Open({}));
  ReadOptions read;
  read.text_columns = std::move(texts);
  Result<Table> table = engine->ReadFile(file.paths()[0], read);
  if (!table) return Propagate(file.Told(Propagate(std::move(table))));
  return LabelledTable{.file = std::move(file), .table = std::move(*table)};
}

}  // namespace

CommandRun DeclareEvaluate(CLI::App& app) {
  struct Arguments {
    std::string package, data, out;
    EvaluateOptions options;
    bool json = false;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("package", args->package, "a model package's directory")->required();
  app.add_option("data", args->data, "a labelled table, here or on S3 (s3://)")->required();
  app.add_option("--slice", args->options.slices,
                 "a column by whose values the figures are told, too; may be repeated; default: "
                 "categories and context columns of few values")
      ->delimiter(',');
  app.add_option("--out", args->out, "a directory, made new, for the report with plots");
  app.add_flag("--json", args->json, "print the report as JSON");
  return [args]() -> Status {
    args->options.plots = !args->out.empty();
    if (args->options.plots) SKERRY_RETURN_IF_ERROR(CheckNewDirectory(args->out));
    SKERRY_ASSIGN_OR_RETURN(const auto package, LoadPackage(args->package, {}));
    SKERRY_ASSIGN_OR_RETURN(const LabelledTable data,
                            ReadLabelled(args->data, TextColumns(package->schema)));
    SKERRY_ASSIGN_OR_RETURN(const EvaluateReport report,
                            Evaluate(*package, data.table, args->options));
    if (args->options.plots) {
      const std::filesystem::path& file = data.file.paths()[0];
      SKERRY_ASSIGN_OR_RETURN(const Digest digest, DigestOfFile(file));
      SKERRY_RETURN_IF_ERROR(WriteEvaluation(
          report, *package, fmt::format("{} ({})", file.filename().string(), digest.ToString()),
          args->out));
    }
    std::fputs(
        args->json ? DumpJsonPretty(report.ToJson()).c_str() : EvaluationText(report).c_str(),
        stdout);
    return {};
  };
}

CommandRun DeclareCompare(CLI::App& app) {
  struct Arguments {
    std::string champion, challenger, data;
    bool json = false;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("a", args->champion, "a model package's directory")->required();
  app.add_option("b", args->challenger, "another's, of the same label")->required();
  app.add_option("data", args->data,
                 "a labelled table that neither was trained on, here or on S3 (s3://)")
      ->required();
  app.add_flag("--json", args->json, "print the report as JSON");
  return [args]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(const auto champion, LoadPackage(args->champion, {}));
    SKERRY_ASSIGN_OR_RETURN(const auto challenger, LoadPackage(args->challenger, {}));
    std::vector<std::string> texts = TextColumns(champion->schema);
    for (std::string& column : TextColumns(challenger->schema)) texts.push_back(std::move(column));
    SKERRY_ASSIGN_OR_RETURN(const LabelledTable data, ReadLabelled(args->data, texts));
    SKERRY_ASSIGN_OR_RETURN(const CompareReport report,
                            ComparePaired(args->champion, args->challenger, data.table, {}));
    std::fputs(
        args->json ? DumpJsonPretty(report.ToJson()).c_str() : ComparisonText(report).c_str(),
        stdout);
    return {};
  };
}

namespace {

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
    std::string file, package;
    bool json = false;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("file", args->file,
                 "a CSV file with a header line, or a Parquet file, here or on S3 (s3://)")
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
    SKERRY_ASSIGN_OR_RETURN(const DataFiles file, DataFiles::One(args->file));
    args->options.in = file.paths()[0];
    args->options.cancelled = Interrupted;
    args->options.progress = ScoringProgress();
    const Result<ScoreFileReport> report = ScoreFile(args->options, package);
    if (ShowsProgress()) PrintProgress("");
    if (!report) return file.Told(Propagate(Result<ScoreFileReport>(report)));
    PrintScored(*report, args->options.out.string(), package->schema.task == ModelTask::kBinary,
                args->json);
    return {};
  };
}

}  // namespace skerry
