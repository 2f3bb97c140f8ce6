#include "outbox/outbox.h"

#include "base/log.h"
#include "outbox/queries.h"
#include "outbox/sealer.h"
#include "outbox/writer.h"
#include "storage/file.h"

namespace skerry {

struct Outbox::Impl {
  OutboxOptions options;
  InstanceId epoch;
  std::unique_ptr<OutboxWriter> writer;
  std::unique_ptr<Sealer> sealer;

  std::mutex read_mutex;
  std::unique_ptr<Database> reader;  // guarded by read_mutex

  std::mutex seal_mutex;
  std::condition_variable seal_wake;
  std::uint64_t rows_since_seal = 0;  // guarded by seal_mutex, as what follows
  bool closing = false;
  std::thread seal_thread;

  std::filesystem::path segments_directory() const { return options.directory / "segments"; }

  Status OnWriter(const std::function<Status(OutboxStore&)>& change) { return writer->Run(change); }

  // A connection to the present generation. The caller holds read_mutex.
  Result<Database*> Reader() {
    const std::filesystem::path path = writer->database_path();
    if (reader == nullptr || reader->path() != path) {
      SKERRY_ASSIGN_OR_RETURN(reader, Database::Open(path, {.read_only = true}));
    }
    return reader.get();
  }

  void NoteRows(std::uint64_t rows) {
    const std::scoped_lock lock(seal_mutex);
    rows_since_seal += rows;
    if (rows_since_seal >= options.segment_rows) seal_wake.notify_one();
  }

  // What reads the database, once more after damage that it has found was taken out of the way.
  template <typename Read>
  auto Mending(const Read& read) -> decltype(read()) {
    auto result = read();
    if (result || result.error().code() != ErrorCode::kDataLoss) return result;
    if (!OnWriter([](OutboxStore& store) { return store.MendIfDamaged(); })) return result;
    return read();
  }

  // Seals what is due, until Close.
  void SealLoop() {
    const auto period = std::clamp(options.segment_age, std::chrono::milliseconds(50),
                                   std::chrono::milliseconds(5'000));
    std::unique_lock lock(seal_mutex);
    while (!closing) {
      rows_since_seal = 0;
      lock.unlock();
      if (const Status sealed = SealDue(); !sealed)
        LogWarning("outbox could not seal, and tries again reason={}", sealed.error().ToString());
      lock.lock();
      seal_wake.wait_for(lock, period,
                         [&] { return closing || rows_since_seal >= options.segment_rows; });
    }
  }

  Status SealDue() {
    SKERRY_RETURN_IF_ERROR(
        OnWriter([](OutboxStore& store) { return store.EmitSideRecords(EmitWhat::kDue); }));
    return Mending([this] { return sealer->Seal(SealWhich::kDue); });
  }
};

namespace {

Status CheckOptions(const OutboxOptions& options) {
  SKERRY_RETURN_IF_ERROR(CheckName("site name", options.site));
  if (options.clock == nullptr || options.metrics == nullptr || options.key.empty())
    return Fail(ErrorCode::kInvalidArgument, "an outbox needs a clock, metrics and the site's key");
  if (options.segment_rows == 0 || options.segment_rows > limits::kSegmentRowsMost)
    return Fail(ErrorCode::kInvalidArgument, "segment_rows is {}: write 1 to {}",
                options.segment_rows, limits::kSegmentRowsMost);
  if (options.queue_rows == 0 || options.segment_age.count() <= 0)
    return Fail(ErrorCode::kInvalidArgument, "queue_rows and segment_age have to be above 0");
  return {};
}

}  // namespace

std::string_view RowPlaceName(RowPlace place) {
  switch (place) {
    case RowPlace::kNothingLeaves: return "nothing-leaves";
    case RowPlace::kUnsealed: return "unsealed";
    case RowPlace::kSealed: return "sealed";
    case RowPlace::kReceived: return "received";
    case RowPlace::kShed: return "shed";
    case RowPlace::kRecalled: return "recalled";
    case RowPlace::kDamaged: return "damaged";
  }
  return "unknown";
}

Outbox::Outbox(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Outbox::~Outbox() { Close(); }
InstanceId Outbox::epoch() const { return impl_->epoch; }

Result<std::unique_ptr<Outbox>> Outbox::Open(OutboxOptions options) {
  SKERRY_RETURN_IF_ERROR(CheckOptions(options));
  auto impl = std::make_unique<Impl>();
  impl->epoch = options.epoch.is_none() ? InstanceId::Random() : options.epoch;
  impl->options = std::move(options);
  SKERRY_ASSIGN_OR_RETURN(auto store, OutboxStore::Open(impl->options, impl->epoch));
  Impl* shared = impl.get();
  impl->writer = std::make_unique<OutboxWriter>(
      impl->options, std::move(store), [shared](std::uint64_t rows) { shared->NoteRows(rows); });
  impl->sealer = std::make_unique<Sealer>(
      impl->options, impl->epoch, [shared] { return shared->writer->database_path(); },
      [shared](const std::function<Status(OutboxStore&)>& change) {
        return shared->OnWriter(change);
      });
  impl->seal_thread = std::thread([shared] { shared->SealLoop(); });
  return std::unique_ptr<Outbox>(new Outbox(std::move(impl)));
}

void Outbox::Close() {
  {
    const std::scoped_lock lock(impl_->seal_mutex);
    impl_->closing = true;
  }
  impl_->seal_wake.notify_one();
  if (impl_->seal_thread.joinable()) impl_->seal_thread.join();
  impl_->writer->Close();
}

void Outbox::Submit(std::shared_ptr<const RowBatch> batch,
                    std::shared_ptr<const CompiledPolicy> policy,
                    std::function<void(Status)> done) {
  impl_->writer->Submit({std::move(batch), std::move(policy)}, std::move(done));
}

Status Outbox::Flush() {
  return impl_->OnWriter([](OutboxStore&) -> Status { return {}; });
}

Status Outbox::SealNow() {
  SKERRY_RETURN_IF_ERROR(
      impl_->OnWriter([](OutboxStore& store) { return store.EmitSideRecords(EmitWhat::kAll); }));
  return impl_->Mending([this] { return impl_->sealer->Seal(SealWhich::kAll); });
}

Result<std::vector<Shipment>> Outbox::PendingShipments() {
  SKERRY_RETURN_IF_ERROR(impl_->SealDue());
  SKERRY_RETURN_IF_ERROR(impl_->OnWriter([](OutboxStore& store) { return store.EnforceQuota(); }));
  SKERRY_RETURN_IF_ERROR(
      impl_->OnWriter([](OutboxStore& store) { return store.MakeStatements(); }));
  return impl_->Mending([this]() -> Result<std::vector<Shipment>> {
    const std::scoped_lock lock(impl_->read_mutex);
    SKERRY_ASSIGN_OR_RETURN(Database * reader, impl_->Reader());
    return ReadPendingShipments(*reader, impl_->segments_directory());
  });
}

Result<ReceiptOutcome> Outbox::ApplyReceipt(std::string_view envelope_json,
                                            std::span<const PublicKey> hub_keys) {
  SKERRY_ASSIGN_OR_RETURN(const Receipt receipt, VerifyReceipt(envelope_json, hub_keys));
  if (receipt.site != impl_->options.site)
    return Fail(ErrorCode::kInvalidArgument, "the receipt is for site {}, and this is {}",
                receipt.site, impl_->options.site);
  ReceiptOutcome outcome;
  SKERRY_RETURN_IF_ERROR(impl_->OnWriter([&](OutboxStore& store) -> Status {
    SKERRY_ASSIGN_OR_RETURN(outcome, store.ApplyReceipt(receipt, envelope_json));
    return {};
  }));
  return outcome;
}

Status Outbox::QuarantineSegment(const Digest& digest, std::string_view reason) {
  return impl_->OnWriter(
      [&](OutboxStore& store) { return store.QuarantineSegment(digest, reason); });
}

Result<SiteStatus> Outbox::ReadStatus() {
  SiteStatus status;
  SKERRY_RETURN_IF_ERROR(impl_->OnWriter([&](OutboxStore& store) -> Status {
    SKERRY_ASSIGN_OR_RETURN(status, store.ReadStatus());
    return {};
  }));
  return status;
}

Result<OutboxFacts> Outbox::facts() {
  SKERRY_ASSIGN_OR_RETURN(OutboxFacts facts, impl_->Mending([this]() -> Result<OutboxFacts> {
    const std::scoped_lock lock(impl_->read_mutex);
    SKERRY_ASSIGN_OR_RETURN(Database * reader, impl_->Reader());
    return ReadFacts(*reader);
  }));
  facts.epoch = impl_->epoch;
  facts.quota_bytes = impl_->options.quota_bytes;
  facts.queued_rows = impl_->writer->queued_rows();
  return facts;
}

Result<std::optional<RowFate>> Outbox::LookupRow(const RowId& row) {
  SKERRY_ASSIGN_OR_RETURN(auto fates, LookupRows(std::span(&row, 1)));
  return std::move(fates.front());
}

Result<std::vector<std::optional<RowFate>>> Outbox::LookupRows(std::span<const RowId> rows) {
  if (rows.size() > limits::kLookupRows)
    return Fail(ErrorCode::kTooLarge, "{} rows in one look-up, the limit is {}", rows.size(),
                limits::kLookupRows);
  return impl_->Mending([&]() -> Result<std::vector<std::optional<RowFate>>> {
    const std::scoped_lock lock(impl_->read_mutex);
    SKERRY_ASSIGN_OR_RETURN(Database * reader, impl_->Reader());
    return ReadFates(*reader, rows);
  });
}

Result<std::vector<std::string>> Outbox::Verify() {
  // A connection of its own: this takes long, and look-ups go on beside it.
  SKERRY_ASSIGN_OR_RETURN(const auto database,
                          Database::Open(impl_->writer->database_path(), {.read_only = true}));
  return VerifyOutbox(*database, impl_->segments_directory(), impl_->options.key.public_key());
}

Status Outbox::ExportTo(const std::filesystem::path& path, RecordClass cls) {
  SKERRY_ASSIGN_OR_RETURN(const std::vector<Table> unsealed, impl_->sealer->UnsealedTables(cls));
  std::vector<SegmentRow> segments;
  {
    const std::scoped_lock lock(impl_->read_mutex);
    SKERRY_ASSIGN_OR_RETURN(Database * reader, impl_->Reader());
    SKERRY_ASSIGN_OR_RETURN(
        segments,
        ReadSegments(*reader, fmt::format("stream IN (SELECT id FROM streams WHERE cls = {}) "
                                          "ORDER BY stream, first_seq",
                                          static_cast<int>(cls))));
  }
  if (segments.empty() && unsealed.empty())
    return Fail(ErrorCode::kNotFound, "the outbox holds no records of class {}",
                RecordClassName(cls));
  SKERRY_ASSIGN_OR_RETURN(const auto engine, TabularEngine::Open({}));
  std::string sql;
  const auto add = [&](const std::string& from) {
    sql += fmt::format("{}SELECT * FROM {}", sql.empty() ? "" : " UNION ALL BY NAME ", from);
  };
  for (const SegmentRow& segment : segments)
    add(fmt::format("read_parquet({})",
                    QuoteLiteral((impl_->segments_directory() / segment.file).string())));
  for (std::size_t i = 0; i < unsealed.size(); ++i) {
    const std::string name = fmt::format("unsealed_{}", i);
    SKERRY_RETURN_IF_ERROR(engine->Register(name, unsealed[i]));
    add(name);
  }
  SKERRY_ASSIGN_OR_RETURN(const Table all, engine->Query(sql));
  const bool csv = path.extension() == ".csv";
  SKERRY_RETURN_IF_ERROR(csv ? engine->WriteCsv(all, path) : engine->WriteParquet(all, path));
  return SyncFile(path);
}

}  // namespace skerry
