#include "outbox/outbox.h"

#include "base/log.h"
#include "outbox/local_records.h"
#include "outbox/queries.h"
#include "outbox/rate_meter.h"
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

  RateMeter meter;
  std::mutex urgent_mutex;
  std::function<void()> on_urgent;  // guarded by urgent_mutex

  std::mutex seal_mutex;
  std::condition_variable seal_wake;
  std::uint64_t rows_since_seal = 0;  // guarded by seal_mutex, as what follows
  bool closing = false;
  std::string seal_trouble;  // why the last seal failed
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

  void NoteSealed(RecordClass cls, std::uint64_t bytes) {
    meter.Add({.bytes_in = bytes});
    if (!IsUrgent(cls)) return;
    const std::scoped_lock lock(urgent_mutex);
    if (on_urgent) on_urgent();
  }

  void NoteRows(std::uint64_t rows) {
    meter.Add({.rows_in = rows});
    const std::scoped_lock lock(seal_mutex);
    rows_since_seal += rows;
    if (rows_since_seal >= options.segment_rows) seal_wake.notify_one();
  }

  // kNotFound when there are none.
  Result<LocalRecords> RecordsOf(RecordClass cls) {
    LocalRecords records;
    SKERRY_ASSIGN_OR_RETURN(records.unsealed, sealer->UnsealedTables(cls));
    const std::scoped_lock lock(read_mutex);
    SKERRY_ASSIGN_OR_RETURN(Database * database, Reader());
    SKERRY_ASSIGN_OR_RETURN(
        const std::vector<SegmentRow> segments,
        ReadSegments(*database, fmt::format("stream IN (SELECT id FROM streams WHERE cls = {}) "
                                            "ORDER BY stream, first_seq",
                                            static_cast<int>(cls))));
    for (const SegmentRow& segment : segments)
      records.segments.push_back(segments_directory() / segment.file);
    if (records.empty())
      return Fail(ErrorCode::kNotFound, "the outbox holds no records of class {}",
                  RecordClassName(cls));
    return records;
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
    const auto period = std::clamp(std::min(options.segment_age, options.urgent_age / 2),
                                   std::chrono::milliseconds(50), std::chrono::milliseconds(5'000));
    std::unique_lock lock(seal_mutex);
    while (!closing) {
      rows_since_seal = 0;
      lock.unlock();
      meter.Sample(std::chrono::steady_clock::now());
      const Status sealed = SealDue();
      if (!sealed)
        LogWarning("outbox could not seal, and tries again reason={}", sealed.error().ToString());
      lock.lock();
      seal_trouble = sealed ? "" : sealed.error().message();
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
  if (options.queue_rows == 0 || options.segment_age.count() <= 0 ||
      options.urgent_age.count() <= 0)
    return Fail(ErrorCode::kInvalidArgument,
                "queue_rows, segment_age and urgent_age have to be above 0");
  std::uint64_t reserved = 0;
  for (const auto& [cls, limits] : options.classes) reserved += limits.reserve_bytes;
  if (reserved > options.quota_bytes)
    return Fail(ErrorCode::kInvalidArgument,
                "the classes reserve {} bytes of a quota of {}: reserve less, or allow more",
                reserved, options.quota_bytes);
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
    case RowPlace::kLost: return "lost";
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
      },
      [shared](RecordClass cls, std::uint64_t bytes) { shared->NoteSealed(cls, bytes); });
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

void Outbox::Gather(std::shared_ptr<const RowBatch> batch,
                    std::shared_ptr<const CompiledPolicy> policy, Counter* lost) {
  impl_->writer->Gather({std::move(batch), std::move(policy)}, lost);
}

void Outbox::SubmitHandOver(const HandOver& said,
                            std::vector<std::shared_ptr<const RowBatch>> batches,
                            const std::shared_ptr<const CompiledPolicy>& policy,
                            std::function<void(Result<HandOverFate>)> done) {
  std::vector<Submission> submissions;
  for (std::shared_ptr<const RowBatch>& batch : batches)
    submissions.push_back({std::move(batch), policy});
  impl_->writer->SubmitHandOver(said, std::move(submissions), std::move(done));
}

Status Outbox::Flush() {
  return impl_->OnWriter([](OutboxStore&) -> Status { return {}; });
}

void Outbox::OnUrgentSegments(std::function<void()> handler) {
  const std::scoped_lock lock(impl_->urgent_mutex);
  impl_->on_urgent = std::move(handler);
}

std::vector<std::string> Outbox::Alarms() {
  std::vector<std::string> alarms;
  if (!impl_->writer->healthy())
    alarms.emplace_back(
        "the outbox's database cannot be written: rows are scored, counted, and not captured");
  {
    const std::scoped_lock lock(impl_->seal_mutex);
    if (!impl_->seal_trouble.empty())
      alarms.push_back(
          fmt::format("rows stay in the outbox's database, since they cannot be sealed: {}",
                      impl_->seal_trouble));
  }
  std::error_code ignored;
  const auto quarantine = impl_->options.directory / "quarantine";
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator(quarantine, ignored))
    ++files;
  if (files > 0)
    alarms.push_back(fmt::format("{} damaged files are in {}: look at them, then move them away",
                                 files, quarantine.string()));
  const std::scoped_lock lock(impl_->read_mutex);
  const auto reader = impl_->Reader();
  if (!reader) return alarms;
  const auto shed = ReadNumber(
      **reader,
      "SELECT SUM(last_seq - first_seq + 1) FROM gaps WHERE reason = 'quota' AND closed = 0");
  if (shed && *shed > 0)
    alarms.push_back(fmt::format(
        "the outbox is over its quota: {} records were shed that the hub does not know of yet",
        *shed));
  const auto lost = ReadNumber(**reader, kLostRecords);
  const auto known = ReadState(**reader);
  if (lost && known && *lost > known->lost_acknowledged)
    alarms.push_back(fmt::format(
        "the hub was restored from a back-up and has lost {} records that it had signed for; they "
        "are not here any more, 'skerry outbox status' names them, and 'skerry outbox acknowledge' "
        "says that you know",
        *lost - known->lost_acknowledged));
  return alarms;
}

Status Outbox::SealNow() {
  SKERRY_RETURN_IF_ERROR(
      impl_->OnWriter([](OutboxStore& store) { return store.EmitSideRecords(EmitWhat::kAll); }));
  return impl_->Mending([this] { return impl_->sealer->Seal(SealWhich::kAll); });
}

Result<std::vector<Shipment>> Outbox::PendingShipments(ShipmentPick pick, std::size_t most) {
  if (pick == ShipmentPick::kAll) {
    SKERRY_RETURN_IF_ERROR(impl_->SealDue());
    SKERRY_RETURN_IF_ERROR(
        impl_->OnWriter([](OutboxStore& store) { return store.EnforceQuota(EnforceWhen::kNow); }));
  }
  SKERRY_RETURN_IF_ERROR(
      impl_->OnWriter([pick](OutboxStore& store) { return store.MakeStatements(pick); }));
  return impl_->Mending([this, pick, most]() -> Result<std::vector<Shipment>> {
    const std::scoped_lock lock(impl_->read_mutex);
    SKERRY_ASSIGN_OR_RETURN(Database * reader, impl_->Reader());
    return ReadPendingShipments(*reader, impl_->segments_directory(), pick, most);
  });
}

Result<bool> Outbox::UrgentWaits() {
  const std::scoped_lock lock(impl_->read_mutex);
  SKERRY_ASSIGN_OR_RETURN(Database * reader, impl_->Reader());
  SKERRY_ASSIGN_OR_RETURN(
      const std::uint64_t waits,
      ReadNumber(*reader,
                 fmt::format("SELECT EXISTS(SELECT 1 FROM segments WHERE {})", kOfUrgentStream)));
  return waits != 0;
}

Result<ReceiptOutcome> Outbox::ApplyReceipt(std::string_view envelope_json,
                                            std::span<const PublicKey> hub_keys) {
  SKERRY_ASSIGN_OR_RETURN(const Receipt receipt, VerifyReceipt(envelope_json, hub_keys));
  if (receipt.site != impl_->options.site)
    return Fail(ErrorCode::kInvalidArgument, "the receipt is for site {}, and this is {}",
                receipt.site, impl_->options.site);
  ReceiptOutcome outcome;
  SKERRY_RETURN_IF_ERROR(impl_->OnWriter([&](OutboxStore& store) -> Status {
    SKERRY_ASSIGN_OR_RETURN(outcome, store.ApplyReceipt(receipt, envelope_json, hub_keys));
    return {};
  }));
  impl_->meter.Add({.bytes_out = outcome.bytes_covered});
  outcome.issued_at_us = receipt.issued_at_us;
  return outcome;
}

Result<std::optional<HeldReceipt>> Outbox::NewestReceipt() {
  return impl_->Mending([this]() -> Result<std::optional<HeldReceipt>> {
    const std::scoped_lock lock(impl_->read_mutex);
    SKERRY_ASSIGN_OR_RETURN(Database * reader, impl_->Reader());
    return ReadNewestReceipt(*reader);
  });
}

Status Outbox::QuarantineSegment(const Digest& digest, std::string_view reason) {
  return impl_->OnWriter(
      [&](OutboxStore& store) { return store.QuarantineSegment(digest, reason); });
}

Result<std::uint64_t> Outbox::Recall(WiderPolicy wider) {
  std::uint64_t rows = 0;
  SKERRY_RETURN_IF_ERROR(impl_->OnWriter([&](OutboxStore& store) -> Status {
    SKERRY_ASSIGN_OR_RETURN(rows, store.Recall(std::move(wider)));
    return {};
  }));
  return rows;
}

Result<std::uint64_t> Outbox::AcknowledgeLost() {
  std::uint64_t records = 0;
  SKERRY_RETURN_IF_ERROR(impl_->OnWriter([&](OutboxStore& store) -> Status {
    SKERRY_ASSIGN_OR_RETURN(records, store.AcknowledgeLost());
    return {};
  }));
  return records;
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
  const std::uint64_t used = facts.segment_bytes + facts.database_bytes;
  facts.rates = impl_->meter.Rates(std::chrono::steady_clock::now(), facts.segment_bytes,
                                   facts.quota_bytes - std::min(used, facts.quota_bytes));
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
  // Connections of its own: this takes long, and look-ups go on beside it.
  const std::filesystem::path path = impl_->writer->database_path();
  SKERRY_ASSIGN_OR_RETURN(const auto database, Database::Open(path, {.read_only = true}));
  SKERRY_ASSIGN_OR_RETURN(const auto now, Database::Open(path, {.read_only = true}));
  return VerifyOutbox(*database, *now, impl_->segments_directory(),
                      impl_->options.key.public_key());
}

Result<Table> Outbox::Tail(RecordClass cls, std::size_t rows) {
  if (rows > limits::kTailRows)
    return Fail(ErrorCode::kTooLarge, "{} rows were asked for, the limit is {}", rows,
                limits::kTailRows);
  SKERRY_ASSIGN_OR_RETURN(const LocalRecords records, impl_->RecordsOf(cls));
  return LatestRecords(records, rows);
}

Status Outbox::ExportTo(const std::filesystem::path& path, RecordClass cls) {
  SKERRY_ASSIGN_OR_RETURN(const LocalRecords records, impl_->RecordsOf(cls));
  return WriteRecords(records, path);
}

}  // namespace skerry
