// compact: few large Parquet files instead of many small ones.
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "cli/command.h"
#include "cli/data_files.h"
#include "cli/interrupts.h"
#include "cli/terminal.h"
#include "storage/file.h"
#include "storage/new_directory.h"
#include "tabular/compaction.h"

namespace skerry {

CommandRun DeclareCompact(CLI::App& app) {
  struct Arguments {
    std::vector<std::string> files;
    std::filesystem::path out;
    std::uint64_t part_mb = 256;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("files", args->files,
                 "Parquet files, or patterns ('lake/class=sample/*/*/*'), here or on S3 (s3://)")
      ->required();
  app.add_option("--out", args->out, "the directory of the new files, made new")->required();
  app.add_option("--part-mb", args->part_mb, "how many MB of the old files make a new one")
      ->check(CLI::Range(1, 65'536))
      ->capture_default_str();
  return [args]() -> Status {
    SKERRY_RETURN_IF_ERROR(CheckNewDirectory(args->out));  // before a fetch of hours
    CatchInterrupts();
    SKERRY_ASSIGN_OR_RETURN(const DataFiles files, DataFiles::Open(args->files));
    SKERRY_ASSIGN_OR_RETURN(const auto spill, TemporaryDirectory::Create("skerry-compact"));
    TabularOptions options;
    options.temp_directory = spill.path().string();
    SKERRY_ASSIGN_OR_RETURN(const auto engine, TabularEngine::Open(options));
    const Result<Compaction> done = CompactParquet(
        *engine, files.paths(), args->out, args->part_mb << 20U, [] { return !Interrupted(); });
    if (!done) return files.Told(Propagate(Result<Compaction>(done)));
    std::fputs(fmt::format("{}: {} rows of {} files in {}\n", args->out.string(),
                           WithThousands(done->rows), WithThousands(done->files),
                           WithThousands(done->parts))
                   .c_str(),
               stdout);
    return {};
  };
}

}  // namespace skerry
