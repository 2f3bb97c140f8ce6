// demo: the whole loop on one machine.
#include <unistd.h>

#include <memory>

#include "cli/command.h"
#include "cli/demo/story.h"

namespace skerry {

CommandRun DeclareDemo(CLI::App& app) {
  struct Arguments {
    DemoOptions options;
    bool exit = false;
  };
  auto args = std::make_shared<Arguments>();
  app.add_option("--data", args->options.data,
                 "a table of your own; the milling simulator otherwise");
  app.add_option("--label", args->options.label, "its label column")->capture_default_str();
  app.add_option("--ignore", args->options.ignore, "columns to leave out")->delimiter(',');
  app.add_option("--seed", args->options.seed, "of the shuffle, the simulator and the load")
      ->capture_default_str();
  app.add_option("--keep", args->options.keep, "work in this new directory and leave it");
  app.add_flag("--exit", args->exit, "stop everything at the end; so it is without a terminal");
  return [args]() -> Status {
    if (args->exit || isatty(STDOUT_FILENO) == 0) args->options.end = DemoEnd::kExit;
    return RunDemo(args->options);
  };
}

}  // namespace skerry
