#include "site/capture_routes.h"

#include <utility>

#include "codec/json.h"
#include "http/status.h"
#include "serve/access.h"
#include "serve/hand_over_message.h"

namespace skerry {
namespace {

struct CaptureMetrics {
  explicit CaptureMetrics(MetricRegistry& registry)
      : rows(registry.AddCounter("skerry_site_handed_over_rows_total",
                                 "Rows of scorers whose commit was synced.")),
        repeats(registry.AddCounter("skerry_site_hand_overs_repeated_total",
                                    "Messages of scorers that had been committed before.")),
        refused(registry.AddCounter("skerry_site_hand_overs_refused_total",
                                    "Messages of scorers that were not taken.")) {}
  Counter& rows;
  Counter& repeats;
  Counter& refused;
};

// One message on its way through the outbox. Shared only because std::function wants to be
// copyable.
struct UnderWay {
  Responder responder;
  std::vector<std::shared_ptr<const RowBatch>> batches;
};

void Answer(const CaptureParts& parts, const CaptureMetrics& metrics, UnderWay& under_way,
            const Result<HandOverFate>& fate) {
  if (!fate || fate->stale) {
    metrics.refused.Add();
    under_way.responder.Send(ErrorResponse(
        fate ? Error(ErrorCode::kConflict, "the scorer has handed over a higher number already")
             : fate.error()));
    return;
  }
  if (fate->repeated) metrics.repeats.Add();
  if (fate->kept && !fate->repeated)
    for (auto& batch : under_way.batches) {
      metrics.rows.Add(batch->rows);
      if (parts.journal != nullptr) parts.journal->Append(std::move(batch));
    }
  Json answer{{"kept", fate->kept}};
  if (const auto package = parts.active->package(); package && package->digest)
    answer["active"] = package->digest->ToString();
  under_way.responder.Send(HttpResponse::JsonText(200, DumpJson(answer)));
}

void TakeHandOver(const CaptureParts& parts, const CaptureMetrics& metrics,
                  const HttpRequest& request, Responder responder) {
  std::shared_ptr<const CompiledPolicy> policy = DenyAll();
  auto message = DecodeHandOver(
      request.body,
      [&](const Digest& digest) -> Result<std::shared_ptr<const ModelPackage>> {
        SKERRY_ASSIGN_OR_RETURN(ActiveModel::Pair pair, parts.active->PairOf(digest));
        policy = std::move(pair.policy);
        return std::move(pair.package);
      },
      *parts.clock);
  if (!message) {
    metrics.refused.Add();
    return responder.Send(ErrorResponse(message.error()));
  }
  const HandOver said{message->scorer, message->number,
                      message->abandoned ? HandOver::Kind::kAbandoned : HandOver::Kind::kRows,
                      message->lost_rows};
  auto under_way = std::make_shared<UnderWay>(UnderWay{std::move(responder), message->batches});
  parts.outbox->SubmitHandOver(said, std::move(message->batches), policy,
                               [parts, metrics, under_way](const Result<HandOverFate>& fate) {
                                 Answer(parts, metrics, *under_way, fate);
                               });
}

Result<HttpResponse> TellPackage(const CaptureParts& parts) {
  const ActiveModel::Pair now = parts.active->now();
  if (!now.package || !now.files)
    return Fail(ErrorCode::kNotFound, "this site runs no package yet");
  Json files = Json::object();
  for (const auto& [name, digest] : now.files->files) files[name] = digest.ToString();
  return HttpResponse::JsonText(200, DumpJson(Json{{"name", now.files->ref.name},
                                                   {"version", now.files->ref.version},
                                                   {"digest", now.files->ref.digest.ToString()},
                                                   {"files", std::move(files)}}));
}

Result<HttpResponse> GivePackageFile(const CaptureParts& parts, const HttpRequest& request) {
  const ActiveModel::Pair now = parts.active->now();
  if (!now.files || now.files->ref.digest.ToString() != request.Query("digest"))
    return Fail(ErrorCode::kNotFound, "this site does not run the package any more");
  const std::string& name = request.Param("file");
  if (!now.files->files.contains(name))
    return Fail(ErrorCode::kNotFound, "the package has no file {}", name);
  const std::filesystem::path path = now.files->directory / name;
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(path, error);
  if (error) return Fail(ErrorCode::kNotFound, "{}: {}", name, error.message());
  HttpResponse response = HttpResponse::Empty(200);
  response.SetHeader("Content-Type", "application/octet-stream");
  response.file = FileBody{path, 0, bytes};
  return response;
}

}  // namespace

std::vector<Route> CaptureRoutes(const CaptureParts& parts) {
  const CaptureMetrics metrics(*parts.metrics);
  std::vector<Route> routes;
  routes.push_back({"POST", "/v1/capture", RouteKind::kPooled,
                    [parts, metrics](HttpRequest& request, Responder responder) {
                      TakeHandOver(parts, metrics, request, std::move(responder));
                    },
                    limits::kHandOverBytesMost});
  const auto get = [&](std::string pattern, auto answer) {
    routes.push_back({"GET", std::move(pattern), RouteKind::kPooled,
                      [answer](HttpRequest& request, Responder responder) {
                        auto response = answer(request);
                        responder.Send(response ? std::move(*response)
                                                : ErrorResponse(response.error()));
                      }});
  };
  get("/v1/capture/package", [parts](const HttpRequest&) { return TellPackage(parts); });
  get("/v1/capture/package/{file}",
      [parts](const HttpRequest& request) { return GivePackageFile(parts, request); });
  GuardRoutes(*parts.keys, routes);
  return routes;
}

}  // namespace skerry
