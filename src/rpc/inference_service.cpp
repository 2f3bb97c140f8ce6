#include "rpc/inference_service.h"

#include <span>
#include <utility>

#include "rpc/convert.h"
#include "serve/answers.h"
#include "serve/api_keys.h"
#include "serve/model_document.h"
#include "serve/repository_service.h"

namespace skerry {
namespace {

grpc::StatusCode GrpcCode(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument: return grpc::StatusCode::INVALID_ARGUMENT;
    case ErrorCode::kUnauthenticated: return grpc::StatusCode::UNAUTHENTICATED;
    case ErrorCode::kPermissionDenied: return grpc::StatusCode::PERMISSION_DENIED;
    case ErrorCode::kNotFound: return grpc::StatusCode::NOT_FOUND;
    case ErrorCode::kAlreadyExists: return grpc::StatusCode::ALREADY_EXISTS;
    case ErrorCode::kConflict: return grpc::StatusCode::ABORTED;
    case ErrorCode::kFailedPrecondition: return grpc::StatusCode::FAILED_PRECONDITION;
    // The request itself is too large; RESOURCE_EXHAUSTED would invite to send it again.
    case ErrorCode::kTooLarge: return grpc::StatusCode::INVALID_ARGUMENT;
    case ErrorCode::kOutOfRange: return grpc::StatusCode::OUT_OF_RANGE;
    case ErrorCode::kResourceExhausted: return grpc::StatusCode::RESOURCE_EXHAUSTED;
    case ErrorCode::kUnavailable: return grpc::StatusCode::UNAVAILABLE;
    case ErrorCode::kDeadlineExceeded: return grpc::StatusCode::DEADLINE_EXCEEDED;
    case ErrorCode::kDataLoss: return grpc::StatusCode::DATA_LOSS;
    case ErrorCode::kUnimplemented: return grpc::StatusCode::UNIMPLEMENTED;
    case ErrorCode::kInternal: break;
  }
  return grpc::StatusCode::INTERNAL;
}

grpc::ServerUnaryReactor* Finish(grpc::CallbackServerContext* context, grpc::Status status = {}) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(std::move(status));
  return reactor;
}

// Whether the caller shows a key, where keys are asked for.
Status CheckCaller(const ScoringParts& parts, const grpc::CallbackServerContext& context) {
  if (parts.api_keys == nullptr) return {};
  const auto found = context.client_metadata().find("authorization");
  if (found == context.client_metadata().end()) return parts.api_keys->Check("");
  return parts.api_keys->Check({found->second.data(), found->second.size()});
}

void FillParameters(const RowBatch& batch, inference::ModelInferResponse& answer) {
  auto& parameters = *answer.mutable_parameters();
  parameters["instance"].set_string_param(batch.instance.ToString());
  parameters["first_n"].set_int64_param(static_cast<std::int64_t>(batch.first_n));
  parameters["rows"].set_int64_param(static_cast<std::int64_t>(batch.rows));
  if (batch.package->digest)
    parameters["model_digest"].set_string_param(batch.package->digest->ToString());
}

void Fill(InferResponse scored, std::span<const RequestedOutput> wanted, TensorForm asked,
          inference::ModelInferResponse& answer) {
  answer.set_model_name(scored.model->package->name);
  answer.set_model_version(scored.model->package->version);
  answer.set_id(std::move(scored.id));
  if (scored.batch) FillParameters(*scored.batch, answer);
  if (!scored.captured) (*answer.mutable_parameters())["captured"].set_bool_param(false);
  std::vector<Tensor> outputs = AnswerTensors(scored, wanted);
  const TensorForm form = FormFor(outputs, asked);
  for (Tensor& tensor : outputs) AddOutput(std::move(tensor), form, answer);
}

// None for a call without a deadline, which is far ahead: the sum would overflow.
std::optional<std::chrono::steady_clock::time_point> SteadyDeadline(
    std::chrono::system_clock::time_point deadline) {
  const auto left = deadline - std::chrono::system_clock::now();
  if (left > std::chrono::hours(24)) return std::nullopt;
  return std::chrono::steady_clock::now() + left;
}

// Decodes, scores, fills `answer`, then calls `done` once. `message` is emptied.
void InferMessage(const Inference& inference, grpc::CallbackServerContext* context,
                  inference::ModelInferRequest& message, inference::ModelInferResponse& answer,
                  std::function<void(Status)> done) {
  Result<std::shared_ptr<const ServedModel>> model =
      inference.Find(message.model_name(), message.model_version());
  if (!model) return done(tl::make_unexpected(std::move(model).error()));
  Result<DecodedRequest> decoded = DecodeRequest(message);
  if (!decoded) return done(tl::make_unexpected(std::move(decoded).error()));
  std::vector<RequestedOutput> wanted = decoded->request.outputs;
  InferContext limits;
  limits.deadline = SteadyDeadline(context->deadline());
  limits.cancelled = [context] { return context->IsCancelled(); };
  inference.Infer(std::move(*model), decoded->request, limits,
                  [&answer, wanted = std::move(wanted), form = decoded->form,
                   done = std::move(done)](Result<InferResponse> scored) {
                    if (!scored) return done(tl::make_unexpected(std::move(scored).error()));
                    Fill(std::move(*scored), wanted, form, answer);
                    done({});
                  });
}

using StreamReactor =
    grpc::ServerBidiReactor<inference::ModelInferRequest, inference::ModelStreamInferResponse>;

// A stream that ends before it began.
class RefusedStream final : public StreamReactor {
 public:
  explicit RefusedStream(grpc::Status status) { Finish(std::move(status)); }
  void OnDone() override { delete this; }
};

// One stream: reads a request, answers it, reads the next. Deletes itself when the call is over.
class InferStream final : public StreamReactor {
 public:
  InferStream(const Inference& inference, grpc::CallbackServerContext* context)
      : inference_(inference), context_(context) {
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    response_.Clear();
    InferMessage(inference_, context_, request_, *response_.mutable_infer_response(),
                 [this, id = request_.id()](const Status& status) {
                   if (!status) {
                     response_.set_error_message(status.error().message());
                     response_.mutable_infer_response()->Clear();
                     response_.mutable_infer_response()->set_id(id);
                   }
                   StartWrite(&response_);
                 });
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    StartRead(&request_);
  }
  void OnDone() override { delete this; }

 private:
  const Inference& inference_;
  grpc::CallbackServerContext* context_;
  inference::ModelInferRequest request_;
  inference::ModelStreamInferResponse response_;
};

template <typename Tensors>
void FillMetadata(const Json& specs, Tensors& tensors) {
  for (const Json& spec : specs) {
    auto& tensor = *tensors.Add();
    tensor.set_name(spec["name"].get<std::string>());
    tensor.set_datatype(spec["datatype"].get<std::string>());
    for (const Json& size : spec["shape"]) tensor.add_shape(size.get<std::int64_t>());
  }
}

template <typename Tensors>
void FillConfig(const Json& specs, Tensors& tensors) {
  for (const Json& spec : specs) {
    auto& tensor = *tensors.Add();
    tensor.set_name(spec["name"].get<std::string>());
    if (const auto type = ParseTensorType(spec["datatype"].get<std::string>()))
      tensor.set_data_type(ProtoTypeOf(*type));
    for (const Json& size : spec["shape"]) tensor.add_dims(size.get<std::int64_t>());
  }
}

void Fill(const StatisticDuration& duration, inference::StatisticDuration& message) {
  message.set_count(duration.count);
  message.set_ns(duration.ns);
}

void Fill(StatisticsReading reading, inference::ModelStatistics& message) {
  message.set_name(std::move(reading.name));
  message.set_version(std::move(reading.version));
  message.set_last_inference(reading.last_inference_ms);
  message.set_inference_count(reading.inference_count);
  message.set_execution_count(reading.execution_count);
  inference::InferStatistics& stats = *message.mutable_inference_stats();
  Fill(reading.success, *stats.mutable_success());
  Fill(reading.fail, *stats.mutable_fail());
  Fill(reading.queue, *stats.mutable_queue());
  Fill(reading.compute_input, *stats.mutable_compute_input());
  Fill(reading.compute_infer, *stats.mutable_compute_infer());
  Fill(reading.compute_output, *stats.mutable_compute_output());
  for (const BatchStatistics& batch : reading.batches) {
    inference::InferBatchStatistics& entry = *message.add_batch_stats();
    entry.set_batch_size(batch.batch_size);
    Fill(batch.compute_input, *entry.mutable_compute_input());
    Fill(batch.compute_infer, *entry.mutable_compute_infer());
    Fill(batch.compute_output, *entry.mutable_compute_output());
  }
}

}  // namespace

grpc::Status GrpcStatus(const Error& error) { return {GrpcCode(error.code()), error.message()}; }

grpc::ServerUnaryReactor* InferenceService::Refuse(grpc::CallbackServerContext* context) const {
  const Status allowed = CheckCaller(parts_, *context);
  return allowed ? nullptr : Finish(context, GrpcStatus(allowed.error()));
}

grpc::ServerUnaryReactor* InferenceService::Change(grpc::CallbackServerContext* context,
                                                   std::function<Status()> change) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const bool taken = changes_.Post([context, reactor, change = std::move(change)] {
    if (context->IsCancelled()) return reactor->Finish(grpc::Status::CANCELLED);
    const Status changed = change();
    reactor->Finish(changed ? grpc::Status::OK : GrpcStatus(changed.error()));
  });
  if (!taken)
    reactor->Finish(
        {grpc::StatusCode::RESOURCE_EXHAUSTED, "too many changes wait; try again later"});
  return reactor;
}

grpc::ServerUnaryReactor* InferenceService::ServerLive(grpc::CallbackServerContext* context,
                                                       const inference::ServerLiveRequest*,
                                                       inference::ServerLiveResponse* response) {
  response->set_live(true);
  return Finish(context);
}

grpc::ServerUnaryReactor* InferenceService::ServerReady(grpc::CallbackServerContext* context,
                                                        const inference::ServerReadyRequest*,
                                                        inference::ServerReadyResponse* response) {
  response->set_ready(parts_.repository->ready());
  return Finish(context);
}

grpc::ServerUnaryReactor* InferenceService::ModelReady(grpc::CallbackServerContext* context,
                                                       const inference::ModelReadyRequest* request,
                                                       inference::ModelReadyResponse* response) {
  if (grpc::ServerUnaryReactor* refused = Refuse(context)) return refused;
  // A model that is not served is not ready: clients take an error for a broken server.
  response->set_ready(inference_.Find(request->name(), request->version()).has_value());
  return Finish(context);
}

grpc::ServerUnaryReactor* InferenceService::ServerMetadata(
    grpc::CallbackServerContext* context, const inference::ServerMetadataRequest*,
    inference::ServerMetadataResponse* response) {
  if (grpc::ServerUnaryReactor* refused = Refuse(context)) return refused;
  response->set_name(parts_.server_name);
  response->set_version(parts_.server_version);
  for (const std::string_view extension : kExtensions)
    response->add_extensions(std::string(extension));
  return Finish(context);
}

grpc::ServerUnaryReactor* InferenceService::ModelMetadata(
    grpc::CallbackServerContext* context, const inference::ModelMetadataRequest* request,
    inference::ModelMetadataResponse* response) {
  if (grpc::ServerUnaryReactor* refused = Refuse(context)) return refused;
  const auto model = inference_.Find(request->name(), request->version());
  if (!model) return Finish(context, GrpcStatus(model.error()));
  const Json document =
      OipMetadata(*(*model)->package, parts_.repository->VersionNames(request->name()));
  response->set_name(document["name"].get<std::string>());
  for (const Json& version : document["versions"])
    response->add_versions(version.get<std::string>());
  response->set_platform(document["platform"].get<std::string>());
  FillMetadata(document["inputs"], *response->mutable_inputs());
  FillMetadata(document["outputs"], *response->mutable_outputs());
  return Finish(context);
}

grpc::ServerUnaryReactor* InferenceService::ModelConfig(
    grpc::CallbackServerContext* context, const inference::ModelConfigRequest* request,
    inference::ModelConfigResponse* response) {
  if (grpc::ServerUnaryReactor* refused = Refuse(context)) return refused;
  const auto model = inference_.Find(request->name(), request->version());
  if (!model) return Finish(context, GrpcStatus(model.error()));
  const Json document = OipMetadata(*(*model)->package);
  inference::ModelConfig& config = *response->mutable_config();
  config.set_name(document["name"].get<std::string>());
  config.set_platform(document["platform"].get<std::string>());
  config.set_backend("onnxruntime");
  FillConfig(document["inputs"], *config.mutable_input());
  FillConfig(document["outputs"], *config.mutable_output());
  return Finish(context);
}

grpc::ServerUnaryReactor* InferenceService::RepositoryIndex(
    grpc::CallbackServerContext* context, const inference::RepositoryIndexRequest* request,
    inference::RepositoryIndexResponse* response) {
  if (grpc::ServerUnaryReactor* refused = Refuse(context)) return refused;
  for (ModelState& state : skerry::RepositoryIndex(parts_)) {
    if (request->ready() && state.state != "READY") continue;
    auto& entry = *response->add_models();
    entry.set_name(std::move(state.name));
    entry.set_version(std::move(state.version));
    entry.set_state(std::move(state.state));
    entry.set_reason(std::move(state.reason));
  }
  return Finish(context);
}

grpc::ServerUnaryReactor* InferenceService::RepositoryModelLoad(
    grpc::CallbackServerContext* context, const inference::RepositoryModelLoadRequest* request,
    inference::RepositoryModelLoadResponse*) {
  if (grpc::ServerUnaryReactor* refused = Refuse(context)) return refused;
  return Change(context, [this, request] {
    std::vector<std::string> parameters;
    for (const auto& [name, value] : request->parameters()) parameters.push_back(name);
    return LoadOnRequest(parts_, request->model_name(), parameters);
  });
}

grpc::ServerUnaryReactor* InferenceService::RepositoryModelUnload(
    grpc::CallbackServerContext* context, const inference::RepositoryModelUnloadRequest* request,
    inference::RepositoryModelUnloadResponse*) {
  if (grpc::ServerUnaryReactor* refused = Refuse(context)) return refused;
  return Change(context,
                [this, request] { return UnloadOnRequest(parts_, request->model_name()); });
}

grpc::ServerUnaryReactor* InferenceService::ModelStatistics(
    grpc::CallbackServerContext* context, const inference::ModelStatisticsRequest* request,
    inference::ModelStatisticsResponse* response) {
  if (grpc::ServerUnaryReactor* refused = Refuse(context)) return refused;
  Result<std::vector<StatisticsReading>> readings =
      parts_.repository->Statistics(request->name(), request->version());
  if (!readings) return Finish(context, GrpcStatus(readings.error()));
  for (StatisticsReading& reading : *readings)
    Fill(std::move(reading), *response->add_model_stats());
  return Finish(context);
}

grpc::ServerUnaryReactor* InferenceService::ModelInfer(grpc::CallbackServerContext* context,
                                                       const inference::ModelInferRequest* request,
                                                       inference::ModelInferResponse* response) {
  if (grpc::ServerUnaryReactor* refused = Refuse(context)) return refused;
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  // The call owns its request, which was not made const; moving its contents spares a copy.
  auto& message = const_cast<inference::ModelInferRequest&>(*request);
  InferMessage(inference_, context, message, *response, [reactor](const Status& status) {
    reactor->Finish(status ? grpc::Status::OK : GrpcStatus(status.error()));
  });
  return reactor;
}

grpc::ServerBidiReactor<inference::ModelInferRequest, inference::ModelStreamInferResponse>*
InferenceService::ModelStreamInfer(grpc::CallbackServerContext* context) {
  if (const Status allowed = CheckCaller(parts_, *context); !allowed)
    return new RefusedStream(GrpcStatus(allowed.error()));
  return new InferStream(inference_, context);
}

}  // namespace skerry
