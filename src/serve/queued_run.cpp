#include "serve/queued_run.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "model/scorer.h"
#include "serve/answers.h"
#include "serve/batch_builder.h"
#include "serve/row_answer.h"

namespace skerry {
namespace {

using Model = std::shared_ptr<const ServedModel>;

// One of the requests that share a run: where its rows begin, and what it gets.
struct Part {
  QueuedRun* run;
  std::size_t first = 0, rows = 1;
  std::shared_ptr<RowBatch> batch{};  // null for a bare model
};

// Of `rows` rows with as many values each.
template <typename T>
std::vector<T> Slice(const std::vector<T>& all, const Part& part, std::size_t rows) {
  const std::size_t each = all.size() / rows;
  const auto first = all.begin() + static_cast<std::ptrdiff_t>(part.first * each);
  return std::vector<T>(first, first + static_cast<std::ptrdiff_t>(part.rows * each));
}

InferResponse ResponseOf(const ScoringParts& parts, const Model& model, const Part& part,
                         const InferTimes& times) {
  InferResponse response;
  response.model = model;
  response.id = part.run->request->id;
  response.rows = part.rows;
  response.times = times;
  response.shared_run = true;
  response.utc_us = parts.clock->UtcMicros();
  return response;
}

// A shared run of a package. False when it failed: each is to run alone then.
bool ScorePackageTogether(const ScoringParts& parts, const Model& model,
                          std::vector<Part>& shared) {
  RowBatch all;
  all.package = model->package;
  const std::int64_t began_us = parts.clock->MonotonicMicros();
  for (Part& part : shared) {
    part.first = all.rows;
    part.rows = part.batch->rows;
    all.rows += part.rows;
    all.features.insert(all.features.end(), part.batch->features.begin(),
                        part.batch->features.end());
  }
  const std::int64_t running_us = parts.clock->MonotonicMicros();
  if (!ScoreRows(all)) return false;
  InferTimes times;
  times.input_us = running_us - began_us;
  times.infer_us = parts.clock->MonotonicMicros() - running_us;
  model->statistics->CountRun(all.rows, times);
  for (Part& part : shared) {
    RowBatch& batch = *part.batch;
    batch.inputs = Slice(all.inputs, part, all.rows);
    batch.score = Slice(all.score, part, all.rows);
    batch.probabilities = Slice(all.probabilities, part, all.rows);
    batch.anomaly_score = Slice(all.anomaly_score, part, all.rows);
    batch.prediction = Slice(all.prediction, part, all.rows);
    batch.out_of_range = Slice(all.out_of_range, part, all.rows);
    batch.infer_us = times.infer_us;
    NumberRows(parts, batch);
    InferResponse response = ResponseOf(parts, model, part, times);
    response.batch = std::move(part.batch);
    part.run->done(std::move(response));
  }
  return true;
}

// Rows [first, first + rows) of a tensor with as many elements in each row.
Tensor RowsOfTensor(const Tensor& all, std::size_t total, const Part& part) {
  Tensor tensor;
  tensor.name = all.name;
  tensor.type = all.type;
  tensor.shape = all.shape;
  tensor.shape[0] = static_cast<std::int64_t>(part.rows);
  if (all.type == TensorType::kString) {
    const std::size_t each = all.strings.size() / total;
    const auto first = all.strings.begin() + static_cast<std::ptrdiff_t>(part.first * each);
    tensor.strings.assign(first, first + static_cast<std::ptrdiff_t>(part.rows * each));
  } else {
    const std::size_t each = all.bytes.size() / total;
    tensor.bytes = all.bytes.substr(part.first * each, part.rows * each);
  }
  return tensor;
}

void AppendRows(Tensor& all, const Tensor& more) {
  all.shape[0] += more.shape[0];
  all.bytes += more.bytes;
  all.strings.insert(all.strings.end(), more.strings.begin(), more.strings.end());
}

// A shared run of a bare graph. False when it failed, or gave other than a row for each row.
bool ScoreTensorsTogether(const ScoringParts& parts, const Model& model,
                          std::vector<Part>& shared) {
  const std::int64_t began_us = parts.clock->MonotonicMicros();
  std::vector<Tensor> inputs = shared[0].run->request->inputs;
  std::size_t total = shared[0].rows;
  for (std::size_t i = 1; i < shared.size(); ++i) {
    shared[i].first = total;
    total += shared[i].rows;
    for (std::size_t k = 0; k < inputs.size(); ++k)
      AppendRows(inputs[k], shared[i].run->request->inputs[k]);
  }
  const std::int64_t running_us = parts.clock->MonotonicMicros();
  const auto outputs =
      model->package->predictor->Run(inputs, OutputNames(shared[0].run->request->outputs));
  if (!outputs || !std::ranges::all_of(*outputs, [total](const Tensor& tensor) {
        return !tensor.shape.empty() && tensor.shape[0] == static_cast<std::int64_t>(total);
      }))
    return false;
  InferTimes times;
  times.input_us = running_us - began_us;
  times.infer_us = parts.clock->MonotonicMicros() - running_us;
  model->statistics->CountRun(total, times);
  for (const Part& part : shared) {
    InferResponse response = ResponseOf(parts, model, part, times);
    for (const Tensor& all : *outputs) response.outputs.push_back(RowsOfTensor(all, total, part));
    part.run->done(std::move(response));
  }
  return true;
}

bool SameButRows(const Tensor& a, const Tensor& b) {
  return a.name == b.name && a.type == b.type && a.shape.size() == b.shape.size() &&
         !a.shape.empty() && std::equal(a.shape.begin() + 1, a.shape.end(), b.shape.begin() + 1);
}

// Whether a bare graph gives both the same answers in one run.
bool MayShare(const InferRequest& a, const InferRequest& b) {
  return std::ranges::equal(a.inputs, b.inputs, SameButRows) &&
         OutputNames(a.outputs) == OutputNames(b.outputs);
}

// Every input has as many rows.
bool HasRows(const InferRequest& request, std::size_t rows) {
  return std::ranges::all_of(request.inputs, [rows](const Tensor& tensor) {
    return !tensor.shape.empty() && tensor.shape[0] == static_cast<std::int64_t>(rows);
  });
}

void RunAlone(const ScoringParts& parts, const Model& model, const QueuedRun& run) {
  run.done(ScoreAlone(parts, model, *run.request));
}

void ScorePackage(const ScoringParts& parts, const Model& model,
                  const std::vector<QueuedRun*>& runs) {
  // A shared run that failed would have taken rows up in the windows that are then taken up again.
  if (runs.size() == 1 || model->windows) {
    for (const QueuedRun* run : runs) RunAlone(parts, model, *run);
    return;
  }
  std::vector<Part> shared;
  for (QueuedRun* run : runs) {
    Result<std::shared_ptr<RowBatch>> batch = BatchFromTensors(model->package, *run->request);
    if (batch)
      shared.push_back({.run = run, .batch = std::move(*batch)});
    else
      run->done(tl::make_unexpected(std::move(batch).error()));
  }
  if (shared.size() > 1 && ScorePackageTogether(parts, model, shared)) return;
  for (const Part& part : shared) RunAlone(parts, model, *part.run);
}

void ScoreBare(const ScoringParts& parts, const Model& model, std::vector<QueuedRun*> runs) {
  while (!runs.empty()) {
    const InferRequest& first = *runs.front()->request;
    const auto others = std::stable_partition(runs.begin(), runs.end(), [&](QueuedRun* run) {
      return model->package->predictor->batches() &&
             HasRows(*run->request, RowsOf(*model, *run->request)) &&
             (run->request.get() == &first || MayShare(first, *run->request));
    });
    std::vector<Part> shared;
    for (auto run = runs.begin(); run != others; ++run)
      shared.push_back({.run = *run, .rows = RowsOf(*model, *(*run)->request)});
    std::vector<QueuedRun*> rest(others, runs.end());
    if (shared.empty()) {  // the first fits with nobody, not even with itself
      shared.push_back({.run = rest.front()});
      rest.erase(rest.begin());
    }
    if (shared.size() == 1 || !ScoreTensorsTogether(parts, model, shared))
      for (const Part& part : shared) RunAlone(parts, model, *part.run);
    runs = std::move(rest);
  }
}

}  // namespace

std::size_t RowsOf(const ServedModel& model, const InferRequest& request) {
  const bool rows = !model.package->bare || model.package->predictor->batches();
  if (!rows || request.inputs.empty() || request.inputs[0].shape.empty()) return 1;
  return static_cast<std::size_t>(std::max<std::int64_t>(request.inputs[0].shape[0], 1));
}

Status StillWanted(const InferContext& context) {
  if (context.deadline && std::chrono::steady_clock::now() >= *context.deadline)
    return Fail(ErrorCode::kDeadlineExceeded, "the deadline passed before the model could begin");
  if (context.cancelled && context.cancelled())
    return Fail(ErrorCode::kUnavailable, "the client went away before the model could begin");
  return {};
}

Result<InferResponse> ScoreAlone(const ScoringParts& parts, Model model,
                                 const InferRequest& request) {
  const ModelPackage& package = *model->package;
  InferResponse response;
  response.model = std::move(model);
  response.id = request.id;
  SKERRY_RETURN_IF_ERROR(CheckOutputs(package, request));
  const std::int64_t began_us = parts.clock->MonotonicMicros();
  if (package.bare) {
    SKERRY_ASSIGN_OR_RETURN(response.outputs,
                            package.predictor->Run(request.inputs, OutputNames(request.outputs)));
    response.rows = RowsOf(*response.model, request);
    response.times.infer_us = parts.clock->MonotonicMicros() - began_us;
    response.utc_us = parts.clock->UtcMicros();
    return response;
  }
  SKERRY_ASSIGN_OR_RETURN(std::shared_ptr<RowBatch> batch,
                          BatchFromTensors(response.model->package, request));
  SKERRY_RETURN_IF_ERROR(ScoreAndNumber(parts, *response.model, *batch));
  response.rows = batch->rows;
  response.times.infer_us = batch->infer_us;
  response.times.input_us = batch->mono_us - batch->infer_us - began_us;
  response.utc_us = batch->event_time_us;
  response.batch = std::move(batch);
  return response;
}

void ScoreQueued(const ScoringParts& parts, const Model& model, std::vector<QueuedRun> runs) {
  std::vector<QueuedRun*> wanted;
  for (QueuedRun& run : runs) {
    // The wait ends here, whatever becomes of the run.
    run.done = [done = std::move(run.done), queued_at = run.queued_at,
                began = std::chrono::steady_clock::now()](Result<InferResponse> response) {
      if (response)
        response->times.queue_us =
            std::chrono::duration_cast<std::chrono::microseconds>(began - queued_at).count();
      done(std::move(response));
    };
    Status may = StillWanted(run.context);
    if (may) may = CheckOutputs(*model->package, *run.request);
    if (may)
      wanted.push_back(&run);
    else
      run.done(tl::make_unexpected(std::move(may).error()));
  }
  if (model->package->bare)
    ScoreBare(parts, model, std::move(wanted));
  else
    ScorePackage(parts, model, wanted);
}

}  // namespace skerry
