#include "hub/train_kind.h"

#include "base/limits.h"
#include "hub/train_request.h"
#include "storage/file.h"
#include "tabular/engine.h"
#include "tabular/file_list.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

// That the first file has the columns that the request names; the child looks at the others.
Status CheckColumns(const TrainRequest& request, const std::string& name) {
  if (name.find("://") != std::string::npos) return {};  // Spark's to read
  SKERRY_ASSIGN_OR_RETURN(const auto files, ExpandFiles({name}), "run.data");
  SKERRY_ASSIGN_OR_RETURN(const auto engine, TabularEngine::Open({}));
  ReadOptions read;
  read.first_rows = 1;
  read.csv_types = CsvTypes::kText;
  SKERRY_ASSIGN_OR_RETURN(const Table table, engine->ReadFile(files[0], read), "run.data");
  for (const TrainRequest::NamedColumn& named : request.named) {
    if (table.Find(named.column) != nullptr) continue;
    std::string there;
    for (const Column& column : table.columns)
      there += fmt::format("{}{}", there.empty() ? "" : ", ", column.name);
    return Fail(ErrorCode::kInvalidArgument, "run.{}: {} has no column \"{}\"; it has {}",
                named.member, files[0].filename().string(), named.column, there);
  }
  return {};
}

}  // namespace

Result<Json> TrainKind::Check(const Json& body) {
  SKERRY_ASSIGN_OR_RETURN(const TrainRequest request, TrainRequest::FromJson(body));
  SKERRY_RETURN_IF_ERROR(shelf_->CheckFree(request.name, request.version));
  SKERRY_RETURN_IF_ERROR(grounds_.CheckEngine(request));
  SKERRY_ASSIGN_OR_RETURN(const auto data, grounds_.Resolve(request, lake_));
  SKERRY_RETURN_IF_ERROR(CheckColumns(request, data[0]));
  return body;
}

Result<std::vector<std::string>> TrainKind::Prepare(const Json& spec, const fs::path& directory) {
  SKERRY_ASSIGN_OR_RETURN(const TrainRequest request, TrainRequest::FromJson(spec));
  SKERRY_RETURN_IF_ERROR(grounds_.CheckEngine(request));
  // The names, not their files: patterns may mean thousands.
  SKERRY_ASSIGN_OR_RETURN(const auto data, grounds_.Resolve(request, lake_));
  std::vector<std::string> arguments{"train"};
  arguments.insert(arguments.end(), data.begin(), data.end());
  arguments.push_back("--name=" + request.name);
  arguments.push_back("--version=" + request.version);
  arguments.push_back("--out=" + (directory / "package").string());
  arguments.push_back("--run-of-hub=" + directory.string());
  arguments.insert(arguments.end(), request.options.begin(), request.options.end());
  for (std::string& argument : grounds_.EngineArguments(request))
    arguments.push_back(std::move(argument));
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(directory / "spec.json", DumpJsonPretty(spec)));
  if (request.columns.is_null()) return arguments;
  const fs::path columns = directory / "columns.yaml";  // JSON is YAML
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(columns, DumpJsonPretty(request.columns)));
  arguments.push_back("--schema=" + columns.string());
  return arguments;
}

Result<RunVerdict> TrainKind::Conclude(const Json& spec, const fs::path& directory) {
  SKERRY_ASSIGN_OR_RETURN(const TrainRequest request, TrainRequest::FromJson(spec));
  const fs::path package = directory / "package";
  RunVerdict verdict{.state = "trained", .reason = "", .report = Json(), .model = ""};
  SKERRY_ASSIGN_OR_RETURN(const std::string text,
                          ReadFile(package / "report.json", limits::kTrainingReportBytes));
  SKERRY_ASSIGN_OR_RETURN(verdict.report, ParseJson(text));
  SKERRY_ASSIGN_OR_RETURN(const ModelRef stored,
                          shelf_->PutPackage(package, request.name, request.version));
  verdict.model = stored.ToString();
  return verdict;
}

}  // namespace skerry
