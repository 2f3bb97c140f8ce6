#include "serve/score_file.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/cores.h"
#include "model/scorer.h"
#include "serve/file_rows.h"
#include "serve/scored_file.h"
#include "storage/file.h"

namespace skerry {
namespace {

// Threads take blocks in turns, score them side by side, and write them in turns, in the order in
// which they were read: so many blocks are in memory as there are threads.
class BlockLoop {
 public:
  // `windows`: null where the package has none.
  BlockLoop(const ScoreFileOptions& options, RowInput& input, ScoredOutput& output,
            WindowState* windows)
      : options_(options), input_(input), output_(output), windows_(windows) {}

  Status Run(std::size_t threads) {
    std::vector<std::thread> others;
    for (std::size_t i = 1; i < threads; ++i) others.emplace_back([this] { Work(); });
    Work();
    for (std::thread& thread : others) thread.join();
    return failed_;
  }
  const ScoreFileReport& report() const { return report_; }

 private:
  void Work() {
    while (true) {
      FileRows block;
      std::uint64_t turn = 0;
      Result<bool> more = Take(block, turn);
      if (!more) return FailWith(Propagate(std::move(more)));
      if (!*more) return;
      if (Status scored = ScoreRows(block.batch); !scored) return FailWith(std::move(scored));
      RenderedRows rendered = output_.Render(block);
      std::unique_lock lock(write_mutex_);
      turned_.wait(lock, [&] { return written_ == turn || !failed_; });
      if (!failed_) return;
      Count(block.batch);
      if (Status status = output_.Write(std::move(rendered)); !status) {
        failed_ = std::move(status);
        turned_.notify_all();
        return;
      }
      ++written_;
      turned_.notify_all();
      if (options_.progress) options_.progress(report_.rows, share_);
    }
  }

  Result<bool> Take(FileRows& block, std::uint64_t& turn) {
    const std::lock_guard lock(read_mutex_);
    {
      const std::lock_guard writing(write_mutex_);
      if (!failed_) return false;
    }
    if (ended_) return false;
    if (options_.cancelled && options_.cancelled())
      return Fail(ErrorCode::kUnavailable, "interrupted");
    SKERRY_ASSIGN_OR_RETURN(const bool more, input_.Next(block));
    ended_ = !more;
    if (more && windows_ != nullptr) SKERRY_RETURN_IF_ERROR(LookBack(block.batch, *windows_));
    turn = taken_;
    if (more) ++taken_;
    const std::lock_guard writing(write_mutex_);
    share_ = input_.share();
    return more;
  }

  void Count(const RowBatch& batch) {
    report_.rows += batch.rows;
    const bool binary = batch.package->schema.task == ModelTask::kBinary;
    for (std::size_t row = 0; row < batch.rows; ++row) {
      if (binary) report_.positives += batch.prediction[row];
      report_.anomalies += batch.IsAnomaly(row) ? 1 : 0;
    }
  }

  // The first error stays.
  void FailWith(Status status) {
    const std::lock_guard lock(write_mutex_);
    if (failed_) failed_ = std::move(status);
    turned_.notify_all();
  }

  const ScoreFileOptions& options_;
  RowInput& input_;
  ScoredOutput& output_;
  WindowState* const windows_;  // which see the blocks in their order, under read_mutex_
  std::mutex read_mutex_;       // before write_mutex_ where both are held
  bool ended_ = false;
  std::uint64_t taken_ = 0;
  std::mutex write_mutex_;
  std::condition_variable turned_;
  std::uint64_t written_ = 0;
  Status failed_;
  double share_ = 0;
  ScoreFileReport report_;
};

}  // namespace

Result<ScoreFileReport> ScoreFile(const ScoreFileOptions& options,
                                  std::shared_ptr<const ModelPackage> package) {
  const auto started = std::chrono::steady_clock::now();
  if (package->bare)
    return Fail(ErrorCode::kFailedPrecondition,
                "model {} is a bare ONNX file without a schema: a table needs a model package",
                package->name);
  std::vector<ScoredColumn> scored = ScoredColumnsOf(package->schema);
  const Result<FileState> before = ReadFileState(options.in);
  const std::string name = options.in.string();
  std::optional<WindowState> windows;
  if (!package->schema.windows.empty()) windows.emplace(package->schema);
  SKERRY_ASSIGN_OR_RETURN(const auto input, OpenRowInput(options.in, std::move(package)), name);
  const std::filesystem::path out = std::filesystem::absolute(options.out).lexically_normal();
  SKERRY_ASSIGN_OR_RETURN(
      const TemporaryDirectory directory,
      TemporaryDirectory::Create("." + out.filename().string(), out.parent_path()));
  const auto threads = static_cast<std::size_t>(options.threads > 0 ? options.threads : Cores());
  SKERRY_ASSIGN_OR_RETURN(const auto output,
                          OpenScoredOutput({.in = options.in,
                                            .columns = input->columns(),
                                            .scored = std::move(scored),
                                            .parquet = IsParquet(out),
                                            .directory = directory.path(),
                                            .threads = static_cast<int>(threads)}),
                          name);
  BlockLoop loop(options, *input, *output, windows ? &*windows : nullptr);
  SKERRY_RETURN_IF_ERROR(loop.Run(threads), name);
  ScoreFileReport report = loop.report();
  if (report.rows == 0) return Fail(ErrorCode::kInvalidArgument, "{} has no rows", name);
  SKERRY_ASSIGN_OR_RETURN(const std::filesystem::path written, output->Finish());
  if (options.cancelled && options.cancelled()) return Fail(ErrorCode::kUnavailable, "interrupted");
  const Result<FileState> after = ReadFileState(options.in);
  if (!before || !after || *before != *after)
    return Fail(ErrorCode::kFailedPrecondition, "{} was changed while it was read: score it again",
                name);
  SKERRY_RETURN_IF_ERROR(PublishFileDurably(written, out));
  report.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return report;
}

}  // namespace skerry
