// compact: few large Parquet files instead of many small ones.
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "cli/command.h"
#include "cli/interrupts.h"
#include "cli/terminal.h"
#include "storage/file.h"
#include "tabular/compaction.h"
#include "tabular/file_list.h"

namespace skerry {

CommandRun DeclareCompact(CLI::App& app) {
  struct Arguments {
    std::vector<std::string> files;
    std::filesystem::path out;
    std::uint64_t part_mb = 256;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("files", args->files, "Parquet files, or patterns ('lake/class=sample/*/*/*')")
      ->required();
  app.add_option("--out", args->out, "the directory of the new files, made new")->required();
  app.add_option("--part-mb", args->part_mb, "how many MB of the old files make a new one")
      ->check(CLI::Range(1, 65'536))
      ->capture_default_str();
  return [args]() -> Status {
    SKERRY_ASSIGN_OR_RETURN(const auto files, ExpandFiles(args->files));
    SKERRY_ASSIGN_OR_RETURN(const auto spill, TemporaryDirectory::Create("skerry-compact"));
    TabularOptions options;
    options.temp_directory = spill.path().string();
    SKERRY_ASSIGN_OR_RETURN(const auto engine, TabularEngine::Open(options));
    CatchInterrupts();
    SKERRY_ASSIGN_OR_RETURN(const Compaction done,
                            CompactParquet(*engine, files, args->out, args->part_mb << 20U,
                                           [] { return !Interrupted(); }));
    std::fputs(
        fmt::format("{}: {} rows of {} files in {}\n", args->out.string(), WithThousands(done.rows),
                    WithThousands(done.files), WithThousands(done.parts))
            .c_str(),
        stdout);
    return {};
  };
}

}  // namespace skerry
