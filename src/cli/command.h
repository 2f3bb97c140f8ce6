// The commands of the one binary, in one table (commands.cpp).
//
// A command is declared by a function that adds its options to the parser and returns what to run
// once they are parsed. Facts go to stdout (a table, or JSON with --json), progress and errors to
// stderr. Exit status: 0 done, 1 failed, 2 wrong usage.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <span>
#include <string_view>

#include "base/error.h"

namespace skerry {

using CommandRun = std::function<Status()>;

struct Command {
  std::string_view name;
  std::string_view summary;  // one line, no full stop
  std::string_view example;  // as a person would type it
  CommandRun (*declare)(CLI::App& app);
};

std::span<const Command> Commands();

// Parses, runs, prints the error if there is one. The whole of main().
int RunCommandLine(int argc, char** argv);

// Until the person or the system ends the process: SIGINT, SIGTERM.
void WaitForEndSignal();
// What main() of a served process does meanwhile: the service manager, where one started it, is
// told that it serves, as often as it wants to hear it that `well`, and that it ends.
void WaitAsService(const std::function<Status()>& well);

// The declarations, a file a group.
CommandRun DeclareTrain(CLI::App& app);
CommandRun DeclareEvaluate(CLI::App& app);
CommandRun DeclareCompare(CLI::App& app);
CommandRun DeclareScore(CLI::App& app);
CommandRun DeclareCompact(CLI::App& app);
CommandRun DeclarePack(CLI::App& app);
CommandRun DeclareSign(CLI::App& app);
CommandRun DeclareVerify(CLI::App& app);
CommandRun DeclarePush(CLI::App& app);
CommandRun DeclarePull(CLI::App& app);
CommandRun DeclareImage(CLI::App& app);
CommandRun DeclareServe(CLI::App& app);
CommandRun DeclareApiKey(CLI::App& app);
CommandRun DeclareSite(CLI::App& app);
CommandRun DeclareHub(CLI::App& app);
CommandRun DeclareToken(CLI::App& app);
CommandRun DeclareDeploy(CLI::App& app);
CommandRun DeclareAcknowledge(CLI::App& app);
CommandRun DeclareRevoke(CLI::App& app);
CommandRun DeclareLineage(CLI::App& app);
CommandRun DeclareBundle(CLI::App& app);
CommandRun DeclarePolicy(CLI::App& app);
CommandRun DeclareOutbox(CLI::App& app);
CommandRun DeclareLabel(CLI::App& app);
CommandRun DeclareRegistry(CLI::App& app);
CommandRun DeclareRetrain(CLI::App& app);
CommandRun DeclareRun(CLI::App& app);
CommandRun DeclareStatus(CLI::App& app);
CommandRun DeclareDemo(CLI::App& app);
CommandRun DeclareDoctor(CLI::App& app);
CommandRun DeclareHealth(CLI::App& app);
CommandRun DeclareVersion(CLI::App& app);

}  // namespace skerry
