// outbox: what a site keeps for its hub, asked of the running site.
#include <algorithm>
#include <cstdio>
#include <memory>

#include "cli/command.h"
#include "cli/control_client.h"
#include "cli/report_text.h"
#include "policy/record_class.h"

namespace skerry {
namespace {

struct OutboxArguments {
  std::string data, cls, path;
  std::size_t rows = 10;
  bool json = false;
};

using Text = std::string (*)(const Json&);

Status Ask(const OutboxArguments& args, const char* method, const char* path, const Json& body,
           Text text) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.data));
  SKERRY_ASSIGN_OR_RETURN(const Json answer, std::string_view(method) == "GET"
                                                 ? control.Get(path)
                                                 : control.Post(path, body));
  std::fputs(args.json ? DumpJsonPretty(answer).c_str() : text(answer).c_str(), stdout);
  return {};
}

Status Verify(const OutboxArguments& args) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(args.data));
  SKERRY_ASSIGN_OR_RETURN(const Json answer, control.Post("/v1/outbox/verify", Json::object()));
  const Json findings = answer.value("findings", Json::array());
  if (args.json) std::fputs(DumpJsonPretty(answer).c_str(), stdout);
  for (const Json& finding : findings)
    if (!args.json) std::printf("%s\n", finding.get<std::string>().c_str());
  if (!findings.empty())
    return Fail(ErrorCode::kDataLoss, "{} things are wrong with the outbox of {}", findings.size(),
                args.data);
  if (!args.json)
    std::puts("every record, segment, statement and ledger entry is sound, and the numbers add up");
  return {};
}

// A record a line, so that other programs can read it.
std::string TailText(const Json& answer) {
  std::string lines;
  for (const Json& record : answer.value("records", Json::array()))
    lines += DumpJson(record) + "\n";
  return lines;
}

std::string AcknowledgedText(const Json& answer) {
  return fmt::format("{} records that the hub has lost are no alarm any more\n",
                     answer.value("acknowledged", std::uint64_t{0}));
}

std::string ExportText(const Json& answer) { return answer.value("path", "") + ": written\n"; }

Status Export(const OutboxArguments& args) {
  SKERRY_RETURN_IF_ERROR(ParseRecordClass(args.cls));
  return Ask(args, "POST", "/v1/outbox/export",
             Json{{"class", args.cls}, {"path", std::filesystem::absolute(args.path).string()}},
             &ExportText);
}

Status Tail(const OutboxArguments& args) {
  SKERRY_RETURN_IF_ERROR(ParseRecordClass(args.cls));
  return Ask(args, "POST", "/v1/outbox/tail", Json{{"class", args.cls}, {"rows", args.rows}},
             &TailText);
}

}  // namespace

CommandRun DeclareOutbox(CLI::App& app) {
  auto chosen = std::make_shared<CommandRun>();
  auto args = std::make_shared<OutboxArguments>();
  app.require_subcommand(1);
  const auto add = [&](const char* name, const char* summary, CommandRun run) {
    CLI::App* sub = app.add_subcommand(name, summary);
    sub->add_option("--data", args->data, "data directory of the running site")->required();
    sub->add_flag("--json", args->json, "print the answer as JSON");
    auto kept = std::make_shared<CommandRun>(std::move(run));
    sub->callback([chosen, kept] { *chosen = *kept; });
    return sub;
  };
  const auto ask = [args](const char* method, const char* path, Text text) -> CommandRun {
    return [=] { return Ask(*args, method, path, Json::object(), text); };
  };
  const auto of_class = [args](CLI::App* sub) {
    sub->add_option("--class", args->cls, "label, anomaly, summary, sample, decision or insight")
        ->required();
  };
  add("sync", "talk to the hub now, whatever the back-off says",
      ask("POST", "/v1/sync", &SyncText));
  add("status", "backlog, rates, counters, receipts, alarms",
      ask("GET", "/v1/outbox", &OutboxText));
  add("seal", "seal every committed row into segments now",
      ask("POST", "/v1/outbox/seal", &OutboxText));
  add("verify", "walk everything that is kept and say what is wrong",
      [args] { return Verify(*args); });
  add("acknowledge", "say that you know which records the hub has lost",
      ask("POST", "/v1/outbox/acknowledge", &AcknowledgedText));
  CLI::App* tail = add("tail", "the latest records of a class, a line of JSON each",
                       [args] { return Tail(*args); });
  of_class(tail);
  tail->add_option("--rows", args->rows, "how many")->capture_default_str();
  CLI::App* copy = add("export", "write the records of a class for use on the site",
                       [args] { return Export(*args); });
  of_class(copy);
  copy->add_option("path", args->path, "the file to write: .csv or .parquet")->required();
  return [chosen] { return (*chosen)(); };
}

}  // namespace skerry
