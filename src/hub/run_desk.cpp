#include "hub/run_desk.h"

#include <algorithm>
#include <fstream>

#include "base/ids.h"
#include "base/limits.h"
#include "base/log.h"
#include "hub/audit_log.h"
#include "hub/label_store.h"
#include "hub/ledger.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kRunIdBytes = 6;

Status CheckReadable(std::string_view what, const fs::path& file) {
  if (!std::ifstream(file).good())
    return Fail(ErrorCode::kInvalidArgument, "{}: cannot read {}", what, file.string());
  return {};
}

std::string CsvCell(std::string_view text) {
  std::string cell = "\"";
  for (const char c : text) cell += c == '"' ? std::string("\"\"") : std::string(1, c);
  return cell + "\"";
}

std::string LabelsCsv(const std::vector<Label>& labels) {
  std::string csv = "instance,n,label\n";
  for (const Label& label : labels)
    csv +=
        fmt::format("{},{},{}\n", label.row.instance.ToString(), label.row.n, CsvCell(label.label));
  return csv;
}

}  // namespace

Result<std::unique_ptr<RunDesk>> RunDesk::Start(RunDeskParts parts) {
  SKERRY_RETURN_IF_ERROR(CreateDirectories(parts.runs));
  std::unique_ptr<RunDesk> desk(new RunDesk(std::move(parts)));
  Status cleared = desk->parts_.store->Write([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const std::int64_t runs,
                            RunStore(db).FailInterrupted(desk->parts_.clock->UtcMicros()));
    return {};
  });
  SKERRY_RETURN_IF_ERROR(std::move(cleared));
  desk->thread_ = std::thread([self = desk.get()] { self->Loop(); });
  return desk;
}

RunDesk::~RunDesk() { Stop(); }

void RunDesk::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  child_.Stop();
  if (thread_.joinable()) thread_.join();
}

Result<std::string> RunDesk::Submit(const RetrainRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const ModelRef champion, parts_.shelf->FindModel(request.model));
  const auto taken =
      parts_.shelf->FindModel(fmt::format("{}:{}", champion.name, request.new_version));
  if (taken)
    return Fail(ErrorCode::kAlreadyExists, "models/{} has a version {} already", champion.name,
                request.new_version);
  if (!request.base.empty()) SKERRY_RETURN_IF_ERROR(CheckReadable("base", request.base));
  for (const auto& [name, file] : request.holdouts)
    SKERRY_RETURN_IF_ERROR(CheckReadable(fmt::format("holdouts.{}", name), file));
  const std::string id = RandomHex(kRunIdBytes);
  Status written = parts_.store->Write([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(const auto labels, LabelStore(db).List(request.labels, 1));
    if (labels.empty())
      return Fail(ErrorCode::kFailedPrecondition,
                  "the label set {} is empty; POST /v1/labels fills it", request.labels);
    SKERRY_ASSIGN_OR_RETURN(const auto runs, RunStore(db).List(limits::kListItems));
    if (static_cast<std::size_t>(std::count_if(runs.begin(), runs.end(), [](const RunRecord& run) {
          return !run.done();
        })) >= limits::kQueuedRuns)
      return Fail(ErrorCode::kResourceExhausted, "{} runs are waiting already; try later",
                  limits::kQueuedRuns);
    const std::int64_t now_us = parts_.clock->UtcMicros();
    SKERRY_RETURN_IF_ERROR(RunStore(db).Add(id, "retrain", request.ToJson(), now_us));
    return AuditLog(db).Append(now_us, "admin", "run.start", id, request.ToJson());
  });
  SKERRY_RETURN_IF_ERROR(std::move(written));
  {
    const std::lock_guard lock(mutex_);
    pending_ = true;
  }
  changed_.notify_all();
  return id;
}

Result<Json> RunDesk::Describe(std::string_view id) {
  SKERRY_ASSIGN_OR_RETURN(const RunRecord run,
                          parts_.store->Read([&](Database& db) { return RunStore(db).Find(id); }));
  Json json = run.ToJson();
  json["log_tail"] = LogTail(id);
  return json;
}

std::string RunDesk::LogTail(std::string_view id) const {
  std::ifstream log(DirectoryOf(id) / "log.txt", std::ios::binary | std::ios::ate);
  if (!log) return "";
  const auto size = static_cast<std::size_t>(log.tellg());
  const std::size_t tail = std::min(size, limits::kRunLogTailBytes);
  std::string text(tail, '\0');
  log.seekg(static_cast<std::streamoff>(size - tail));
  log.read(text.data(), static_cast<std::streamsize>(tail));
  text.resize(static_cast<std::size_t>(log.gcount()));
  return text;
}

void RunDesk::Loop() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return pending_ || stopping_; });
      if (stopping_) return;
      pending_ = false;
    }
    while (true) {
      const auto next = parts_.store->Read([](Database& db) { return RunStore(db).NextQueued(); });
      if (!next) LogError("cannot read the queue of runs: {}", next.error().message());
      if (!next || !*next) break;
      Execute(**next);
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
  }
}

void RunDesk::Execute(const RunRecord& run) {
  const Status started = parts_.store->Write(
      [&](Database& db) { return RunStore(db).Start(run.id, parts_.clock->UtcMicros()); });
  if (!started) return LogError("cannot start run {}: {}", run.id, started.error().message());
  LogInfo("run started id={}", run.id);
  const auto result = Train(run);
  const Status concluded = result ? Conclude(run, *result) : FinishFailed(run, result.error());
  if (concluded) return;
  const Status noted = FinishFailed(run, concluded.error());
  if (!noted) LogError("cannot note the end of run {}: {}", run.id, noted.error().message());
}

Result<RetrainSpec> RunDesk::Prepare(const RunRecord& run) {
  RetrainSpec spec;
  SKERRY_ASSIGN_OR_RETURN(spec.request, RetrainRequest::FromJson(run.spec));
  SKERRY_ASSIGN_OR_RETURN(const ModelRef champion, parts_.shelf->FindModel(spec.request.model));
  SKERRY_ASSIGN_OR_RETURN(spec.champion, parts_.shelf->PackageDirectory(champion));
  const fs::path directory = DirectoryOf(run.id);
  SKERRY_RETURN_IF_ERROR(CreateDirectories(directory));
  spec.labels_csv = directory / "labels.csv";
  spec.out = directory / "package";
  spec.result = directory / "result.json";
  std::string labels;
  const Status read = parts_.store->Read([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(const auto files,
                            Ledger(db).FilesOfClass(RecordClass::kSample, "", champion.name, 0));
    for (const std::string& file : files) spec.lake.push_back(parts_.lake / file);
    SKERRY_ASSIGN_OR_RETURN(const auto rows,
                            LabelStore(db).List(spec.request.labels, limits::kRetrainLabels));
    labels = LabelsCsv(rows);
    return {};
  });
  if (!read) return tl::make_unexpected(read.error());
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(spec.labels_csv, labels));
  return spec;
}

Result<RetrainResult> RunDesk::Train(const RunRecord& run) {
  SKERRY_ASSIGN_OR_RETURN(const RetrainSpec spec, Prepare(run));
  const fs::path directory = DirectoryOf(run.id);
  const fs::path spec_file = directory / "spec.json";
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(spec_file, DumpJsonPretty(spec.ToJson())));
  const Status ended =
      child_.Run(parts_.program, {"__retrain", spec_file.string()}, directory / "log.txt");
  if (!ended) {
    std::string tail = LogTail(run.id);
    while (!tail.empty() && tail.back() == '\n') tail.pop_back();
    const std::size_t line = tail.find_last_of('\n');
    return Fail(ended.error().code(), "{}: {}", ended.error().message(),
                line == std::string::npos ? tail : tail.substr(line + 1));
  }
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(spec.result, limits::kJsonBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  return RetrainResult::FromJson(json);
}

Status RunDesk::Conclude(const RunRecord& run, const RetrainResult& result) {
  SKERRY_ASSIGN_OR_RETURN(const RetrainRequest request, RetrainRequest::FromJson(run.spec));
  std::string model;
  if (result.passed) {
    SKERRY_ASSIGN_OR_RETURN(const auto name, ParseNameAndVersion("model", request.model));
    SKERRY_ASSIGN_OR_RETURN(
        const ModelRef stored,
        parts_.shelf->PutPackage(DirectoryOf(run.id) / "package", name.first, request.new_version));
    model = stored.ToString();
  }
  const std::string_view state = result.passed ? "passed" : "refused";
  LogInfo("run ended id={} state={} reason=\"{}\"", run.id, state, result.reason);
  return parts_.store->Write([&](Database& db) -> Status {
    const std::int64_t now_us = parts_.clock->UtcMicros();
    SKERRY_RETURN_IF_ERROR(
        RunStore(db).Finish(run.id, state, result.reason, result.ToJson(), model, now_us));
    return AuditLog(db).Append(now_us, "hub", fmt::format("run.{}", state), run.id,
                               {{"model", model}, {"reason", result.reason}});
  });
}

Status RunDesk::FinishFailed(const RunRecord& run, const Error& error) {
  LogWarning("run failed id={} reason=\"{}\"", run.id, error.message());
  return parts_.store->Write([&](Database& db) -> Status {
    const std::int64_t now_us = parts_.clock->UtcMicros();
    SKERRY_RETURN_IF_ERROR(
        RunStore(db).Finish(run.id, "failed", error.message(), Json(), "", now_us));
    return AuditLog(db).Append(now_us, "hub", "run.failed", run.id, {{"reason", error.message()}});
  });
}

}  // namespace skerry
