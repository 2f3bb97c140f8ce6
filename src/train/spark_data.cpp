#include "train/spark_data.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "base/limits.h"
#include "model/format_version.h"
#include "storage/file.h"
#include "train/spark_run.h"
#include "train/training_set.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

// How Spark reads a file: by the end of its name, as TabularEngine does.
std::string FormOf(std::string_view name) {
  if (name.ends_with(".parquet")) return "parquet";
  if (name.ends_with(".ndjson") || name.ends_with(".jsonl")) return "json";
  return "csv";
}

// How the files are to be read: one form and, of CSV, one delimiter for all.
Result<Json> JobOfFiles(TabularEngine& engine, const std::vector<fs::path>& files) {
  Json names = Json::array();
  std::string form;
  char delimiter = 0;
  for (const fs::path& file : files) {
    SKERRY_ASSIGN_OR_RETURN(const char found, engine.DelimiterOf(file));
    const std::string this_form = found != 0 ? "csv" : FormOf(file.string());
    if (!form.empty() && (form != this_form || delimiter != found))
      return Fail(ErrorCode::kInvalidArgument,
                  "{} is of another form or delimiter than {}: Spark reads files of one form",
                  file.string(), files[0].string());
    form = this_form;
    delimiter = found;
    names.push_back(fs::absolute(file).lexically_normal().string());
  }
  return Json{{"files", names}, {"form", form}, {"delimiter", std::string(1, delimiter)}};
}

Result<std::string> FormOfAddresses(const std::vector<std::string>& addresses) {
  const std::string form = FormOf(addresses[0]);
  for (const std::string& address : addresses)
    if (FormOf(address) != form)
      return Fail(ErrorCode::kInvalidArgument,
                  "{} is of another form than {}: Spark reads files of one form", address,
                  addresses[0]);
  return form;
}

struct Listing {
  std::uint64_t files = 0, bytes = 0;
  std::string digest{};
};

Result<Listing> ReadListing(const fs::path& file) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, limits::kTrainingReportBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  const JsonObject object(json, "listing");
  SKERRY_RETURN_IF_ERROR(CheckFormat(object, "skerry-spark-listing", 1));
  Listing listing;
  SKERRY_ASSIGN_OR_RETURN(listing.files, object.Uint("files"));
  SKERRY_ASSIGN_OR_RETURN(listing.bytes, object.Uint("bytes"));
  SKERRY_ASSIGN_OR_RETURN(listing.digest, object.String("digest"));
  return listing;
}

Result<SparkData> ReadAddresses(TabularEngine& engine, const TrainOptions& options,
                                const fs::path& work) {
  const std::vector<std::string>& addresses = options.spark.data;
  SKERRY_ASSIGN_OR_RETURN(const std::string form, FormOfAddresses(addresses));
  SparkData data;
  data.job = {{"patterns", addresses}, {"form", form}, {"delimiter", ","}};
  SKERRY_RETURN_IF_ERROR(
      RunSparkJob(options, {{"data", data.job}, {"look_rows", limits::kSchemaRows}}, work));
  const fs::path sample =
      work / fmt::format("sample.{}", form == "json" ? "ndjson" : std::string_view(form));
  ReadOptions read;
  read.text_columns = TextColumns(options);
  SKERRY_ASSIGN_OR_RETURN(data.first.table, engine.ReadFile(sample, read),
                          "the first rows that the Spark job handed back");
  if (form == "csv") {
    SKERRY_ASSIGN_OR_RETURN(const char delimiter, engine.DelimiterOf(sample));
    data.job["delimiter"] = std::string(1, delimiter);
  }
  SKERRY_ASSIGN_OR_RETURN(const Listing listing, ReadListing(work / "listing.json"));
  data.job["listing"] = listing.digest;
  data.first.digest = listing.digest;
  data.first.files.emplace_back(
      fmt::format("{}: {} files, {} bytes; names, sizes and times", fmt::join(addresses, ", "),
                  listing.files, listing.bytes),
      listing.digest);
  return data;
}

}  // namespace

Result<SparkData> ReadSparkData(TabularEngine& engine, const TrainOptions& options,
                                const fs::path& work) {
  if (!options.spark.data.empty()) return ReadAddresses(engine, options, work);
  SparkData data;
  SKERRY_ASSIGN_OR_RETURN(data.first, ReadSourceData(engine, options.data, TextColumns(options),
                                                     options.progress, limits::kSchemaRows));
  SKERRY_ASSIGN_OR_RETURN(data.job, JobOfFiles(engine, options.data));
  return data;
}

}  // namespace skerry
