#include "serve/answers.h"

#include <algorithm>
#include <string_view>

#include "insight/reasons.h"
#include "serve/binary_tensors.h"
#include "serve/classification.h"
#include "serve/json_text.h"
#include "serve/package_outputs.h"

namespace skerry {
namespace {

void AppendMember(std::string& out, std::string_view name, std::string_view text) {
  out += '"';
  out += name;
  out += "\":";
  AppendJsonString(out, text);
}

void AppendRowIds(std::string& out, const RowBatch& batch) {
  AppendMember(out, "instance", batch.instance.ToString());
  out += ",\"first_n\":";
  AppendJsonNumber(out, batch.first_n);
  out += ",\"rows\":";
  AppendJsonNumber(out, std::uint64_t{batch.rows});
  if (!batch.package->digest) return;
  out += ',';
  AppendMember(out, "model_digest", batch.package->digest->ToString());
}

void AppendHead(std::string& out, const ModelPackage& package, const InferRequest& request) {
  out += '{';
  AppendMember(out, "model_name", package.name);
  out += ',';
  AppendMember(out, "model_version", package.version);
  if (request.id.empty()) return;
  out += ',';
  AppendMember(out, "id", request.id);
}

void AppendOutputHead(std::string& out, std::string_view name, std::string_view datatype,
                      std::size_t rows, std::string_view columns) {
  out += fmt::format("{{\"name\":\"{}\",\"datatype\":\"{}\",\"shape\":[{}{}],\"data\":[", name,
                     datatype, rows, columns);
}

template <typename Append>
void AppendOutputRows(std::string& out, std::size_t rows, Append append) {
  for (std::size_t row = 0; row < rows; ++row) {
    if (row > 0) out += ',';
    append(row);
  }
  out += "]}";
}

void WriteProbabilities(std::string& out, const RowBatch& batch) {
  AppendOutputHead(out, "probabilities", "FP32", batch.rows,
                   fmt::format(",{}", batch.package->schema.classes.size()));
  if (!batch.probabilities.empty())
    return AppendOutputRows(out, batch.probabilities.size(),
                            [&](std::size_t i) { AppendJsonNumber(out, batch.probabilities[i]); });
  AppendOutputRows(out, batch.rows, [&](std::size_t row) {
    AppendJsonNumber(out, 1.0F - batch.score[row]);
    out += ',';
    AppendJsonNumber(out, batch.score[row]);
  });
}

void WritePrediction(std::string& out, const RowBatch& batch) {
  AppendOutputHead(out, "prediction", "BYTES", batch.rows, "");
  AppendOutputRows(out, batch.rows, [&](std::size_t row) {
    AppendJsonString(out, batch.package->schema.classes[batch.prediction[row]]);
  });
}

void WriteNumbers(std::string& out, std::string_view name, const std::vector<float>& numbers) {
  AppendOutputHead(out, name, "FP32", numbers.size(), "");
  AppendOutputRows(out, numbers.size(),
                   [&](std::size_t row) { AppendJsonNumber(out, numbers[row]); });
}

void WriteOutput(std::string& out, const PackageOutput& output, const RowBatch& batch) {
  switch (output.kind) {
    case PackageOutputKind::kProbabilities: return WriteProbabilities(out, batch);
    case PackageOutputKind::kPrediction: return WritePrediction(out, batch);
    case PackageOutputKind::kScore: return WriteNumbers(out, output.name, batch.score);
    case PackageOutputKind::kAnomalyScore:
      return WriteNumbers(out, output.name, batch.anomaly_score);
  }
}

void AppendContributions(std::string& out, const Contributions& explained, std::size_t row,
                         const std::vector<std::string_view>& inputs) {
  out += ",\"base\":";
  AppendJsonNumber(out, explained.bases[row]);
  out += ",\"contributions\":{";
  const std::span<const double> values = explained.Row(row);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out += ',';
    AppendJsonString(out, inputs[i]);
    out += ':';
    AppendJsonNumber(out, values[i]);
  }
  out += '}';
}

// What the predictor says of a row, each member with a comma before it.
void AppendPrediction(std::string& out, const RowBatch& batch, std::size_t row) {
  const ModelSchema& schema = batch.package->schema;
  if (schema.task == ModelTask::kAnomaly) return;
  if (schema.task == ModelTask::kRegression) {
    out += ",\"value\":";
    return AppendJsonNumber(out, batch.score[row]);
  }
  out += ',';
  AppendMember(out, "prediction", schema.classes[batch.prediction[row]]);
  out += ",\"score\":";
  AppendJsonNumber(out, batch.score[row]);
  if (schema.task != ModelTask::kMulticlass) return;
  out += ",\"probabilities\":{";
  const std::size_t classes = schema.classes.size();
  for (std::size_t i = 0; i < classes; ++i) {
    if (i > 0) out += ',';
    AppendJsonString(out, schema.classes[i]);
    out += ':';
    AppendJsonNumber(out, batch.probabilities[row * classes + i]);
  }
  out += '}';
}

void AppendScoredRow(std::string& out, const RowBatch& batch, std::size_t row,
                     const std::vector<std::string_view>& inputs, const Contributions* explained) {
  out += '{';
  AppendMember(out, "row", batch.row_id(row).ToString());
  AppendPrediction(out, batch, row);
  out += ",\"anomaly_score\":";
  if (batch.anomaly_score.empty())
    out += "null";
  else
    AppendJsonNumber(out, batch.anomaly_score[row]);
  out += batch.IsAnomaly(row) ? ",\"anomaly\":true" : ",\"anomaly\":false";
  out += ",\"out_of_range\":[";
  for (const std::uint16_t index : batch.out_of_range[row]) {
    if (out.back() != '[') out += ',';
    AppendJsonString(out, inputs[index]);
  }
  out += "],\"reasons\":[";
  for (const Reason& reason : ReasonsOf(batch, row)) {
    if (out.back() != '[') out += ',';
    AppendJsonString(out, reason.text);
  }
  out += ']';
  if (explained != nullptr) AppendContributions(out, *explained, row, inputs);
  out += '}';
}

constexpr std::string_view kProbabilities = "probabilities";

Status CheckClassifications(const ModelPackage& package, const InferRequest& request) {
  for (const RequestedOutput& wanted : request.outputs)
    for (const TensorSpec& spec : package.graph().outputs())
      if (wanted.classification != 0 && spec.name == wanted.name && !CanClassify(spec.type))
        return Fail(ErrorCode::kInvalidArgument, "output \"{}\" is of {}, which has no classes",
                    wanted.name, TensorTypeName(spec.type));
  return {};
}

bool IsBinary(const InferRequest& request, std::size_t output) {
  return request.outputs.empty() ? request.binary_outputs : request.outputs[output].binary;
}

// Nothing but JSON tensors: the hot path.
bool ArePlain(const InferRequest& request) {
  if (request.outputs.empty()) return !request.binary_outputs;
  return std::none_of(
      request.outputs.begin(), request.outputs.end(),
      [](const RequestedOutput& wanted) { return wanted.binary || wanted.classification != 0; });
}

void AppendPackageOutputs(std::string& out, const RowBatch& batch, const InferRequest& request) {
  const auto append = [&](const PackageOutput& output) {
    if (out.back() != '[') out += ',';
    WriteOutput(out, output, batch);
  };
  if (request.outputs.empty())
    for (const PackageOutput& output : OutputsOf(*batch.package)) append(output);
  for (const RequestedOutput& wanted : request.outputs)
    append(*FindOutput(*batch.package, wanted.name));
}

void AppendOutput(std::string& out, const Tensor& tensor, bool binary) {
  if (out.back() != '[') out += ',';
  if (!binary) return AppendTensor(out, tensor);
  AppendTensorHead(out, tensor);
  out += fmt::format(",\"parameters\":{{\"binary_data_size\":{}}}}}", RawElementBytes(tensor));
}

}  // namespace

Status CheckOutputs(const ModelPackage& package, const InferRequest& request) {
  if (package.bare) return CheckClassifications(package, request);
  for (const RequestedOutput& wanted : request.outputs) {
    if (FindOutput(package, wanted.name) == nullptr) {
      std::string offered;
      for (const PackageOutput& output : OutputsOf(package))
        offered += fmt::format("{}{}", offered.empty() ? "" : ", ", output.name);
      return Fail(ErrorCode::kInvalidArgument, "no output named \"{}\"; the model has {}",
                  wanted.name, offered);
    }
    if (wanted.classification != 0 && wanted.name != kProbabilities)
      return Fail(ErrorCode::kInvalidArgument,
                  "output \"{}\" has no classes; ask for the classification of {}", wanted.name,
                  kProbabilities);
  }
  return {};
}

std::vector<Tensor> AnswerTensors(InferResponse& response,
                                  std::span<const RequestedOutput> outputs) {
  std::vector<Tensor> tensors = response.batch
                                    ? PackageOutputs(*response.batch, OutputNames(outputs))
                                    : std::move(response.outputs);
  for (std::size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i].classification != 0)
      tensors[i] =
          ClassesOf(tensors[i], outputs[i].classification, response.model->package->schema.classes);
  return tensors;
}

InferAnswer RenderInferAnswer(InferResponse& response, const InferRequest& request) {
  InferAnswer answer;
  std::string& out = answer.body;
  AppendHead(out, *response.model->package, request);
  if (response.batch) {
    out += ",\"parameters\":{";
    AppendRowIds(out, *response.batch);
    out += '}';
  }
  out += ",\"outputs\":[";
  std::vector<Tensor> tensors;
  if (response.batch && ArePlain(request)) {
    AppendPackageOutputs(out, *response.batch, request);
  } else {
    tensors = AnswerTensors(response, request.outputs);
    for (std::size_t i = 0; i < tensors.size(); ++i)
      AppendOutput(out, tensors[i], IsBinary(request, i));
  }
  out += "]}";
  answer.json_bytes = out.size();
  for (std::size_t i = 0; i < tensors.size(); ++i)
    if (IsBinary(request, i)) AppendRawElements(tensors[i], out);
  return answer;
}

std::string ScoreAnswer(const RowBatch& batch, const Contributions* explained) {
  std::string out = "{";
  AppendMember(out, "model", batch.package->name);
  out += ',';
  AppendMember(out, "version", batch.package->version);
  out += ",\"parameters\":{";
  AppendRowIds(out, batch);
  out += "},\"results\":[";
  const std::vector<std::string_view> inputs = batch.package->schema.input_names();
  AppendOutputRows(out, batch.rows,
                   [&](std::size_t row) { AppendScoredRow(out, batch, row, inputs, explained); });
  return out;
}

std::string ScoreLines(const RowBatch& batch, const Contributions* explained) {
  std::string out;
  const std::vector<std::string_view> inputs = batch.package->schema.input_names();
  for (std::size_t row = 0; row < batch.rows; ++row) {
    AppendScoredRow(out, batch, row, inputs, explained);
    out += '\n';
  }
  return out;
}

std::string ScoreErrorLine(const Error& error, std::uint64_t row) {
  std::string out = "{";
  AppendMember(out, "error", error.message());
  out += ",\"row\":";
  AppendJsonNumber(out, row);
  out += "}\n";
  return out;
}

}  // namespace skerry
