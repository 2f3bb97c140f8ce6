#include "serve/inference.h"

#include <algorithm>
#include <utility>

#include "serve/package_outputs.h"
#include "serve/queued_run.h"
#include "serve/row_answer.h"
#include "serve/run_queue.h"

namespace skerry {
namespace {

// One request on its way through Infer.
struct Call {
  const Clock* clock;
  std::int64_t started_us;
  Inference::Done done;
  InferResponse response{};
  std::function<bool()> cancelled{};
};

void Finish(Call& call, const Status& status) {
  const ServedModel& model = *call.response.model;
  AnsweredRequest answered{call.response.rows, call.response.times};
  answered.total_us = call.clock->MonotonicMicros() - call.started_us;
  answered.utc_us = call.response.utc_us;
  answered.shared_run = call.response.shared_run;
  answered.canceled = !status && status.error().code() == ErrorCode::kUnavailable &&
                      call.cancelled && call.cancelled();
  CountAnswer(model, status, answered);
  if (!status) return call.done(tl::make_unexpected(status.error()));
  const std::shared_ptr<ModelStatistics> statistics = model.statistics;
  const std::int64_t counted_us = call.clock->MonotonicMicros();
  call.done(std::move(call.response));
  if (statistics)
    statistics->CountOutput(answered.rows, call.clock->MonotonicMicros() - counted_us);
}

// Captures what was scored as its model wants it, then finishes.
void Answer(const ScoringParts& parts, Call call, Result<InferResponse> scored) {
  if (!scored) return Finish(call, tl::make_unexpected(std::move(scored).error()));
  call.response = std::move(*scored);
  if (!WantsCapture(parts, *call.response.model, call.response.batch.get()))
    return Finish(call, {});
  const std::shared_ptr<const ServedModel> answered = call.response.model;
  const std::shared_ptr<const RowBatch> batch = call.response.batch;
  if (answered->capture == CaptureMode::kAsync) {
    Finish(call, {});
    return CaptureUnwaited(parts, *answered, batch);
  }
  // Shared only because std::function wants to be copyable; it runs once.
  auto waiting = std::make_shared<Call>(std::move(call));
  CaptureRows(parts, answered, batch, [waiting](const Status& kept) {
    waiting->response.captured = kept.has_value();
    const bool tries = waiting->response.model->capture == CaptureMode::kTry;
    Finish(*waiting, tries ? Status() : kept);
  });
}

Tensor FloatTensor(std::string_view name, std::vector<std::int64_t> shape) {
  Tensor tensor;
  tensor.name = name;
  tensor.Resize(TensorType::kFloat32, std::move(shape));
  return tensor;
}

Tensor FloatsOf(std::string_view name, const std::vector<float>& values) {
  Tensor tensor = FloatTensor(name, {static_cast<std::int64_t>(values.size())});
  std::copy(values.begin(), values.end(), tensor.MutableView<float>().begin());
  return tensor;
}

Tensor ProbabilitiesOf(const RowBatch& batch) {
  const std::size_t classes = batch.package->schema.classes.size();
  Tensor tensor = FloatTensor(
      "probabilities", {static_cast<std::int64_t>(batch.rows), static_cast<std::int64_t>(classes)});
  const std::span<float> values = tensor.MutableView<float>();
  std::ranges::copy(batch.probabilities, values.begin());
  if (!batch.probabilities.empty()) return tensor;
  for (std::size_t row = 0; row < batch.rows; ++row) {
    values[row * 2] = 1.0F - batch.score[row];
    values[row * 2 + 1] = batch.score[row];
  }
  return tensor;
}

Tensor PredictionOf(const RowBatch& batch) {
  Tensor tensor;
  tensor.name = "prediction";
  tensor.Resize(TensorType::kString, {static_cast<std::int64_t>(batch.rows)});
  for (std::size_t row = 0; row < batch.rows; ++row)
    tensor.strings[row] = batch.package->schema.classes[batch.prediction[row]];
  return tensor;
}

Tensor TensorOf(const PackageOutput& output, const RowBatch& batch) {
  switch (output.kind) {
    case PackageOutputKind::kProbabilities: return ProbabilitiesOf(batch);
    case PackageOutputKind::kPrediction: return PredictionOf(batch);
    case PackageOutputKind::kScore: return FloatsOf(output.name, batch.score);
    case PackageOutputKind::kAnomalyScore: break;
  }
  return FloatsOf(output.name, batch.anomaly_score);
}

}  // namespace

Inference::Inference(ScoringParts parts) : parts_(std::move(parts)) {
  parts_.repository->CountIn(*parts_.metrics);
}

Result<std::shared_ptr<const ServedModel>> Inference::Find(std::string_view name,
                                                           std::string_view version) const {
  std::shared_ptr<const ServedModel> model = parts_.repository->Find(name, version);
  if (model) return model;
  const std::vector<std::string> versions = parts_.repository->VersionNames(name);
  if (versions.empty()) return UnknownModel(name);
  return Fail(ErrorCode::kNotFound, "model {} has no version \"{}\" here; {} is served", name,
              version, fmt::join(versions, ", "));
}

Result<InferResponse> Inference::Score(std::shared_ptr<const ServedModel> model,
                                       const InferRequest& request) const {
  return ScoreAlone(parts_, std::move(model), request);
}

bool Inference::IsQueued(const ServedModel& model) const {
  return parts_.queue != nullptr && parts_.queue->Takes(model);
}

void Inference::Enqueue(const std::shared_ptr<const ServedModel>& model,
                        std::shared_ptr<const InferRequest> request, InferContext context,
                        const Done& scored) const {
  QueuedRun run{std::move(request), std::move(context), scored};
  if (Status taken = parts_.queue->Push(model, std::move(run)); !taken)
    scored(tl::make_unexpected(std::move(taken).error()));
}

void Inference::Infer(std::shared_ptr<const ServedModel> model, InferRequest request,
                      InferContext context, Done done) const {
  Call call{parts_.clock, parts_.clock->MonotonicMicros(), std::move(done)};
  call.response.model = model;
  call.cancelled = context.cancelled;
  if (IsQueued(*model)) {
    // Shared only because std::function wants to be copyable; it runs once.
    auto waiting = std::make_shared<Call>(std::move(call));
    return Enqueue(model, std::make_shared<const InferRequest>(std::move(request)),
                   std::move(context), [parts = parts_, waiting](Result<InferResponse> scored) {
                     Answer(parts, std::move(*waiting), std::move(scored));
                   });
  }
  if (Status wanted = StillWanted(context); !wanted) return Finish(call, wanted);
  Answer(parts_, std::move(call), Score(std::move(model), request));
}

std::vector<Tensor> PackageOutputs(const RowBatch& batch, const std::vector<std::string>& wanted) {
  std::vector<Tensor> outputs;
  if (wanted.empty())
    for (const PackageOutput& output : OutputsOf(*batch.package))
      outputs.push_back(TensorOf(output, batch));
  for (const std::string& name : wanted)
    if (const PackageOutput* output = FindOutput(*batch.package, name))
      outputs.push_back(TensorOf(*output, batch));
  return outputs;
}

}  // namespace skerry
