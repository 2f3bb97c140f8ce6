#include "train/spark_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/limits.h"
#include "model/format_version.h"
#include "storage/file.h"
#include "tabular/engine.h"
#include "train/boosted_trees.h"
#include "train/column_file.h"
#include "train/data_source.h"
#include "train/model_fit.h"
#include "train/package_writer.h"
#include "train/sampled_fit.h"
#include "train/spark_data.h"
#include "train/spark_run.h"
#include "train/splits.h"
#include "train/training_set.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

std::string MetricOf(const ModelSchema& schema, const HyperParameters& parameters) {
  if (schema.task == ModelTask::kBinary) return "logloss";
  if (schema.task == ModelTask::kMulticlass) return "mlogloss";
  return parameters.objective == "absolute-error" ? "mae" : "rmse";
}

// docs: spark/README.md. `sampled` are the rows that the schema was chosen by.
Result<Json> JobOf(const TrainOptions& options, const ModelSchema& schema, const Table& sampled,
                   Json data) {
  SKERRY_ASSIGN_OR_RETURN(
      const std::string objective,
      ObjectiveOf(LabelledRows{.task = schema.task, .classes = schema.classes.size()},
                  options.parameters));
  const Column* label = sampled.Find(schema.label_column);
  return Json{
      {"data", std::move(data)},
      {"schema", schema.ToJson()},
      {"label_is_number", label != nullptr && label->holds_numbers()},
      {"weight", options.weight_column},
      {"group", options.group_column},
      {"time", options.time_column},
      {"holdout", options.holdout},
      {"folds", InnerFoldCount(sampled.rows())},
      {"seed", options.seed & 0x7FFFFFFFU},
      {"objective", objective},
      {"metric", MetricOf(schema, options.parameters)},
      {"parameters", options.parameters.ForTable(sampled.rows(), schema.feature_count()).ToJson()},
      {"least_rows_per_class", kMinRowsPerClass},
      {"returned_rows", SampledRows(schema)}};
}

// result.json.
Status ReadFacts(const Json& json, const ModelSchema& schema, SampledFit& result) {
  const JsonObject object(json, "result");
  SKERRY_RETURN_IF_ERROR(CheckFormat(object, "skerry-spark-result", 1));
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t trees, object.Uint("trees"));
  result.learnt.inner.rounds = static_cast<int>(trees);
  SKERRY_ASSIGN_OR_RETURN(result.rows, object.Uint("rows"));
  SKERRY_ASSIGN_OR_RETURN(result.split.left_out, object.Uint("left_out"));
  SKERRY_ASSIGN_OR_RETURN(result.split.copies, object.Uint("copies"));
  SKERRY_ASSIGN_OR_RETURN(result.split.groups, object.Uint("groups"));
  SKERRY_ASSIGN_OR_RETURN(result.copies_by_nature, object.Bool("copies_by_nature"));
  SKERRY_ASSIGN_OR_RETURN(const JsonObject sides, object.Object("sides"));
  struct Side {
    const char* name;
    std::uint64_t *rows, *positives;
  };
  for (const Side& side : {Side{"training", &result.training_rows, &result.training_positives},
                           Side{"holdout", &result.holdout_rows, &result.holdout_positives}}) {
    SKERRY_ASSIGN_OR_RETURN(const JsonObject facts, sides.Object(side.name));
    SKERRY_ASSIGN_OR_RETURN(*side.rows, facts.Uint("rows"));
    SKERRY_ASSIGN_OR_RETURN(*side.positives, facts.Uint("positives"));
  }
  SKERRY_ASSIGN_OR_RETURN(const JsonObject unlisted, object.Object("unlisted"));
  for (const Field* field : schema.features()) {
    SKERRY_ASSIGN_OR_RETURN(const std::uint64_t cells, unlisted.UintOr(field->name.c_str(), 0));
    if (cells > 0) result.unlisted.emplace_back(field->column, cells);
  }
  SKERRY_ASSIGN_OR_RETURN(const Json* reference, object.Member("reference"));
  SKERRY_ASSIGN_OR_RETURN(ModelReference counted, ModelReference::FromJson(*reference));
  result.learnt.features = std::move(counted.features);
  if (result.learnt.features.size() != schema.feature_count())
    return Fail(ErrorCode::kInternal, "the job's result is of {} features, not of {}",
                result.learnt.features.size(), schema.feature_count());
  SKERRY_ASSIGN_OR_RETURN(const std::string spark, object.String("spark"));
  SKERRY_ASSIGN_OR_RETURN(const std::string xgboost, object.String("xgboost"));
  result.engine = fmt::format("Spark {}, XGBoost {}", spark, xgboost);
  return {};
}

// rows.parquet: f0, f1, ..., y, w, held, fold, answer0, ... and, of training rows, inner0, ...
class ReturnedTable {
 public:
  ReturnedTable(const Table& table, const ModelSchema& schema) : table_(table) {
    pattern_.task = schema.task;
    pattern_.classes = schema.classes.size();
    pattern_.features.columns = schema.feature_count();
  }

  Status Read(SampledFit& result) const {
    SKERRY_ASSIGN_OR_RETURN(const Column* held, Find("held"));
    result.training = pattern_;
    result.holdout = pattern_;
    std::vector<std::size_t> rows[2];
    for (std::size_t row = 0; row < table_.rows(); ++row)
      rows[held->ints[row] != 0 ? 1 : 0].push_back(row);
    SKERRY_RETURN_IF_ERROR(Fill(rows[0], result.training));
    SKERRY_RETURN_IF_ERROR(Fill(rows[1], result.holdout));
    std::vector<float> folds;
    SKERRY_RETURN_IF_ERROR(Append("fold", rows[0], 0, folds));
    for (const float fold : folds) result.folds.push_back(static_cast<std::uint8_t>(fold));
    SKERRY_RETURN_IF_ERROR(Append("inner", rows[0], result.learnt.inner.scores));
    SKERRY_RETURN_IF_ERROR(Append("answer", rows[0], result.learnt.fitted.scores));
    return Append("answer", rows[1], result.learnt.fitted.scores);
  }

 private:
  Result<const Column*> Find(const std::string& name) const {
    return FindColumn(table_, name, "returned column");
  }

  Status Fill(const std::vector<std::size_t>& rows, LabelledRows& filled) const {
    SKERRY_RETURN_IF_ERROR(Append("f", rows, filled.features.columns, filled.features.values));
    SKERRY_RETURN_IF_ERROR(Append("w", rows, 0, filled.weights));
    std::vector<float> labels;
    SKERRY_RETURN_IF_ERROR(Append("y", rows, 0, labels));
    filled.labels.assign(rows.size(), 0);
    if (filled.task == ModelTask::kRegression)
      filled.targets = std::move(labels);
    else
      std::transform(labels.begin(), labels.end(), filled.labels.begin(),
                     [](float label) { return static_cast<std::uint8_t>(label); });
    return {};
  }

  Status Append(const std::string& name, const std::vector<std::size_t>& rows,
                std::vector<float>& to) const {
    return Append(name, rows, pattern_.outputs(), to);
  }

  // Columns name0, name1, ... row by row; with count 0 the column `name`.
  Status Append(const std::string& name, const std::vector<std::size_t>& rows, std::size_t count,
                std::vector<float>& to) const {
    const std::size_t columns = std::max<std::size_t>(count, 1);
    const std::size_t first = to.size();
    to.resize(first + rows.size() * columns);
    for (std::size_t j = 0; j < columns; ++j) {
      SKERRY_ASSIGN_OR_RETURN(const Column* column,
                              Find(count == 0 ? name : fmt::format("{}{}", name, j)));
      SKERRY_ASSIGN_OR_RETURN(
          const std::vector<float> values,
          EncodeColumn(*column, {.name = name, .column = name, .categories = {}}));
      for (std::size_t i = 0; i < rows.size(); ++i) to[first + i * columns + j] = values[rows[i]];
    }
    return {};
  }

  const Table& table_;
  LabelledRows pattern_{};
};

Result<SampledFit> ReadResult(TabularEngine& engine, const fs::path& from,
                              const ModelSchema& schema) {
  SampledFit result;
  SKERRY_ASSIGN_OR_RETURN(const std::string facts,
                          ReadFile(from / "result.json", limits::kTrainingReportBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(facts));
  SKERRY_RETURN_IF_ERROR(ReadFacts(json, schema, result));
  SKERRY_ASSIGN_OR_RETURN(const Table table, engine.ReadFile(from / "rows.parquet", {}));
  SKERRY_RETURN_IF_ERROR(ReturnedTable(table, schema).Read(result));
  SKERRY_ASSIGN_OR_RETURN(const std::string booster,
                          ReadFile(from / "booster.json", limits::kModelBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json model, ParseJson(booster, limits::kModelBytes));
  SKERRY_ASSIGN_OR_RETURN(result.learnt.fitted.ensemble,
                          ReadXgboostModel(model, schema.feature_count()));
  return result;
}

Status CheckTask(const TrainOptions& options) {
  if (options.task == "anomaly")
    return Fail(
        ErrorCode::kUnimplemented,
        "the detector is learnt from the rows that come back, not on Spark: train an anomaly model "
        "by the embedded engine");
  if (options.search != 0)
    return Fail(ErrorCode::kUnimplemented,
                "hyper-parameters are searched for by the embedded engine alone: leave out "
                "--search, or search on a part of the rows without --engine spark");
  if (options.derive > 0)
    return Fail(ErrorCode::kUnimplemented,
                "derived features are chosen by the embedded engine alone: leave out --derive");
  if (!options.holdout_data.empty())
    return Fail(ErrorCode::kUnimplemented, "held-out files are taken by the embedded engine alone");
  return {};
}

}  // namespace

Result<TrainReport> TrainOnSpark(const TrainOptions& options) {
  const TrainingClock clock;
  SKERRY_RETURN_IF_ERROR(CheckTask(options));
  SKERRY_RETURN_IF_ERROR(CheckSparkRoad(options.spark));
  SKERRY_ASSIGN_OR_RETURN(const auto engine, TabularEngine::Open({}));
  SKERRY_ASSIGN_OR_RETURN(
      const TemporaryDirectory work,
      TemporaryDirectory::Create("." + options.out.filename().string(),
                                 fs::absolute(options.out).lexically_normal().parent_path()));
  SKERRY_ASSIGN_OR_RETURN(SparkData read, ReadSparkData(*engine, options, work.path()));
  SourceData& data = read.first;
  SKERRY_ASSIGN_OR_RETURN(const ChosenSchema chosen, ChooseAndTell(data.table, options));
  const ModelSchema& schema = chosen.schema;
  SKERRY_RETURN_IF_ERROR(CheckSampledSlices(options, schema));
  SKERRY_ASSIGN_OR_RETURN(Json job, JobOf(options, schema, data.table, std::move(read.job)));
  data.table = {};
  SKERRY_RETURN_IF_ERROR(RunSparkJob(options, std::move(job), work.path()));
  SKERRY_RETURN_IF_ERROR(CheckUnchanged(options.data, data.states));
  SKERRY_ASSIGN_OR_RETURN(SampledFit result, ReadResult(*engine, work.path(), schema),
                          "what the Spark job handed back");

  SKERRY_ASSIGN_OR_RETURN(FittedPackage package,
                          PackageSampled(std::move(result), options, schema));
  return FinishPackage(std::move(package), options, data, clock);
}

}  // namespace skerry
