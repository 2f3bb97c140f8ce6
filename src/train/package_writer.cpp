#include "train/package_writer.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <system_error>
#include <utility>

#include "storage/file.h"
#include "train/card.h"
#include "train/provenance.h"

namespace skerry {
namespace {

Status SystemFailure(std::string_view doing, const std::filesystem::path& path,
                     const std::error_code& error) {
  return Fail(ErrorCode::kInternal, "{} {}: {}", doing, path.string(), error.message());
}

}  // namespace

Status CheckOutput(const std::filesystem::path& out) {
  std::error_code error;
  if (out.empty()) return Fail(ErrorCode::kInvalidArgument, "name the directory to write to");
  if (std::filesystem::exists(std::filesystem::symlink_status(out, error)))
    return Fail(ErrorCode::kAlreadyExists, "{} is there already: remove it or choose another name",
                out.string());
  const std::filesystem::path parent = std::filesystem::absolute(out).parent_path();
  if (!std::filesystem::is_directory(parent, error))
    return Fail(ErrorCode::kInvalidArgument, "there is no directory {}", parent.string());
  return {};
}

Status WriteNewDirectory(const NamedTexts& files, const std::filesystem::path& out) {
  SKERRY_RETURN_IF_ERROR(CheckOutput(out));
  const std::filesystem::path target = std::filesystem::absolute(out).lexically_normal();
  const std::filesystem::path parent = target.parent_path();
  SKERRY_ASSIGN_OR_RETURN(const TemporaryDirectory directory,
                          TemporaryDirectory::Create("." + target.filename().string(), parent));
  for (const auto& [name, bytes] : files)
    if (!bytes.empty()) SKERRY_RETURN_IF_ERROR(WriteFileDurably(directory.path() / name, bytes));
  std::error_code error;
  using std::filesystem::perms;
  constexpr perms kReadable = perms::owner_all | perms::group_read | perms::group_exec |
                              perms::others_read | perms::others_exec;  // 0755
  std::filesystem::permissions(directory.path(), kReadable, error);
  if (error) return SystemFailure("opening to readers", directory.path(), error);
  SKERRY_RETURN_IF_ERROR(CheckOutput(out));
  std::filesystem::rename(directory.path(), target, error);
  if (error) return SystemFailure("naming", target, error);
  return SyncDirectory(parent);
}

Status WritePackage(const FittedPackage& package, const std::vector<std::string>& data,
                    Json provenance, const std::filesystem::path& out) {
  Json report = package.report.ToJson();
  report.erase("seconds");
  NamedTexts files = {
      {"model.onnx", package.model_onnx},  // none of a detector alone
      {"detector.onnx", package.detector_onnx},
      {"schema.json", DumpJsonPretty(package.schema.ToJson()) + "\n"},
      {"reference.json", DumpJsonPretty(package.reference.ToJson()) + "\n"},
      {"card.md", RenderCard(package, data)},
      {"report.json", DumpJsonPretty(report) + "\n"},
  };
  for (const PlotFile& plot : package.plots) files.emplace_back(plot.name, plot.svg);
  files.emplace_back("provenance.json", ProvenanceText(std::move(provenance), files));
  return WriteNewDirectory(files, out);
}

Result<TrainReport> FinishPackage(FittedPackage package, const TrainOptions& options,
                                  const SourceData& data, const TrainingClock& clock) {
  package.report.name = options.name;
  package.report.version = options.version;
  package.report.data_digest = data.digest;
  package.report.seconds = clock.seconds();
  if (options.cancelled && options.cancelled()) return Fail(ErrorCode::kUnavailable, "interrupted");
  std::vector<std::string> sources;
  for (const auto& [file, digest] : data.files)
    sources.push_back(fmt::format("{} ({})", file, digest));
  SKERRY_ASSIGN_OR_RETURN(Json provenance, ProvenanceOf(options, package.report, data.files));
  SKERRY_RETURN_IF_ERROR(WritePackage(package, sources, std::move(provenance), options.out));
  return std::move(package.report);
}

}  // namespace skerry
