#include "train/package_writer.h"

#include <fmt/format.h>

#include <utility>

#include "storage/file.h"
#include "storage/new_directory.h"
#include "train/card.h"
#include "train/provenance.h"

namespace skerry {

Status WriteNewDirectory(const NamedTexts& files, const std::filesystem::path& out) {
  SKERRY_RETURN_IF_ERROR(CheckNewDirectory(out));
  const std::filesystem::path target = std::filesystem::absolute(out).lexically_normal();
  const std::filesystem::path parent = target.parent_path();
  SKERRY_ASSIGN_OR_RETURN(const TemporaryDirectory directory,
                          TemporaryDirectory::Create("." + target.filename().string(), parent));
  for (const auto& [name, bytes] : files)
    if (!bytes.empty()) SKERRY_RETURN_IF_ERROR(WriteFileDurably(directory.path() / name, bytes));
  return PublishDirectory(directory, out);
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
