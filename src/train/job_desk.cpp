#include "train/job_desk.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <mutex>
#include <utility>

#include "base/ids.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "http/server.h"
#include "http/status.h"
#include "http/url.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kWordBytes = 16;
constexpr std::size_t kPieceBytes = 256U << 10U;
constexpr std::array<std::string_view, 7> kResults = {
    "rows.parquet", "booster.json",  "result.json",   "listing.json",
    "sample.csv",   "sample.ndjson", "sample.parquet"};

Status CheckReachable(const SparkOptions& options) {
  if (!options.return_url.empty()) {
    SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const Url url, Url::Parse(options.return_url),
                            "the address for results");
    return {};
  }
  if (options.return_host != "0.0.0.0" && options.return_host != "::") return {};
  return Fail(ErrorCode::kInvalidArgument,
              "the cluster cannot reach {}: tell by --return-url how it reaches this machine, as "
              "http://HOST:PORT",
              options.return_host);
}

Status Receive(HttpRequest& request, const fs::path& target) {
  if (request.content_length != kUnknownLength && request.content_length > limits::kModelBytes)
    return Fail(ErrorCode::kTooLarge, "it is over the limit of {} bytes (kModelBytes)",
                limits::kModelBytes);
  const fs::path written = target.string() + ".part";
  std::ofstream file(written, std::ios::binary | std::ios::trunc);
  std::vector<char> buffer(kPieceBytes);
  std::size_t total = 0;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const std::size_t got,
                            request.stream->Read(buffer.data(), buffer.size()));
    if (got == 0) break;
    total += got;
    if (total > limits::kModelBytes)
      return Fail(ErrorCode::kTooLarge, "it is over the limit of {} bytes (kModelBytes)",
                  limits::kModelBytes);
    file.write(buffer.data(), static_cast<std::streamsize>(got));
  }
  file.close();
  if (!file) return Fail(ErrorCode::kResourceExhausted, "writing {} failed", written.string());
  return PublishFileDurably(written, target);
}

}  // namespace

struct JobDesk::Impl {
  fs::path directory{};
  std::string url{};
  std::mutex mutex;  // guards facts
  std::vector<std::string> facts{};
  MetricRegistry metrics{};
  std::unique_ptr<HttpServer> server{};  // last: its threads end before what they use

  std::vector<Route> Routes(const std::string& word) {
    const auto pattern = [&](const char* rest) { return fmt::format("/{}/{}", word, rest); };
    const auto file = [this](const char* name) {
      return [this, name](HttpRequest&, Responder responder) {
        Result<std::string> bytes = ReadFile(directory / name, limits::kJsonBytes);
        responder.Send(bytes ? HttpResponse::Text(200, std::move(*bytes))
                             : ErrorResponse(bytes.error()));
      };
    };
    return {
        {"GET", pattern("skerry_train.py"), RouteKind::kPooled, file("skerry_train.py")},
        {"GET", pattern("job.json"), RouteKind::kPooled, file("job.json")},
        {"GET", pattern("alive"), RouteKind::kInline,
         [](HttpRequest&, Responder responder) { responder.Send(HttpResponse::Empty(204)); }},
        {"POST", pattern("facts"), RouteKind::kPooled,
         [this](HttpRequest& request, Responder responder) {
           const std::lock_guard lock(mutex);
           facts.push_back(std::move(request.body));
           responder.Send(HttpResponse::Empty(204));
         },
         limits::kSparkLineBytes},
        {"PUT", pattern("results/{name}"), RouteKind::kStreaming,
         [this](HttpRequest& request, Responder responder) {
           TakeResult(request, std::move(responder));
         }},
    };
  }

  void TakeResult(HttpRequest& request, Responder responder) const {
    const std::string& name = request.Param("name");
    if (std::ranges::find(kResults, name) == kResults.end())
      return responder.Send(
          ErrorResponse(Error(ErrorCode::kNotFound, fmt::format("there is no result '{}'", name))));
    const Status received = Receive(request, directory / name);
    responder.Send(received ? HttpResponse::Empty(204) : ErrorResponse(received.error()));
  }
};

JobDesk::JobDesk(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
JobDesk::~JobDesk() = default;

Result<std::unique_ptr<JobDesk>> JobDesk::Open(const SparkOptions& options,
                                               const fs::path& directory) {
  SKERRY_RETURN_IF_ERROR(CheckReachable(options));
  auto impl = std::make_unique<Impl>();
  impl->directory = directory;
  const std::string word = RandomHex(kWordBytes);
  HttpServerOptions server;
  server.address = options.return_host;
  server.port = options.return_port;
  server.plain = PlainHttp::kAnywhere;  // asked for by name; TLS ends at what stands in front
  SKERRY_ASSIGN_OR_RETURN(impl->server,
                          HttpServer::Start(std::move(server), impl->Routes(word), impl->metrics),
                          "listening for the job's results");
  std::string base = options.return_url;
  if (base.empty())
    base =
        Url{.scheme = "http", .host = options.return_host, .port = impl->server->port(), .path = ""}
            .Origin();
  while (base.ends_with('/')) base.pop_back();
  impl->url = fmt::format("{}/{}", base, word);
  return std::unique_ptr<JobDesk>(new JobDesk(std::move(impl)));
}

const std::string& JobDesk::url() const { return impl_->url; }

std::vector<std::string> JobDesk::TakeFacts() {
  const std::lock_guard lock(impl_->mutex);
  return std::exchange(impl_->facts, {});
}

}  // namespace skerry
