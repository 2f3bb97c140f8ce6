#include "hub/segment_trial.h"

#include <chrono>
#include <string>

#include "base/child_process.h"
#include "base/limits.h"
#include "base/log.h"
#include "codec/json.h"
#include "hub/lake.h"
#include "storage/file.h"

namespace skerry {
namespace fs = std::filesystem;
namespace {

constexpr std::chrono::minutes kLongest{10};
constexpr std::chrono::seconds kGrace{5};
constexpr const char* kBegun = "begun";  // the child is about to read

Status Read(const fs::path& spec_file) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(spec_file, limits::kJsonBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  const JsonObject spec(json, "spec");
  SKERRY_ASSIGN_OR_RETURN(const std::string class_name, spec.String("class"));
  SKERRY_ASSIGN_OR_RETURN(const RecordClass cls, ParseRecordClass(class_name));
  SKERRY_ASSIGN_OR_RETURN(const std::string file, spec.String("file"));
  SKERRY_ASSIGN_OR_RETURN(const auto lake, LakeWriter::Open(spec_file.parent_path() / "lake"));
  SKERRY_ASSIGN_OR_RETURN(const SegmentFacts facts, lake->Inspect(cls, file));
  SegmentPart part{"trial", {}, file, {{facts.first_seq, facts.last_seq}}, UtcDate(0)};
  part.entry.cls = cls;
  part.entry.first_seq = facts.first_seq;
  part.entry.last_seq = facts.last_seq;
  part.entry.digest = Digest::Sha256(file);
  SegmentRecord record;
  SKERRY_RETURN_IF_ERROR(lake->Store(part, facts, 0, record));
  for (const LakeFile& stored : record.files)
    SKERRY_RETURN_IF_ERROR(lake->ClockSpans(stored.path, facts.columns));
  return {};
}

}  // namespace

Status TryReading(const fs::path& program, const fs::path& scratch, RecordClass cls,
                  const fs::path& file) {
  std::error_code error;
  fs::remove_all(scratch, error);
  SKERRY_RETURN_IF_ERROR(CreateDirectories(scratch, 0700));
  const fs::path spec = scratch / "spec.json";
  const Json json{{"class", RecordClassName(cls)}, {"file", fs::absolute(file).string()}};
  Status tried = WriteFileDurably(spec, DumpJson(json), 0600);
  if (tried) {
    const auto until = std::chrono::steady_clock::now() + kLongest;
    const Status ended = RunProcessGroup(
        program, {"__read-segment", spec.string()}, scratch / "log",
        [until] { return std::chrono::steady_clock::now() < until; }, kGrace);
    std::error_code absent;
    if (!ended && fs::exists(scratch / kBegun, absent))
      tried =
          Fail(ErrorCode::kDataLoss, "a process that read it alone: {}", ended.error().message());
    else if (!ended)
      tried = ended;
  }
  fs::remove_all(scratch, error);
  return tried;
}

int RunSegmentTrial(const fs::path& spec_file) {
  StartLogging("read-segment", LogLevel::kInfo);
  Status begun = EndWithParent();
  if (begun) begun = WriteFileDurably(spec_file.parent_path() / kBegun, "", 0600);
  if (!begun) {
    LogError("{}", begun.error().message());
    return 1;
  }
  if (const Status read = Read(spec_file); !read) LogInfo("{}", read.error().message());
  return 0;
}

}  // namespace skerry
