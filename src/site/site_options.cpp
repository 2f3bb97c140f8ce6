// The settings of --config: which keys there are, and how they become SiteOptions.
#include <fmt/ranges.h>

#include <sstream>

#include "base/link_limits.h"
#include "codec/config.h"
#include "site/site.h"
#include "storage/file.h"
#include "sync/sync_windows.h"

namespace skerry {
namespace {

Status CheckRange(std::string_view what, std::int64_t value, std::int64_t least,
                  std::int64_t most) {
  if (value >= least && value <= most) return {};
  return Fail(ErrorCode::kInvalidArgument, "{} is {}, must be {} to {}", what, value, least, most);
}

std::vector<std::string> AtCommas(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(std::move(part));
  return parts;
}

// What the config file sets beside the command line; one place for both directions.
struct ConfigBinding {
  explicit ConfigBinding(const SiteOptions& options)
      : hub_url(options.hub_url),
        token_file(options.token_file.string()),
        name(options.name),
        address(options.http_address),
        grpc_address(options.grpc_address),
        capture(CaptureModeName(options.capture)),
        tls_cert(options.access.tls_cert.string()),
        tls_key(options.access.tls_key.string()),
        client_ca(options.access.client_ca.string()),
        api_keys(options.access.api_keys.string()),
        scorer_keys(options.scorer_keys.string()),
        registry_address(options.registry_address),
        plain_http(options.access.plain_http),
        allow_origins(fmt::format("{}", fmt::join(options.access.allow_origins, ","))),
        port(options.http_port),
        grpc_port(options.grpc_port),
        registry_port(options.registry_port),
        registry_quota_bytes(static_cast<std::int64_t>(options.registry_quota_bytes)),
        loops(options.http_loops),
        quota_bytes(static_cast<std::int64_t>(options.quota_bytes)),
        grace_bytes(static_cast<std::int64_t>(options.grace_bytes)),
        segment_rows(static_cast<std::int64_t>(options.segment_rows)),
        smoke_memory_bytes(static_cast<std::int64_t>(options.smoke_memory_bytes)),
        upload_chunk_bytes(static_cast<std::int64_t>(options.upload_chunk_bytes)),
        queue_limit(static_cast<std::int64_t>(options.queue.requests_per_model)),
        batch_rows(static_cast<std::int64_t>(options.queue.batch_rows)),
        batch_delay_us(options.queue.batch_delay.count()),
        inline_limit_us(options.queue.inline_limit.count()),
        threads(options.queue.threads),
        grace_age(options.grace_age),
        segment_age(options.segment_age),
        urgent_age(options.urgent_age),
        interval(options.sync_interval),
        drain(options.drain),
        local_policy(options.local_policy.string()),
        journal_days(options.journal.days),
        journal_bytes(static_cast<std::int64_t>(options.journal.bytes)),
        approval(options.approval == Approval::kNone ? "none" : "required"),
        bytes_per_second(static_cast<std::int64_t>(options.link.bytes_per_second)),
        bytes_per_day(static_cast<std::int64_t>(options.link.bytes_per_day)),
        windows(options.link.windows) {
    spec.Add("name", &name, "", "The site's name; the token's when empty.")
        .Add("hub.url", &hub_url, "", "Where the hub is reached; the token's when empty.")
        .Add("hub.token_file", &token_file, "", "The one-time join token.")
        .Add("hub.interval", &interval, "duration", "Between rounds of the exchange.")
        .Add("hub.upload_chunk_bytes", &upload_chunk_bytes, "bytes",
             "Larger blobs go in pieces of so many; after a cut they go on at the byte.")
        .Add("link.bytes_per_second", &bytes_per_second, "bytes",
             "That all traffic with the hub may take together, both directions; 0 is no limit.")
        .Add("link.bytes_per_day", &bytes_per_day, "bytes",
             "The same for a day of UTC; the last tenth is for what is urgent.")
        .Add("link.windows", &windows, "",
             "When the link may be used, in UTC: [\"22:00-06:00\", \"mon-fri 12:00-13:30\", "
             "\"sat-sun\"], always, or never; empty is always.")
        .Add("http.address", &address, "", "Where scoring and control routes listen.")
        .Add("http.port", &port, "", "0 takes a free one.")
        .Add("http.loops", &loops, "threads", "Event loops that score; one a core at most.")
        .Add("grpc.address", &grpc_address, "", "Where gRPC scoring listens; none when empty.")
        .Add("grpc.port", &grpc_port, "", "0 takes a free one.")
        .Add("registry.address", &registry_address, "",
             "Where machines pull the images and charts that bundles bring; none when empty.")
        .Add("registry.port", &registry_port, "", "0 takes a free one.")
        .Add("registry.quota_bytes", &registry_quota_bytes, "bytes", "What it may hold.")
        .Add("access.tls_cert", &tls_cert, "",
             "Certificate chain (PEM): scoring speaks TLS, over HTTP and gRPC.")
        .Add("access.tls_key", &tls_key, "", "Its private key (PEM, mode 0600).")
        .Add("access.client_ca", &client_ca, "",
             "Clients need a certificate that this authority (PEM) signed.")
        .Add("access.api_keys", &api_keys, "",
             "Clients need a key of this file, made by 'skerry api-key'.")
        .Add("access.scorer_keys", &scorer_keys, "",
             "Scorers (skerry serve --capture) need a key of this file; without it there are none.")
        .Add("access.plain_http", &plain_http, "", "No TLS also on addresses that others reach.")
        .Add("access.allow_origins", &allow_origins, "",
             "Pages of these origins, with commas between them, may call in a browser; * for all.")
        .Add("capture", &capture, "",
             "off, async, sync or try: what an answer waits for (docs/formats/scoring-api.md).")
        .Add("scoring.threads", &threads, "threads", "Run what does not run on an event loop.")
        .Add("scoring.queue_limit", &queue_limit, "requests",
             "That may wait for a thread, of each model; more are refused with 503.")
        .Add("scoring.batch_size", &batch_rows, "rows",
             "Of waiting requests that share a run of the model; 1 is no batching.")
        .Add("scoring.batch_delay_us", &batch_delay_us, "us",
             "How long a request waits for others to fill its batch.")
        .Add("scoring.inline_limit_us", &inline_limit_us, "us",
             "Models whose run takes longer leave the event loops for threads of their own.")
        .Add("scoring.drain", &drain, "duration",
             "How long requests under way may take after SIGTERM.")
        .Add("model.smoke_memory_bytes", &smoke_memory_bytes, "bytes",
             "What the child may take that tries a new package; 0 sets no limit.")
        .Add("policy.local", &local_policy, "",
             "A policy of the site's own; of it and the hub's the stricter rule holds.")
        .Add("policy.approval", &approval, "",
             "none, or required: a hub's policy that lets more leave waits for 'skerry policy "
             "approve'.")
        .Add("journal.bytes", &journal_bytes, "bytes",
             "What the site's own history of scored rows may occupy; 0 keeps none.")
        .Add("journal.days", &journal_days, "days",
             "Rows that are older are removed from it; 0 sets no limit of age.")
        .Add("outbox.quota_bytes", &quota_bytes, "bytes",
             "What the outbox may occupy; beyond it the least valuable records become a gap.")
        .Add("outbox.grace_bytes", &grace_bytes, "bytes",
             "What the hub has received is kept in so much of the space that is left, for a hub "
             "that is restored from a back-up; 0 keeps nothing.")
        .Add("outbox.grace_age", &grace_age, "duration",
             "And no longer than this, while the clock is trusted. 0s sets no limit of age.")
        .Add("outbox.segment_rows", &segment_rows, "rows", "Seal a segment at this size.")
        .Add("outbox.segment_age", &segment_age, "duration", "Seal a segment at this age.")
        .Add("outbox.urgent_age", &urgent_age, "duration",
             "Seal labels and anomalies at this age, and send them at once.");
    for (const RecordClass cls : kRecordClasses) AddClass(cls, options.classes);
  }

  void AddClass(RecordClass cls, const std::map<RecordClass, ClassLimits>& classes) {
    const auto found = classes.find(cls);
    const ClassLimits limits = found == classes.end() ? ClassLimits() : found->second;
    ClassSettings& settings = class_settings[cls];
    settings = {static_cast<std::int64_t>(limits.quota_bytes),
                static_cast<std::int64_t>(limits.reserve_bytes), limits.max_age};
    const std::string key = fmt::format("outbox.{}.", RecordClassName(cls));
    spec.Add(key + "quota_bytes", &settings.quota_bytes, "bytes",
             "What this class may occupy; beyond it the oldest becomes a gap. 0: no limit.")
        .Add(key + "reserve_bytes", &settings.reserve_bytes, "bytes",
             "Of outbox.quota_bytes, kept free of less valuable classes.")
        .Add(key + "max_age", &settings.max_age, "duration",
             "Older records become a gap, while the clock is trusted. 0s: never.");
  }

  Result<std::map<RecordClass, ClassLimits>> Classes() const {
    std::map<RecordClass, ClassLimits> classes;
    std::int64_t reserved = 0;
    for (const auto& [cls, settings] : class_settings) {
      const std::string key = fmt::format("outbox.{}.", RecordClassName(cls));
      SKERRY_RETURN_IF_ERROR(
          CheckRange(key + "quota_bytes", settings.quota_bytes, 0, std::int64_t{1} << 50));
      SKERRY_RETURN_IF_ERROR(
          CheckRange(key + "reserve_bytes", settings.reserve_bytes, 0, quota_bytes));
      if (settings.max_age.count() < 0)
        return Fail(ErrorCode::kInvalidArgument, "{}max_age is below 0", key);
      reserved += settings.reserve_bytes;
      if (settings.quota_bytes != 0 || settings.reserve_bytes != 0 || settings.max_age.count() != 0)
        classes[cls] = {static_cast<std::uint64_t>(settings.quota_bytes),
                        static_cast<std::uint64_t>(settings.reserve_bytes), settings.max_age};
    }
    SKERRY_RETURN_IF_ERROR(
        CheckRange("the sum of the classes' reserve_bytes", reserved, 0, quota_bytes));
    return classes;
  }

  Status CheckQueue() const {
    SKERRY_RETURN_IF_ERROR(CheckRange("scoring.threads", threads, 1, 1'024));
    SKERRY_RETURN_IF_ERROR(CheckRange("scoring.queue_limit", queue_limit, 1, 1'000'000));
    SKERRY_RETURN_IF_ERROR(CheckRange("scoring.batch_size", batch_rows, 1, 1'000'000));
    SKERRY_RETURN_IF_ERROR(CheckRange("scoring.batch_delay_us", batch_delay_us, 0, 60'000'000));
    return CheckRange("scoring.inline_limit_us", inline_limit_us, 0, 60'000'000);
  }

  Status TakeRegistry(SiteOptions& options) const {
    SKERRY_RETURN_IF_ERROR(CheckRange("registry.port", registry_port, 0, 65'535));
    SKERRY_RETURN_IF_ERROR(
        CheckRange("registry.quota_bytes", registry_quota_bytes, 0, std::int64_t{1} << 50));
    options.registry_address = registry_address;
    options.registry_port = static_cast<std::uint16_t>(registry_port);
    options.registry_quota_bytes = static_cast<std::uint64_t>(registry_quota_bytes);
    return {};
  }

  Status CheckLink() const {
    const std::int64_t most = std::int64_t{1} << 50;
    if (bytes_per_second != 0)
      SKERRY_RETURN_IF_ERROR(CheckRange("link.bytes_per_second", bytes_per_second,
                                        limits::kLeastLinkBytesPerSecond, most));
    if (bytes_per_day != 0)
      SKERRY_RETURN_IF_ERROR(
          CheckRange("link.bytes_per_day", bytes_per_day, limits::kLeastLinkBytesPerDay, most));
    SKERRY_RETURN_IF_ERROR(SyncWindows::Parse(windows), "link.windows");
    return {};
  }

  std::string hub_url, token_file, name, address, grpc_address, capture;
  std::string tls_cert, tls_key, client_ca, api_keys, scorer_keys, registry_address;
  bool plain_http;
  std::string allow_origins;
  std::int64_t port, grpc_port, registry_port, registry_quota_bytes, loops, quota_bytes,
      grace_bytes, segment_rows, smoke_memory_bytes, upload_chunk_bytes, queue_limit, batch_rows,
      batch_delay_us, inline_limit_us, threads;
  std::chrono::milliseconds grace_age, segment_age, urgent_age, interval, drain;
  struct ClassSettings {
    std::int64_t quota_bytes = 0, reserve_bytes = 0;
    std::chrono::milliseconds max_age{0};
  };
  std::map<RecordClass, ClassSettings> class_settings;
  std::string local_policy;
  std::int64_t journal_days, journal_bytes;
  std::string approval;
  std::int64_t bytes_per_second, bytes_per_day;
  std::vector<std::string> windows;
  ConfigSpec spec;
};

}  // namespace

Status SiteOptions::LoadConfig(const std::filesystem::path& file) {
  SKERRY_ASSIGN_OR_RETURN(const std::string yaml, ReadFile(file, limits::kYamlBytes));
  ConfigBinding config(*this);
  SKERRY_RETURN_IF_ERROR(config.spec.Load(yaml), file.string());
  SKERRY_ASSIGN_OR_RETURN(const CaptureMode mode, ParseCaptureMode(config.capture),
                          file.string() + ": capture");
  SKERRY_RETURN_IF_ERROR(CheckRange("http.port", config.port, 0, 65'535), file.string());
  SKERRY_RETURN_IF_ERROR(CheckRange("grpc.port", config.grpc_port, 0, 65'535), file.string());
  SKERRY_RETURN_IF_ERROR(config.TakeRegistry(*this), file.string());
  SKERRY_RETURN_IF_ERROR(CheckRange("http.loops", config.loops, 1, 256), file.string());
  SKERRY_RETURN_IF_ERROR(
      CheckRange("outbox.quota_bytes", config.quota_bytes, 1 << 20, std::int64_t{1} << 50),
      file.string());
  SKERRY_RETURN_IF_ERROR(
      CheckRange("model.smoke_memory_bytes", config.smoke_memory_bytes, 0, std::int64_t{1} << 50),
      file.string());
  SKERRY_RETURN_IF_ERROR(CheckRange("outbox.segment_rows", config.segment_rows, 1, 10'000'000),
                         file.string());
  SKERRY_RETURN_IF_ERROR(CheckRange("hub.upload_chunk_bytes", config.upload_chunk_bytes,
                                    limits::kLeastUploadChunkBytes, limits::kUploadChunkBytes),
                         file.string());
  SKERRY_RETURN_IF_ERROR(config.CheckQueue(), file.string());
  SKERRY_ASSIGN_OR_RETURN(classes, config.Classes(), file.string());
  if (config.approval != "none" && config.approval != "required")
    return Fail(ErrorCode::kInvalidArgument,
                "{}: policy.approval is '{}', must be none or required", file.string(),
                config.approval);
  approval = config.approval == "none" ? Approval::kNone : Approval::kRequired;
  local_policy = config.local_policy;
  SKERRY_RETURN_IF_ERROR(
      CheckRange("journal.bytes", config.journal_bytes, 0, std::int64_t{1} << 50), file.string());
  SKERRY_RETURN_IF_ERROR(CheckRange("journal.days", config.journal_days, 0, 36'500), file.string());
  journal = {config.journal_days, static_cast<std::uint64_t>(config.journal_bytes)};
  SKERRY_RETURN_IF_ERROR(config.CheckLink(), file.string());
  link = {static_cast<std::uint64_t>(config.bytes_per_second),
          static_cast<std::uint64_t>(config.bytes_per_day), config.windows};
  hub_url = config.hub_url;
  token_file = config.token_file;
  name = config.name;
  http_address = config.address;
  http_port = static_cast<std::uint16_t>(config.port);
  http_loops = static_cast<int>(config.loops);
  grpc_address = config.grpc_address;
  grpc_port = static_cast<std::uint16_t>(config.grpc_port);
  access = {config.tls_cert, config.tls_key,    config.client_ca,
            config.api_keys, config.plain_http, AtCommas(config.allow_origins)};
  capture = mode;
  scorer_keys = config.scorer_keys;
  quota_bytes = static_cast<std::uint64_t>(config.quota_bytes);
  SKERRY_RETURN_IF_ERROR(
      CheckRange("outbox.grace_bytes", config.grace_bytes, 0, std::int64_t{1} << 50),
      file.string());
  if (config.grace_age.count() < 0)
    return Fail(ErrorCode::kInvalidArgument, "{}: outbox.grace_age is below 0", file.string());
  grace_bytes = static_cast<std::uint64_t>(config.grace_bytes);
  grace_age = config.grace_age;
  segment_rows = static_cast<std::uint64_t>(config.segment_rows);
  smoke_memory_bytes = static_cast<std::uint64_t>(config.smoke_memory_bytes);
  segment_age = config.segment_age;
  urgent_age = config.urgent_age;
  sync_interval = config.interval;
  upload_chunk_bytes = static_cast<std::size_t>(config.upload_chunk_bytes);
  queue = {.threads = static_cast<int>(config.threads),
           .requests_per_model = static_cast<std::size_t>(config.queue_limit),
           .batch_rows = static_cast<std::size_t>(config.batch_rows),
           .batch_delay = std::chrono::microseconds(config.batch_delay_us),
           .inline_limit = std::chrono::microseconds(config.inline_limit_us)};
  drain = config.drain;
  return {};
}

std::string SiteOptions::ConfigReference() { return ConfigBinding(SiteOptions()).spec.Reference(); }

}  // namespace skerry
