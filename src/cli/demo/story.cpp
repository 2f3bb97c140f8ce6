#include "cli/demo/story.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <thread>

#include "cli/command.h"
#include "cli/control_client.h"
#include "cli/terminal.h"

namespace skerry {
namespace {

constexpr std::chrono::milliseconds kPoll{20};
constexpr std::chrono::seconds kStartPatience{20};
constexpr std::chrono::seconds kStopPatience{10};

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// A port that is free now. A site has to come back at the same one after its kill.
Result<std::uint16_t> FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const bool good = fd >= 0 && bind(fd, generic, size) == 0 && getsockname(fd, generic, &size) == 0;
  if (fd >= 0) close(fd);
  if (!good) return Fail(ErrorCode::kUnavailable, "no free port on 127.0.0.1");
  return ntohs(address.sin_port);
}

std::string Quoted(const std::string& arg) {
  return arg.find_first_of(" ()[]&;*?$'\"") == std::string::npos ? arg : "'" + arg + "'";
}

}  // namespace

std::string Story::SitePlace::Url() const { return fmt::format("http://127.0.0.1:{}", port); }

Result<std::unique_ptr<Story>> Story::Begin(DemoOptions options) {
  std::unique_ptr<Story> story(new Story(std::move(options)));
  if (story->options_.keep.empty()) {
    SKERRY_ASSIGN_OR_RETURN(TemporaryDirectory directory,
                            TemporaryDirectory::Create("skerry-demo"));
    story->work_ = directory.path();
    story->temporary_.emplace(std::move(directory));
  } else {
    story->work_ = std::filesystem::absolute(story->options_.keep);
    std::error_code error;
    if (std::filesystem::exists(story->work_) && !std::filesystem::is_empty(story->work_, error))
      return Fail(ErrorCode::kAlreadyExists, "{} is not empty; give --keep a new directory",
                  story->work_.string());
    SKERRY_RETURN_IF_ERROR(CreateDirectories(story->work_, 0700));
  }
  for (SitePlace* site : {&story->north_, &story->south_}) {
    site->data = story->work_ / site->name;
    SKERRY_ASSIGN_OR_RETURN(site->port, FreePort());
  }
  return story;
}

void Story::Say(std::string_view line) const {
  while (line.ends_with('\n')) line.remove_suffix(1);
  std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
  std::fflush(stdout);
}

Status Story::Step(std::string_view name, Result<std::string> (Story::*step)()) {
  Say(fmt::format("\n{}. {}", steps_.size() + 1, name));
  const auto start = std::chrono::steady_clock::now();
  Result<std::string> figure;
  try {
    figure = (this->*step)();
  } catch (const Json::exception& e) {  // an answer without a member that the story reads
    figure = Fail(ErrorCode::kInternal, "unexpected answer: {}", e.what());
  }
  if (!figure)
    return Propagate(std::move(figure), fmt::format("step {} ({})", steps_.size() + 1, name));
  steps_.push_back({std::string(name), SecondsSince(start), *figure});
  return {};
}

Status Story::Tell() {
  SKERRY_RETURN_IF_ERROR(Step("the table and its splits", &Story::PrepareData));
  SKERRY_RETURN_IF_ERROR(Step("a hub starts and trains", &Story::TrainAtHub));
  SKERRY_RETURN_IF_ERROR(Step("pack, sign, push", &Story::PackSignPush));
  SKERRY_RETURN_IF_ERROR(Step("two sites join, by link and by media", &Story::StartSites));
  SKERRY_RETURN_IF_ERROR(Step("load, with a cut link and a kill -9", &Story::LoadWithFaults));
  SKERRY_RETURN_IF_ERROR(Step("policy at work", &Story::ShowPolicy));
  SKERRY_RETURN_IF_ERROR(Step("the link returns, a courier comes", &Story::ReturnLink));
  SKERRY_RETURN_IF_ERROR(Step("the numbers add up", &Story::Reconcile));
  SKERRY_RETURN_IF_ERROR(Step("drift", &Story::ShowDrift));
  SKERRY_RETURN_IF_ERROR(Step("labels", &Story::LabelRows));
  SKERRY_RETURN_IF_ERROR(Step("retrain and gate", &Story::RetrainAndGate));
  SKERRY_RETURN_IF_ERROR(Step("roll out", &Story::RollOut));
  PrintSteps();
  return {};
}

void Story::PrintSteps() const {
  std::vector<std::vector<std::string>> rows{{"", "step", "seconds", "figure"}};
  double total = 0;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    rows.push_back({std::to_string(i + 1), steps_[i].name, fmt::format("{:.1f}", steps_[i].seconds),
                    steps_[i].figure});
    total += steps_[i].seconds;
  }
  rows.push_back({"", "in all", fmt::format("{:.1f}", total), ""});
  Say("\n" + RenderColumns(rows));
}

// Long ones go on behind a backslash, so that they can be copied; an option stays with its value.
void Story::SayCommand(const std::vector<std::string>& args, std::string_view end) const {
  std::string line = "  $ skerry";
  for (std::size_t i = 0; i < args.size(); ++i) {
    std::string word = " " + Quoted(args[i]);
    if (args[i].starts_with("--") && i + 1 < args.size() && !args[i + 1].starts_with("--"))
      word += " " + Quoted(args[++i]);
    const std::size_t used = line.size() - (line.rfind('\n') + 1);  // npos + 1 is 0
    if (used + word.size() + end.size() + 2 > kTextColumns) line += " \\\n     ";
    line += word;
  }
  Say(fmt::format("{}{}", line, end));
}

void Story::Explain(std::string_view sentence) const { Say(WrapText("  ", sentence, 2)); }

Result<std::string> Story::Run(const std::vector<std::string>& args) {
  SayCommand(args);
  SKERRY_ASSIGN_OR_RETURN(std::string out, RunSkerry(args, work_, "commands.log"), args[0]);
  std::string shown = "    ";
  for (const char c : out) {
    shown += c;
    if (c == '\n') shown += "    ";
  }
  while (!shown.empty() && (shown.back() == ' ' || shown.back() == '\n')) shown.pop_back();
  if (!shown.empty()) Say(shown);
  return out;
}

Status Story::WaitFor(std::string_view what, std::chrono::seconds patience,
                      const std::function<Result<bool>()>& holds) {
  const auto start = std::chrono::steady_clock::now();
  std::string last = "no answer yet";
  while (std::chrono::steady_clock::now() - start < patience) {
    const auto answer = holds();
    if (answer && *answer) return {};
    if (!answer) last = answer.error().message();
    std::this_thread::sleep_for(kPoll);
  }
  return Fail(ErrorCode::kDeadlineExceeded,
              "{} did not happen within {} s (last: {}); see the logs in {}", what,
              patience.count(), last, work_.string());
}

Status Story::StartHub() {
  const std::vector<std::string> args{"hub", "--data", "hub", "--listen", "127.0.0.1:0"};
  SayCommand(args, " &");
  SKERRY_ASSIGN_OR_RETURN(hub_, DemoChild::Start(args, work_, "hub.log"));
  return WaitFor("the hub's start", kStartPatience, [this]() -> Result<bool> {
    if (!hub_.running()) return Fail(ErrorCode::kInternal, "the hub ended");
    SKERRY_RETURN_IF_ERROR(AskHub("GET", "/v1/sites"));
    return true;
  });
}

Status Story::StartSite(SitePlace& site) {
  std::vector<std::string> args{"site",
                                "--data",
                                site.name,
                                "--token-file",
                                site.name + ".token",
                                "--config",
                                "site.yaml",
                                "--http",
                                fmt::format("127.0.0.1:{}", site.port)};
  if (&site == &north_) {
    args.emplace_back("--hub");
    args.push_back(fmt::format("https://127.0.0.1:{}", link_->port()));
  }
  SayCommand(args, " &");
  SKERRY_ASSIGN_OR_RETURN(site.process, DemoChild::Start(args, work_, site.name + ".log"));
  return WaitFor(site.name + "'s start", kStartPatience, [&]() -> Result<bool> {
    if (!site.process.running()) return Fail(ErrorCode::kInternal, "{} ended", site.name);
    SKERRY_RETURN_IF_ERROR(AskSite(site, "GET", "/v1/site"));
    return true;
  });
}

Status Story::WaitReady(const SitePlace& site) {
  return WaitFor(site.name + " ready to score", kStartPatience, [&]() -> Result<bool> {
    HttpClient client({});
    SKERRY_ASSIGN_OR_RETURN(const HttpReply reply,
                            client.Send({.method = "GET", .url = site.Url() + "/v2/health/ready"}));
    return reply.status == 200;
  });
}

Status Story::CarryToHub(const SitePlace& site) {
  const std::string stick = fmt::format("stick-{}", ++sticks_);
  SKERRY_RETURN_IF_ERROR(Run({"bundle", "export", stick, "--data", site.name}));
  SKERRY_RETURN_IF_ERROR(Run({"bundle", "import", stick, "--hub", "hub"}));
  return {};
}

Status Story::CarryToSite(const SitePlace& site) {
  const std::string stick = fmt::format("stick-{}", ++sticks_);
  SKERRY_RETURN_IF_ERROR(Run({"bundle", "export", stick, "--hub", "hub", "--site", site.name}));
  SKERRY_RETURN_IF_ERROR(Run({"bundle", "import", stick, "--data", site.name}));
  return {};
}

namespace {

Result<Json> Ask(const std::filesystem::path& data, std::string_view method, std::string_view path,
                 const Json& body) {
  SKERRY_ASSIGN_OR_RETURN(ControlClient control, ControlClient::ForData(data));
  if (method == "GET") return control.Get(path);
  if (method == "PUT") return control.Put(path, body);
  return control.Post(path, body);
}

}  // namespace

Result<Json> Story::AskHub(std::string_view method, std::string_view path, const Json& body) {
  return Ask(work_ / "hub", method, path, body);
}

Result<Json> Story::AskSite(const SitePlace& site, std::string_view method, std::string_view path,
                            const Json& body) {
  return Ask(site.data, method, path, body);
}

std::string Story::AppUrl() {
  const auto control = ControlClient::ForData(work_ / "hub");
  auto token = ReadFile(work_ / "hub/admin.token", 4'096);
  if (!control || !token) return "";
  while (!token->empty() && token->back() == '\n') token->pop_back();
  return fmt::format("{}/#token={}", control->url(), *token);
}

void Story::StopEverything() {
  for (DemoChild* process : {&north_.process, &south_.process, &hub_}) process->Stop(kStopPatience);
  link_.reset();
}

Status RunDemo(const DemoOptions& options) {
  SKERRY_ASSIGN_OR_RETURN(const auto story, Story::Begin(options));
  // A person may end the demo at any moment: the children end with this process.
  std::atomic<bool> telling{true};
  std::thread watcher([&telling] {
    WaitForEndSignal();
    if (telling.load()) {
      std::fputs("\nended\n", stderr);
      _exit(130);
    }
  });
  const Status told = story->Tell();
  const bool stay = told && options.end == DemoEnd::kStay;
  telling.store(false);
  if (stay) {
    std::printf("The global app: %s\nThe sites and the hub run until Ctrl-C.\n",
                story->AppUrl().c_str());
    std::fflush(stdout);
  } else {
    kill(getpid(), SIGTERM);  // wakes the watcher
  }
  watcher.join();
  story->StopEverything();
  return told;
}

}  // namespace skerry
