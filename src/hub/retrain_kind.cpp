#include "hub/retrain_kind.h"

#include <fstream>

#include "base/limits.h"
#include "hub/label_store.h"
#include "hub/ledger.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

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

Result<Json> RetrainKind::Check(const Json& body) {
  SKERRY_ASSIGN_OR_RETURN(const RetrainRequest request, RetrainRequest::FromJson(body));
  SKERRY_ASSIGN_OR_RETURN(const ModelRef champion, shelf_->FindModel(request.model));
  SKERRY_RETURN_IF_ERROR(shelf_->CheckFree(champion.name, request.new_version));
  if (!request.base.empty()) SKERRY_RETURN_IF_ERROR(CheckReadable("base", request.base));
  for (const auto& [name, file] : request.holdouts)
    SKERRY_RETURN_IF_ERROR(CheckReadable(fmt::format("holdouts.{}", name), file));
  SKERRY_ASSIGN_OR_RETURN(const auto labels, store_->Read([&](Database& db) {
    return LabelStore(db).List(request.labels, 1);
  }));
  if (labels.empty())
    return Fail(ErrorCode::kFailedPrecondition,
                "the label set {} is empty; POST /v1/labels fills it", request.labels);
  return request.ToJson();
}

Result<std::vector<std::string>> RetrainKind::Prepare(const Json& asked,
                                                      const fs::path& directory) {
  RetrainSpec spec;
  SKERRY_ASSIGN_OR_RETURN(spec.request, RetrainRequest::FromJson(asked));
  SKERRY_ASSIGN_OR_RETURN(const ModelRef champion, shelf_->FindModel(spec.request.model));
  SKERRY_ASSIGN_OR_RETURN(spec.champion, shelf_->PackageDirectory(champion));
  spec.labels_csv = directory / "labels.csv";
  spec.out = directory / "package";
  spec.result = directory / "result.json";
  std::string labels;
  Status read = store_->Read([&](Database& db) -> Status {
    SKERRY_ASSIGN_OR_RETURN(const auto files,
                            Ledger(db).FilesOfClass(RecordClass::kSample, "", champion.name, 0));
    for (const std::string& file : files) spec.lake.push_back(lake_ / file);
    SKERRY_ASSIGN_OR_RETURN(const auto rows,
                            LabelStore(db).List(spec.request.labels, limits::kRetrainLabels));
    labels = LabelsCsv(rows);
    return {};
  });
  SKERRY_RETURN_IF_ERROR(std::move(read));
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(spec.labels_csv, labels));
  const fs::path spec_file = directory / "spec.json";
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(spec_file, DumpJsonPretty(spec.ToJson())));
  return std::vector<std::string>{"__retrain", spec_file.string()};
}

Result<RunVerdict> RetrainKind::Conclude(const Json& spec, const fs::path& directory) {
  SKERRY_ASSIGN_OR_RETURN(const RetrainRequest request, RetrainRequest::FromJson(spec));
  SKERRY_ASSIGN_OR_RETURN(const std::string text,
                          ReadFile(directory / "result.json", limits::kJsonBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  SKERRY_ASSIGN_OR_RETURN(const RetrainResult result, RetrainResult::FromJson(json));
  RunVerdict verdict{.state = result.passed ? "passed" : "refused",
                     .reason = result.reason,
                     .report = result.ToJson(),
                     .model = ""};
  if (!result.passed) return verdict;
  SKERRY_ASSIGN_OR_RETURN(const auto name, ParseNameAndVersion("model", request.model));
  SKERRY_ASSIGN_OR_RETURN(
      const ModelRef stored,
      shelf_->PutPackage(directory / "package", name.first, request.new_version));
  verdict.model = stored.ToString();
  return verdict;
}

}  // namespace skerry
