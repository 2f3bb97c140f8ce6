#include "hub/tests/fake_site.h"

#include "oci/media_types.h"
#include "storage/file.h"
#include "tabular/engine.h"

namespace skerry {
namespace {

constexpr std::int64_t kMicrosPerSecond = 1'000'000;

TabularEngine& Engine() {
  static const std::unique_ptr<TabularEngine> engine =
      Must(TabularEngine::Open({.memory_limit = "256MiB", .threads = 1, .temp_directory = {}}));
  return *engine;
}

}  // namespace

FakeSite::FakeSite(std::string name, std::filesystem::path directory)
    : name_(std::move(name)), directory_(std::move(directory)), key_(Must(PrivateKey::Generate())) {
  Must(CreateDirectories(directory_));
}

Table FakeSite::Records(const RecordPlan& plan, InstanceId instance) {
  Table table;
  for (const auto& [name, type] : {std::pair{"seq", ColumnType::kInt64},
                                   {"instance", ColumnType::kText},
                                   {"n", ColumnType::kInt64},
                                   {"event_time", ColumnType::kTimestamp},
                                   {"model", ColumnType::kText},
                                   {"prediction", ColumnType::kInt64},
                                   {"score", ColumnType::kDouble},
                                   {"sample_prob", ColumnType::kDouble},
                                   {"primary", ColumnType::kBool},
                                   {"in_torque_nm", ColumnType::kDouble}})
    table.columns.push_back({.name = name, .type = type});
  for (std::uint64_t seq = plan.first_seq; seq < plan.first_seq + plan.rows; ++seq) {
    const auto number = static_cast<std::int64_t>(seq);
    table.columns[0].AppendInt(number);
    table.columns[1].AppendText(instance.ToString());
    table.columns[2].AppendInt(static_cast<std::int64_t>(seq + plan.n_offset));
    table.columns[3].AppendInt(plan.event_time_us + number * kMicrosPerSecond);
    table.columns[4].AppendText(plan.model);
    table.columns[5].AppendInt(number % 2);
    table.columns[6].AppendDouble(static_cast<double>(seq % 100) / 100);
    table.columns[7].AppendDouble(0.5);
    table.columns[8].AppendInt(seq % 2 < plan.primary_of_two ? 1 : 0);
    table.columns[9].AppendDouble(static_cast<double>(seq) + plan.value_shift);
  }
  return table;
}

TestSegment FakeSite::Seal(const RecordPlan& plan) {
  return SealTable(Records(plan, instance_), plan);
}

TestSegment FakeSite::SealTable(const Table& table, const RecordPlan& plan) {
  TestSegment segment;
  segment.file = directory_ / fmt::format("segment-{}.parquet", ++files_);
  Must(Engine().WriteParquet(table, segment.file));
  SegmentEntry& entry = segment.entry;
  entry.cls = plan.cls;
  entry.epoch = epoch_;
  entry.first_seq = plan.first_seq;
  entry.last_seq = plan.first_seq + plan.rows - 1;
  entry.rows = plan.rows;
  for (std::uint64_t seq = plan.first_seq; seq <= entry.last_seq; ++seq)
    entry.primary_rows += seq % 2 < plan.primary_of_two ? 1 : 0;
  entry.bytes = std::filesystem::file_size(segment.file);
  entry.digest = Must(DigestOfFile(segment.file));
  return segment;
}

ShipmentStatement FakeSite::Statement(const std::vector<TestSegment>& segments,
                                      const std::vector<GapEntry>& gaps) {
  ShipmentStatement statement;
  statement.site = name_;
  statement.epoch = epoch_;
  statement.number = ++number_;
  statement.previous = previous_;
  for (const TestSegment& segment : segments) statement.segments.push_back(segment.entry);
  statement.gaps = gaps;
  statement.sealed_at_us = 1'790'000'000'000'000;
  return statement;
}

std::string FakeSite::Sign(const ShipmentStatement& statement) {
  std::string envelope = Must(SignStatement(statement, key_));
  previous_ = Digest::Sha256(envelope);
  return envelope;
}

Artifact FakeSite::Ship(const std::vector<TestSegment>& segments,
                        const std::vector<GapEntry>& gaps) {
  return ShipEnvelope(Sign(Statement(segments, gaps)), segments);
}

Artifact FakeSite::ShipEnvelope(const std::string& envelope,
                                const std::vector<TestSegment>& segments) {
  std::vector<BlobSource> layers;
  for (const TestSegment& segment : segments)
    layers.push_back(
        Must(BlobSource::OfFile(std::string(media_types::kSegmentLayer), segment.file)));
  if (layers.empty()) layers.push_back(EmptyConfig());
  return Must(MakeArtifact(
      media_types::kShipmentArtifact,
      BlobSource::OfBytes(std::string(media_types::kStatementConfig), envelope), layers));
}

SiteStatus FakeSite::MakeStatus(const Counters& counters) {
  SiteStatus status;
  status.site = name_;
  status.instance = epoch_;
  status.counter = ++status_counter_;
  status.counters = counters;
  return status;
}

std::string FakeSite::SignStatusOf(const SiteStatus& status) {
  return Must(SignStatus(status, key_));
}

}  // namespace skerry
