#include "train/import_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <span>
#include <system_error>

#include "base/ids.h"
#include "base/limits.h"
#include "codec/yaml.h"
#include "crypto/digest.h"
#include "model/package.h"
#include "model/session.h"
#include "storage/new_directory.h"
#include "train/data_source.h"
#include "train/graph_runs.h"
#include "train/import_graph.h"
#include "train/package_writer.h"
#include "train/provenance.h"
#include "train/training_set.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

// As of the trainer's own export: float32 sums may be taken in another order.
constexpr double kMostDifference = 1e-6;
constexpr std::size_t kComparedRows = 4'096;

bool IsOneOf(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

// The graph of an MLflow model: MLmodel says where it lies.
Result<fs::path> GraphOf(const fs::path& model) {
  std::error_code error;
  if (!fs::is_directory(model, error)) return model;
  const fs::path description = model / "MLmodel";
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(description, limits::kYamlBytes));
  SKERRY_ASSIGN_OR_RETURN(const YamlDocument document, ParseYaml(text), description.string());
  const Json::json_pointer place("/flavors/onnx/data");
  if (!document.value.contains(place) || !document.value.at(place).is_string())
    return Fail(ErrorCode::kInvalidArgument,
                "{} names no ONNX file (flavors.onnx.data): log the model with mlflow.onnx",
                description.string());
  const fs::path file = document.value.at(place).get<std::string>();
  const fs::path inside = file.lexically_normal();
  if (inside.is_absolute() || inside.empty() || *inside.begin() == "..")
    return Fail(ErrorCode::kPermissionDenied, "{} names \"{}\", which is outside the model",
                description.string(), file.string());
  return model / inside;
}

Result<std::vector<std::string>> WordsOf(const Column& column) {
  std::set<std::string> words;
  for (std::size_t row = 0; row < column.rows(); ++row)
    if (std::string text = CellText(column, row); !text.empty()) words.insert(std::move(text));
  if (words.empty())
    return Fail(ErrorCode::kInvalidArgument, "the column \"{}\" is empty throughout the sample",
                column.name);
  if (words.size() > limits::kCategoriesPerField)
    return Fail(ErrorCode::kTooLarge,
                "the column \"{}\" has {} words, a category has {} at most: ignore it, or carry it "
                "as context",
                column.name, words.size(), limits::kCategoriesPerField);
  return std::vector<std::string>(words.begin(), words.end());
}

Result<Field> FieldOf(const Column& column, const ImportOptions& options) {
  Field field;
  field.name = FieldNameOf(column.name);
  field.column = column.name;
  if (!IsFieldName(field.name))
    return Fail(ErrorCode::kInvalidArgument, "the column \"{}\" cannot be the name of a field",
                column.name);
  const bool is_id = IsOneOf(options.id, column.name);
  if (is_id || IsOneOf(options.context, column.name)) {
    field.role = is_id ? FieldRole::kId : FieldRole::kContext;
    field.type = FieldType::kText;
    return field;
  }
  if (column.holds_numbers()) return field;
  field.type = FieldType::kCategory;
  SKERRY_ASSIGN_OR_RETURN(field.categories, WordsOf(column));
  return field;
}

Status CheckNamedColumns(const Table& sample, const ImportOptions& options) {
  for (const auto* names : {&options.ignore, &options.context, &options.id})
    for (const std::string& name : *names)
      SKERRY_RETURN_IF_ERROR(FindColumn(sample, name, "column"));
  return {};
}

// What the graph answers, for the schema and the frame.
Status DescribeAnswer(const ImportOptions& options, const ImportedGraph& graph, GraphImport& import,
                      ModelSchema& schema) {
  const bool classes_told = !options.classes.empty() || !graph.classes.empty();
  const std::string& task = options.task;
  if (task == "regression" || (task.empty() && !graph.probabilities && !classes_told)) {
    if (import.graph_columns != 1)
      return Fail(ErrorCode::kInvalidArgument,
                  "the output \"{}\" has {} columns, a number has one; if they are probabilities, "
                  "say --task classification or --task multiclass",
                  graph.output, import.graph_columns);
    import.task = schema.task = ModelTask::kRegression;
    import.columns = 1;
    return {};
  }
  if (!task.empty() && task != "classification" && task != "multiclass")
    return Fail(ErrorCode::kInvalidArgument,
                "--task is {}: write classification, multiclass or regression", task);
  import.columns = std::max<std::size_t>(import.graph_columns, 2);
  const bool binary = import.columns == 2;
  if (task == "classification" && !binary)
    return Fail(ErrorCode::kInvalidArgument,
                "the output \"{}\" has {} columns: say --task multiclass", graph.output,
                import.columns);
  import.task = schema.task = binary ? ModelTask::kBinary : ModelTask::kMulticlass;
  schema.classes = options.classes.empty() ? graph.classes : options.classes;
  for (std::size_t i = 0; !classes_told && i < import.columns; ++i)
    schema.classes.push_back(std::to_string(i));
  if (schema.classes.size() != import.columns)
    return Fail(ErrorCode::kInvalidArgument,
                "the output \"{}\" has the probabilities of {} classes, and {} are named: {}",
                graph.output, import.columns, schema.classes.size(),
                fmt::join(schema.classes, ", "));
  if (!binary) return {};
  schema.positive = options.positive.empty() ? schema.classes[1] : options.positive;
  if (!IsOneOf(schema.classes, schema.positive))
    return Fail(ErrorCode::kInvalidArgument, "--positive is \"{}\", the classes are {}",
                schema.positive, fmt::join(schema.classes, ", "));
  import.swap_classes = schema.positive == schema.classes[0];
  if (import.swap_classes) std::swap(schema.classes[0], schema.classes[1]);
  return {};
}

Result<ModelSchema> FieldsOf(const Table& sample, const ImportOptions& options) {
  ModelSchema schema;
  SKERRY_RETURN_IF_ERROR(CheckNamedColumns(sample, options));
  for (const Column& column : sample.columns) {
    if (column.name == options.label || IsOneOf(options.ignore, column.name)) continue;
    SKERRY_ASSIGN_OR_RETURN(Field field, FieldOf(column, options));
    schema.fields.push_back(std::move(field));
  }
  if (schema.feature_count() == 0)
    return Fail(ErrorCode::kInvalidArgument, "the sample has no column that is a feature");
  return schema;
}

Result<ModelSchema> ReadSchema(const fs::path& file) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, limits::kSchemaBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(text, limits::kSchemaBytes), file.string());
  SKERRY_ASSIGN_OR_RETURN(ModelSchema schema, ModelSchema::FromJson(json), file.string());
  if (schema.task != ModelTask::kAnomaly && schema.derived.empty() &&
      schema.windows.features.empty())
    return schema;
  return Fail(ErrorCode::kInvalidArgument,
              "{}: a model that is imported predicts from the features alone: no task anomaly, no "
              "derived features, no windows",
              file.string());
}

template <typename T>
void FillColumn(std::span<const float> values, std::size_t stride, std::size_t offset,
                std::size_t step, std::span<T> out) {
  for (std::size_t row = 0; row * step + offset < out.size(); ++row)
    out[row * step + offset] = static_cast<T>(values[row * stride]);
}

// One input of the graph, of the first rows of the sample.
Result<Tensor> TensorFor(const ImportedGraph::Input& input, const std::vector<const Field*>& taken,
                         const std::vector<std::size_t>& places, const FeatureMatrix& features,
                         std::size_t rows) {
  Tensor tensor;
  tensor.name = input.name;
  std::vector<std::int64_t> shape = {static_cast<std::int64_t>(rows)};
  if (input.rank == 2) shape.push_back(static_cast<std::int64_t>(taken.size()));
  tensor.Resize(input.type, shape);
  for (std::size_t i = 0; i < taken.size(); ++i) {
    const auto column = std::span<const float>(features.values).subspan(places[i]);
    const auto fill = [&](auto out) { FillColumn(column, features.columns, i, taken.size(), out); };
    switch (input.type) {
      case TensorType::kFloat32: fill(tensor.MutableView<float>()); break;
      case TensorType::kFloat64: fill(tensor.MutableView<double>()); break;
      case TensorType::kInt64:
      case TensorType::kInt32:
        for (std::size_t row = 0; row < rows; ++row)
          if (std::isnan(column[row * features.columns]))
            return Fail(ErrorCode::kInvalidArgument,
                        "row {} of the sample has no \"{}\", and the input \"{}\" takes whole "
                        "numbers, which cannot be missing",
                        row + 1, taken[i]->column, input.name);
        if (input.type == TensorType::kInt64)
          fill(tensor.MutableView<std::int64_t>());
        else
          fill(tensor.MutableView<std::int32_t>());
        break;
      case TensorType::kString:
        for (std::size_t row = 0; row < rows; ++row) {
          const float code = column[row * features.columns];
          const auto& words = taken[i]->categories;
          tensor.strings[row * taken.size() + i] =
              std::isnan(code) || static_cast<std::size_t>(code) >= words.size()
                  ? std::string()
                  : words[static_cast<std::size_t>(code)];
        }
        break;
      default:
        return Fail(ErrorCode::kUnimplemented,
                    "the input \"{}\" is of type {}: float32, float64, "
                    "int32, int64 and strings are taken",
                    input.name, TensorTypeName(input.type));
    }
  }
  return tensor;
}

struct GraphAnswers {
  std::size_t columns = 0;
  std::vector<float> values;
};

Result<std::vector<float>> AsFloats(const Tensor& tensor) {
  if (tensor.type == TensorType::kFloat32) {
    const auto values = tensor.View<float>();
    return std::vector<float>(values.begin(), values.end());
  }
  if (tensor.type == TensorType::kFloat64) {
    std::vector<float> floats;
    for (const double value : tensor.View<double>()) floats.push_back(static_cast<float>(value));
    return floats;
  }
  return Fail(ErrorCode::kUnimplemented,
              "the output \"{}\" is of type {}, float32 and float64 are "
              "taken",
              tensor.name, TensorTypeName(tensor.type));
}

// What the graph itself says of the first rows of the sample.
Result<GraphAnswers> RunImported(std::string_view onnx, const ImportedGraph& graph,
                                 const std::vector<const Field*>& fields,
                                 const FeatureMatrix& features) {
  SKERRY_ASSIGN_OR_RETURN(const auto session, OnnxSession::LoadBytes(onnx, "the graph"));
  const std::size_t rows = std::min(features.rows(), kComparedRows);
  std::vector<Tensor> given;
  for (const ImportedGraph::Input& input : graph.inputs) {
    std::vector<const Field*> taken;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < fields.size(); ++i)
      if (graph.inputs.size() == 1 || fields[i]->column == input.name ||
          fields[i]->name == FieldNameOf(input.name)) {
        taken.push_back(fields[i]);
        places.push_back(i);
      }
    SKERRY_ASSIGN_OR_RETURN(Tensor tensor, TensorFor(input, taken, places, features, rows));
    given.push_back(std::move(tensor));
  }
  const std::vector<std::string> wanted = {graph.output};
  SKERRY_ASSIGN_OR_RETURN(const std::vector<Tensor> answers, session->Run(given, wanted));
  const Tensor& answer = answers.front();
  const auto& shape = answer.shape;
  if (shape.empty() || shape.size() > 2 || shape[0] != static_cast<std::int64_t>(rows))
    return Fail(ErrorCode::kInvalidArgument,
                "the output \"{}\" is {} for {} rows, [rows] or [rows, columns] is taken",
                graph.output, ShapeText(shape), rows);
  GraphAnswers out;
  out.columns = shape.size() == 2 ? static_cast<std::size_t>(shape[1]) : 1;
  SKERRY_ASSIGN_OR_RETURN(out.values, AsFloats(answer));
  return out;
}

// Numbers: relative; probabilities: absolute. How many rows were compared.
Result<std::uint64_t> CompareAnswers(const GraphAnswers& graph, std::span<const float> package,
                                     const GraphImport& import) {
  const std::size_t rows = graph.values.size() / graph.columns;
  for (std::size_t row = 0; row < rows; ++row)
    for (std::size_t column = 0; column < graph.columns; ++column) {
      std::size_t at = import.graph_columns == 1 && import.columns == 2 ? 1 : column;
      if (import.swap_classes) at = 1 - at;
      const double wanted = graph.values[row * graph.columns + column];
      const double given = package[row * import.columns + at];
      double difference = std::abs(wanted - given);
      if (import.task == ModelTask::kRegression && wanted != 0) difference /= std::abs(wanted);
      if (wanted == given || (std::isnan(wanted) && std::isnan(given))) difference = 0;
      if (!(difference <= kMostDifference))
        return Fail(ErrorCode::kInternal,
                    "the package gives {} where the graph gives {} (row {} of the sample)", given,
                    wanted, row + 1);
    }
  return rows;
}

ModelReference ReferenceOf(const ModelSchema& schema, const FeatureMatrix& features,
                           std::span<const float> outputs, std::size_t columns, double threshold) {
  ModelReference reference;
  const std::vector<const Field*> fields = schema.features();
  for (std::size_t i = 0; i < fields.size(); ++i)
    reference.features.push_back(MakeFeatureReference(*fields[i], features.Column(i)));
  std::vector<float> scores;
  for (std::size_t row = 0; row < features.rows(); ++row) {
    const auto values = outputs.subspan(row * columns, columns);
    scores.push_back(schema.task == ModelTask::kBinary ? values[1]
                                                       : *std::ranges::max_element(values));
  }
  reference.score_edges = DecileEdges(scores);
  reference.score_counts = CountBins(reference.score_edges, scores);
  reference.threshold = threshold;
  reference.rows = features.rows();
  return reference;
}

struct ImportSources {
  std::string graph_file, graph_digest, producer, sample_digest;
};

std::string CardOf(const ImportOptions& options, const ImportedModel& imported,
                   const ImportSources& sources) {
  std::string card = fmt::format(
      "# {}:{}\n\nA model of task {} that was trained elsewhere and imported.\n\n## Origin\n"
      "- graph: {} ({}){}\n- sample: {} rows of {} ({})\n\n## Fields\n",
      options.name, options.version, ModelTaskName(imported.schema.task), sources.graph_file,
      sources.graph_digest, sources.producer.empty() ? "" : ", made by " + sources.producer,
      imported.sample_rows, options.sample.filename().string(), sources.sample_digest);
  for (const Field& field : imported.schema.fields)
    card += fmt::format("- {} ({}, {})\n", field.column, FieldTypeName(field.type),
                        FieldRoleName(field.role));
  card += fmt::format(
      "\n## Limits\nNothing is known here of the rows that it was trained on: ranges, drift and "
      "the reference of scores are those of the sample. Its answers on the first {} rows of the "
      "sample are the graph's within {:.0e}. How good it is, `skerry evaluate` says on labelled "
      "rows. It has no anomaly detector.\n",
      imported.compared_rows, kMostDifference);
  return card;
}

Result<Json> ProvenanceOfImport(const ImportOptions& options, const ImportedModel& imported,
                                const ImportSources& sources) {
  SKERRY_ASSIGN_OR_RETURN(const std::string duckdb, DuckDbVersion());
  return Json{
      {"format", "skerry-provenance/1"},
      {"name", options.name},
      {"version", options.version},
      {"task", ModelTaskName(imported.schema.task)},
      {"imported",
       {{"file", sources.graph_file},
        {"digest", sources.graph_digest},
        {"producer", sources.producer}}},
      {"data", Json::array({{{"file", options.sample.filename().string()},
                             {"digest", sources.sample_digest}}})},
      {"rows", imported.sample_rows},
      {"software",
       {{"skerry", SKERRY_VERSION}, {"duckdb", duckdb}, {"onnxruntime", OnnxRuntimeVersion()}}}};
}

// Loads as any package before it gets its name.
Status WriteChecked(const NamedTexts& files, const fs::path& out) {
  SKERRY_RETURN_IF_ERROR(CheckNewDirectory(out));
  const fs::path target = fs::absolute(out).lexically_normal();
  SKERRY_ASSIGN_OR_RETURN(
      const TemporaryDirectory directory,
      TemporaryDirectory::Create("." + target.filename().string(), target.parent_path()));
  for (const auto& [name, bytes] : files)
    SKERRY_RETURN_IF_ERROR(WriteFileDurably(directory.path() / name, bytes));
  SKERRY_RETURN_IF_ERROR(LoadPackage(directory.path(), {}), "the package that was made");
  return PublishDirectory(directory, out);
}

Result<ModelSchema> SchemaOf(const Table& sample, const ImportOptions& options) {
  SKERRY_ASSIGN_OR_RETURN(ModelSchema schema, options.schema.empty() ? FieldsOf(sample, options)
                                                                     : ReadSchema(options.schema));
  schema.model = options.name;
  if (!options.label.empty()) schema.label_column = options.label;
  if (schema.label_column.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "say with --label which column holds the truth, also where the sample lacks it");
  return schema;
}

Result<SourceData> ReadSample(const ImportOptions& options) {
  SKERRY_ASSIGN_OR_RETURN(const auto engine, TabularEngine::Open({}));
  std::vector<std::string> texts = options.context;
  texts.insert(texts.end(), options.id.begin(), options.id.end());
  return ReadSourceData(*engine, {options.sample}, texts, {});
}

// Sample, graph and options made to fit each other.
struct FittedSample {
  ModelSchema schema;
  FeatureMatrix features;
  GraphImport import;  // without its features
  GraphAnswers answers;
};

Result<FittedSample> FitSample(const Table& sample, std::string_view onnx,
                               const ImportedGraph& graph, const ImportOptions& options) {
  FittedSample fitted;
  SKERRY_ASSIGN_OR_RETURN(fitted.schema, SchemaOf(sample, options));
  SKERRY_ASSIGN_OR_RETURN(fitted.features, EncodeFeatures(sample, fitted.schema));
  fitted.import.features = fitted.schema.features();
  // The frame says which inputs and features do not fit, before the runtime does.
  SKERRY_RETURN_IF_ERROR(ImportGraph(onnx, graph, fitted.import));
  SKERRY_ASSIGN_OR_RETURN(fitted.answers,
                          RunImported(onnx, graph, fitted.import.features, fitted.features));
  fitted.import.features.clear();
  fitted.import.graph_columns = fitted.answers.columns;
  ModelSchema described = fitted.schema;
  described.classes.clear();
  SKERRY_RETURN_IF_ERROR(DescribeAnswer(options, graph, fitted.import, described));
  if (options.schema.empty()) {
    fitted.schema = std::move(described);
  } else if (fitted.schema.task != described.task ||
             PredictorColumns(fitted.schema) != fitted.import.columns) {
    return Fail(ErrorCode::kInvalidArgument,
                "{} speaks of task {}, and the graph's answer is one of task {}",
                options.schema.string(), ModelTaskName(fitted.schema.task),
                ModelTaskName(described.task));
  }
  return fitted;
}

}  // namespace

bool IsForeignModel(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error) ? fs::exists(path / "MLmodel", error)
                                       : path.extension() == ".onnx";
}

Result<ImportedModel> ImportModel(const ImportOptions& options) {
  SKERRY_RETURN_IF_ERROR(CheckName("model name", options.name));
  SKERRY_RETURN_IF_ERROR(CheckVersion("model version", options.version));
  SKERRY_RETURN_IF_ERROR(CheckNewDirectory(options.out));
  SKERRY_ASSIGN_OR_RETURN(const fs::path file, GraphOf(options.model));
  SKERRY_ASSIGN_OR_RETURN(const std::string onnx, ReadFile(file, limits::kModelBytes));
  SKERRY_ASSIGN_OR_RETURN(const ImportedGraph graph, InspectGraph(onnx, options.output),
                          file.string());
  SKERRY_ASSIGN_OR_RETURN(const SourceData sample, ReadSample(options));
  SKERRY_ASSIGN_OR_RETURN(const FittedSample fitted, FitSample(sample.table, onnx, graph, options),
                          file.string());
  GraphImport import = fitted.import;
  import.features = fitted.schema.features();
  SKERRY_ASSIGN_OR_RETURN(const std::string model, ImportGraph(onnx, graph, import), file.string());
  SKERRY_ASSIGN_OR_RETURN(const auto session, OnnxSession::LoadBytes(model, "the predictor"));
  SKERRY_ASSIGN_OR_RETURN(
      const std::vector<float> outputs,
      RunWholeGraph(*session, fitted.features, PredictorOutputName(fitted.schema), import.columns));
  ImportedModel imported{fitted.schema, sample.table.rows()};
  SKERRY_ASSIGN_OR_RETURN(imported.compared_rows, CompareAnswers(fitted.answers, outputs, import));
  const ImportSources sources{file.filename().string(), Digest::Sha256(onnx).ToString(),
                              graph.producer, sample.digest};
  const ModelReference reference =
      ReferenceOf(fitted.schema, fitted.features, outputs, import.columns, options.threshold);
  NamedTexts files = {{"model.onnx", model},
                      {"schema.json", DumpJsonPretty(imported.schema.ToJson()) + "\n"},
                      {"reference.json", DumpJsonPretty(reference.ToJson()) + "\n"},
                      {"card.md", CardOf(options, imported, sources)}};
  SKERRY_ASSIGN_OR_RETURN(Json provenance, ProvenanceOfImport(options, imported, sources));
  files.emplace_back("provenance.json", ProvenanceText(std::move(provenance), files));
  SKERRY_RETURN_IF_ERROR(WriteChecked(files, options.out));
  return imported;
}

}  // namespace skerry
