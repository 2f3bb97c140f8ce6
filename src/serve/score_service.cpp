#include "serve/score_service.h"

#include <optional>
#include <string>
#include <utility>

#include "base/limits.h"
#include "insight/contributions.h"
#include "serve/answers.h"
#include "serve/batch_builder.h"
#include "serve/score_stream.h"

namespace skerry {
namespace {

// The query's `explain`: 1 or true, 0 or false.
Result<bool> WantsContributions(const HttpRequest& request) {
  const std::string value = request.Query("explain");
  if (value == "1" || value == "true") return true;
  if (!request.HasQuery("explain") || value == "0" || value == "false") return false;
  return Fail(ErrorCode::kInvalidArgument, "explain={}: expected 1 or 0", value);
}

Status CheckExplainedRows(const RowBatch& batch) {
  if (batch.rows <= limits::kExplainedRows) return {};
  return Fail(ErrorCode::kTooLarge,
              "{} rows to be explained in one request, the limit kExplainedRows is {}", batch.rows,
              limits::kExplainedRows);
}

// By Content-Type, whose parameters do not matter; none: JSON.
std::optional<RowFormat> FormatOf(const HttpRequest& request) {
  std::string_view type = request.Header("Content-Type");
  type = type.substr(0, type.find(';'));
  type = type.substr(0, type.find_last_not_of(" \t") + 1);
  if (EqualIgnoringCase(type, "text/csv")) return RowFormat::kCsv;
  if (EqualIgnoringCase(type, "application/x-ndjson") ||
      EqualIgnoringCase(type, "application/ndjson"))
    return RowFormat::kNdjson;
  return std::nullopt;
}

// A body that has come whole.
class WholeBody final : public BodyReader {
 public:
  explicit WholeBody(std::string_view rest) : rest_(rest) {}
  Result<std::size_t> Read(char* out, std::size_t size) override {
    const std::size_t count = rest_.copy(out, size);
    rest_.remove_prefix(count);
    return count;
  }

 private:
  std::string_view rest_;
};

}  // namespace

RouteKind ScoreService::KindOf(const HttpRequest& request) {
  if (FormatOf(request))  // a compressed body is decoded as a whole
    return request.Header("Content-Encoding").empty() ? RouteKind::kStreaming : RouteKind::kPooled;
  return request.HasQuery("explain") ? RouteKind::kPooled : RouteKind::kInline;
}

Result<std::shared_ptr<const ServedModel>> ScoreService::ModelToScore(
    const HttpRequest& request) const {
  std::shared_ptr<const ServedModel> model;
  if (request.HasQuery("model")) {
    const std::string name = request.Query("model");
    model = parts_.repository->Find(name);
    if (!model) return UnknownModel(name);
  } else {
    model = parts_.repository->Only();
    if (!model)
      return Fail(ErrorCode::kNotFound, "{}",
                  parts_.repository->List().empty()
                      ? "no model is served here yet; a site has one soon after 'skerry deploy' "
                        "named it at the hub (its log says when, or why not)"
                      : "say which model: /v1/score?model=NAME (GET /v1/models lists them)");
  }
  if (model->package->bare)
    return Fail(ErrorCode::kInvalidArgument,
                "model {} is a bare ONNX file without named fields: use /v2/models/{}/infer",
                model->package->name, model->package->name);
  return model;
}

Status ScoreService::ScoreWhole(HttpRequest& request, bool explain, RowAnswer& answer) const {
  SKERRY_ASSIGN_OR_RETURN(const std::shared_ptr<RowBatch> batch,
                          BatchFromNamedRows(answer.model->package, request.body));
  // Before any row is numbered: a request that is refused has taken none.
  if (explain) {
    SKERRY_RETURN_IF_ERROR(CheckExplainedRows(*batch));
    SKERRY_RETURN_IF_ERROR(CheckExplained(*batch->package));
  }
  SKERRY_RETURN_IF_ERROR(ScoreAndNumber(parts_, *answer.model, *batch));
  std::optional<Contributions> explained;
  if (explain) {
    SKERRY_ASSIGN_OR_RETURN(explained, ExplainRows(*batch));
  }
  answer.body = ScoreAnswer(*batch, explained ? &*explained : nullptr);
  answer.batch = batch;
  return {};
}

void ScoreService::Score(HttpRequest& request, Responder responder) const {
  RowAnswer answer = RowAnswer::Begin(parts_, std::move(responder));
  Result<std::shared_ptr<const ServedModel>> model = ModelToScore(request);
  if (!model) return answer.Send(Propagate(std::move(model)));
  answer.model = std::move(*model);
  Result<bool> explain = WantsContributions(request);
  if (!explain) return answer.Send(Propagate(std::move(explain)));
  if (const auto format = FormatOf(request)) {
    WholeBody whole(request.body);
    ScoreStream stream(parts_, std::move(answer), *explain);
    return stream.Run(request.stream != nullptr ? *request.stream : whole, *format);
  }
  const Status status = ScoreWhole(request, *explain, answer);
  CaptureAndSend(parts_, status, std::move(answer));
}

}  // namespace skerry
