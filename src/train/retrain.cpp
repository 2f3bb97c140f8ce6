#include "train/retrain.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/ids.h"
#include "base/limits.h"
#include "crypto/digest.h"
#include "model/package.h"
#include "storage/file.h"
#include "storage/new_directory.h"
#include "train/model_fit.h"
#include "train/package_writer.h"
#include "train/provenance.h"
#include "train/training_set.h"

namespace skerry {
namespace {

struct Recipe {
  HyperParameters parameters{};
  DetectorParameters detector{};
  CalibrationKind calibration = CalibrationKind::kNone;
};

// The champion's own, or the defaults for a package that came without report.json.
Result<Recipe> ReadRecipe(const std::filesystem::path& champion) {
  Result<std::string> text = ReadFile(champion / "report.json", limits::kTrainingReportBytes);
  if (!text && text.error().code() == ErrorCode::kNotFound) return Recipe{};
  if (!text) return Propagate(std::move(text));
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(*text), "report.json of the champion");
  const JsonObject report(json, "report");
  Recipe recipe;
  SKERRY_ASSIGN_OR_RETURN(const Json* parameters, report.Member("parameters"));
  SKERRY_ASSIGN_OR_RETURN(recipe.parameters, HyperParameters::FromJson(*parameters));
  SKERRY_ASSIGN_OR_RETURN(const Json* detector, report.Member("detector"));
  SKERRY_ASSIGN_OR_RETURN(recipe.detector, DetectorParameters::FromJson(*detector));
  const Json calibration = json.value("/calibration/kind"_json_pointer, Json("none"));
  if (calibration.is_string()) {
    SKERRY_ASSIGN_OR_RETURN(recipe.calibration, ParseCalibration(calibration.get<std::string>()),
                            "report.json of the champion");
  }
  return recipe;
}

// Half the least distance between two values: half the bucket's width, if neighbouring buckets
// occur.
float HalfLeastDistance(std::vector<float> values) {
  std::erase_if(values, [](float value) { return std::isnan(value); });
  std::sort(values.begin(), values.end());
  float least = std::numeric_limits<float>::infinity();
  for (std::size_t i = 1; i < values.size(); ++i)
    if (values[i] > values[i - 1]) least = std::min(least, values[i] - values[i - 1]);
  return std::isinf(least) ? 0 : least / 2;
}

// A feature's values out of the released columns; missing throughout when none carries it.
Result<std::vector<float>> ReleasedFeature(const RetrainOptions& options, const Field& field) {
  const Table& table = options.released;
  for (const char* suffix : {"", "__round", "__allow"})
    if (const Column* column = table.Find("in_" + field.name + suffix))
      return EncodeColumn(*column, field);
  const Column* bucket = table.Find("in_" + field.name + "__bucket");
  if (bucket == nullptr)
    return std::vector<float>(table.rows(), std::numeric_limits<float>::quiet_NaN());
  SKERRY_ASSIGN_OR_RETURN(std::vector<float> values, EncodeColumn(*bucket, field));
  const auto width = options.bucket_widths.find(field.name);
  const float half = width != options.bucket_widths.end() ? static_cast<float>(width->second / 2)
                                                          : HalfLeastDistance(values);
  for (float& value : values) value += half;
  return values;
}

Result<std::vector<std::uint8_t>> ReleasedLabels(const RetrainOptions& options,
                                                 const ModelSchema& schema) {
  const Column* column = options.released.Find(options.label_column);
  if (column == nullptr)
    return Fail(ErrorCode::kInvalidArgument, "the released rows have no label column '{}'",
                options.label_column);
  std::vector<std::uint8_t> labels;
  for (std::size_t row = 0; row < column->rows(); ++row) {
    const std::string text = CellText(*column, row);
    const bool positive = text == "1" || text == schema.classes[1];
    if (!positive && text != "0" && text != schema.classes[0])
      return Fail(ErrorCode::kInvalidArgument,
                  "label '{}' of released row {} is neither 0 ('{}') nor 1 ('{}')", text, row + 1,
                  schema.classes[0], schema.classes[1]);
    labels.push_back(positive ? 1 : 0);
  }
  return labels;
}

// 1/p, scaled so that their mean is released_weight.
Result<std::vector<float>> ReleasedWeights(const RetrainOptions& options) {
  std::vector<float> weights(options.released.rows(), 1);
  if (const Column* column = options.released.Find(options.probability_column)) {
    SKERRY_ASSIGN_OR_RETURN(
        const std::vector<float> probabilities,
        EncodeColumn(*column, {.name = column->name, .column = column->name, .categories = {}}));
    for (std::size_t row = 0; row < weights.size(); ++row) {
      if (!(probabilities[row] > 0 && probabilities[row] <= 1))
        return Fail(ErrorCode::kInvalidArgument,
                    "{} of released row {} is {}; a probability is over 0 and at most 1",
                    column->name, row + 1, probabilities[row]);
      weights[row] = 1 / probabilities[row];
    }
  }
  const double mean =
      std::accumulate(weights.begin(), weights.end(), 0.0) / static_cast<double>(weights.size());
  for (float& weight : weights)
    weight = static_cast<float>(weight / mean * options.released_weight);
  return weights;
}

// Appends the released rows to `rows`.
Status AddReleased(const RetrainOptions& options, const ModelSchema& schema, LabelledRows& rows) {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<std::uint8_t> labels, ReleasedLabels(options, schema));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<float> weights, ReleasedWeights(options));
  const std::vector<const Field*> fields = schema.features();
  const std::size_t first = rows.features.values.size();
  rows.features.columns = fields.size();
  rows.features.categorical = CategoricalColumns(schema);
  rows.features.values.resize(first + labels.size() * fields.size());
  for (std::size_t i = 0; i < fields.size(); ++i) {
    SKERRY_ASSIGN_OR_RETURN(const std::vector<float> values, ReleasedFeature(options, *fields[i]),
                            "released rows");
    for (std::size_t row = 0; row < values.size(); ++row)
      rows.features.values[first + row * fields.size() + i] = values[row];
  }
  rows.labels.insert(rows.labels.end(), labels.begin(), labels.end());
  rows.weights.insert(rows.weights.end(), weights.begin(), weights.end());
  return {};
}

// The base rows and those that came back, as the model got them, and the files of the champion.
Result<Json> RetrainProvenance(const RetrainOptions& options, const FitInput& input,
                               const std::vector<std::string>& data, const TrainReport& report) {
  SKERRY_ASSIGN_OR_RETURN(Json json, ProvenanceBase(report));
  const std::size_t base_rows = input.training.rows() - input.released_rows;
  std::vector<std::size_t> rows(input.training.rows());
  std::iota(rows.begin(), rows.end(), std::size_t{0});
  const std::span all(rows);
  const std::span<const std::size_t> parts[] = {all.first(base_rows), all.subspan(base_rows)};
  for (std::size_t i = 0; i < std::size(parts); ++i)
    json["data"].push_back({{"what", data[i]},
                            {"rows", parts[i].size()},
                            {"digest", DigestOfRows(input.training.Select(parts[i]))}});
  for (const ReleasedFile& one : options.released_files)
    json["segments"].push_back({{"file", one.file}, {"digest", one.digest}, {"rows", one.rows}});
  for (const char* file : {"model.onnx", "schema.json", "reference.json"}) {
    SKERRY_ASSIGN_OR_RETURN(const Digest digest, DigestOfFile(options.champion / file));
    json["base"].push_back({{"file", file}, {"digest", digest.ToString()}});
  }
  return json;
}

}  // namespace

Result<TrainReport> Retrain(const RetrainOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  SKERRY_RETURN_IF_ERROR(CheckVersion("model version", options.version));
  SKERRY_RETURN_IF_ERROR(CheckNewDirectory(options.out));
  if (options.released.rows() == 0)
    return Fail(ErrorCode::kInvalidArgument, "no labelled row was released: nothing new to learn");
  if (!(options.released_weight > 0))
    return Fail(ErrorCode::kInvalidArgument, "released_weight is {}; it is over 0",
                options.released_weight);
  SKERRY_ASSIGN_OR_RETURN(const auto champion, LoadPackage(options.champion, {}), "champion");
  if (champion->schema.task != ModelTask::kBinary)
    return Fail(ErrorCode::kUnimplemented,
                "the champion answers a {} task; binary models are retrained, train this one anew "
                "by skerry train",
                ModelTaskName(champion->schema.task));
  if (!champion->schema.windows.empty())
    return Fail(ErrorCode::kUnimplemented,
                "the champion looks back over an entity's last rows ({}), and released rows come "
                "without those between them: train this one anew by skerry train --window",
                champion->schema.windows.entity);
  SKERRY_ASSIGN_OR_RETURN(const Recipe recipe, ReadRecipe(options.champion));

  FitInput input{.schema = champion->schema,
                 .threshold = champion->reference.threshold_goal.value_or(ThresholdGoal{}),
                 .calibration = recipe.calibration,
                 .parameters = recipe.parameters,
                 .detector = recipe.detector,
                 .seed = options.seed,
                 .progress = options.progress,
                 .cancelled = options.cancelled};
  if (options.base.rows() > 0) {
    SKERRY_ASSIGN_OR_RETURN(input.training, EncodeRows(options.base, input.schema, ""),
                            "base rows");
  }
  SKERRY_RETURN_IF_ERROR(AddReleased(options, input.schema, input.training));
  input.released_rows = options.released.rows();
  input.parameters =
      input.parameters.ForTable(input.training.rows(), input.training.features.columns);
  SKERRY_ASSIGN_OR_RETURN(
      input.slices,
      ChooseSlices({.schema = &input.schema, .features = &input.training.features}, {}));
  SKERRY_ASSIGN_OR_RETURN(FittedPackage package, FitPackage(input));
  package.report.name = input.schema.model;
  package.report.version = options.version;
  package.report.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (options.cancelled && options.cancelled()) return Fail(ErrorCode::kUnavailable, "interrupted");
  const std::vector<std::string> data = {
      fmt::format("{} base rows of the model before this one", options.base.rows()),
      fmt::format("{} labelled rows that sites released, each counting {} of a base row on average",
                  options.released.rows(), options.released_weight)};
  SKERRY_ASSIGN_OR_RETURN(Json provenance, RetrainProvenance(options, input, data, package.report));
  SKERRY_RETURN_IF_ERROR(WritePackage(package, data, std::move(provenance), options.out));
  return package.report;
}

}  // namespace skerry
