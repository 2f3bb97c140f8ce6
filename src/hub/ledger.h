// The ledger of what was received: streams as interval sets, segments, gaps, statements, lake
// files, what was set aside, and counts by time.
//
// A view on an open connection (store.h); one thread at a time. What ingest decides about a
// shipment is written here in one transaction, after its lake files are durable; receipts and
// reconciliation are read from here.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "crypto/digest.h"
#include "outbox/receipt.h"
#include "outbox/statement.h"
#include "policy/record_class.h"
#include "storage/sqlite.h"

namespace skerry {

struct StreamKey {
  InstanceId epoch;
  RecordClass cls = RecordClass::kSample;
  auto operator<=>(const StreamKey&) const = default;
};

// What is known of one stream.
struct StreamHoldings {
  StreamKey stream;
  std::uint64_t sealed_through = 0;            // the highest seq that a statement spoke of
  IntervalSet held;                            // stored durably: in the lake or in quarantine
  IntervalSet gaps;                            // accepted with the site's signed reason
  std::uint64_t rows = 0;                      // in the lake, counted from the Parquet files
  std::uint64_t primary_rows = 0;              // in the lake, counted from the Parquet files
  std::uint64_t quarantined_primary_rows = 0;  // set aside, and damage gaps that nothing else holds
  IntervalSet lost;  // of the gaps: receipted, lost by this hub, and not at the site any more
  std::uint64_t lost_primary_rows = 0;
};

// kLake: its new rows are in the lake. kQuarantined: its content is not what its statement says;
// the file is in quarantine. kConflict: every row of it was known, some with other content; the
// file is in quarantine.
enum class SegmentState : std::uint8_t { kLake, kQuarantined, kConflict };

struct LakeFile {
  std::string path;  // below the lake's directory
  std::string model_name;
  std::uint64_t rows = 0;
};

// One segment as it was stored.
struct SegmentRecord {
  StreamKey stream;
  std::uint64_t first_seq = 0;
  std::uint64_t last_seq = 0;
  Digest digest;
  SegmentState state = SegmentState::kLake;
  std::uint64_t rows = 0;          // new ones
  std::uint64_t primary_rows = 0;  // of the new ones; in quarantine: as the statement says
  std::uint64_t bytes = 0;
  std::vector<LakeFile> files;
  std::vector<std::pair<std::int64_t, std::uint64_t>> counts;  // event-time bucket (us) -> rows
};

// Something that was not taken, and why.
struct SetAside {
  std::string site;
  // "statement", "shipment", "segment", "conflict", "fork", "lost", "status", "join-request"
  std::string kind;
  std::string digest;
  std::string name;  // tag, stream and range, ...: for people
  std::string reason;
  std::uint64_t rows = 0;
  std::int64_t at_us = 0;
  std::int64_t acknowledged_us = 0;  // when a person took note; 0: not yet, which is an alarm
};

struct CountPoint {
  std::string site;
  RecordClass cls = RecordClass::kSample;
  std::int64_t bucket_us = 0;
  std::uint64_t rows = 0;
};

class Ledger {
 public:
  explicit Ledger(Database& database) : db_(&database) {}

  // Reading.
  Result<IntervalSet> Held(std::string_view site, const StreamKey& stream);
  Result<bool> HasSegment(std::string_view site, const SegmentEntry& entry);
  // Paths below the lake, of segments of the stream that overlap [first, last].
  Result<std::vector<std::string>> FilesOf(std::string_view site, const StreamKey& stream,
                                           std::uint64_t first_seq, std::uint64_t last_seq);
  // Newest segments first. An empty site or model name takes all; limit 0 takes all.
  Result<std::vector<std::string>> FilesOfClass(RecordClass cls, std::string_view site,
                                                std::string_view model_name, std::uint64_t limit);
  Result<std::vector<std::string>> AllFiles();
  Result<std::vector<StreamHoldings>> Streams(std::string_view site);
  Result<std::vector<SetAside>> SetAsides(std::string_view site, std::uint64_t limit);
  Result<std::uint64_t> CountSetAside(std::string_view site);
  // A person took note of all of the site's until now; how many were news.
  Result<std::uint64_t> Acknowledge(std::string_view site, std::int64_t now_us);
  // Rows of the site that came again with other content.
  Result<std::uint64_t> ConflictingRows(std::string_view site);
  // Statements that name a predecessor which is not here: something is still on its way.
  Result<std::uint64_t> MissingStatements(std::string_view site);
  // Released rows by event time, buckets of kCountBucketUs merged to `step_us`.
  Result<std::vector<CountPoint>> Counts(std::string_view site, std::int64_t step_us,
                                         std::int64_t since_us);

  // Writing.
  Status AddSegment(std::string_view site, const SegmentRecord& segment, std::int64_t now_us);
  // Returns whether it was new.
  Result<bool> AddGap(std::string_view site, const GapEntry& gap);
  // Returns whether it was new. Also notes how far its streams go.
  Result<bool> AddStatement(const ShipmentStatement& statement, const Digest& digest,
                            std::string_view envelope, const Digest& manifest, std::int64_t now_us);
  // Whether the site has another statement with this one's number.
  Result<bool> HasOtherStatement(const ShipmentStatement& statement, const Digest& digest);
  // Returns whether it was new: the same thing may be offered any number of times.
  Result<bool> AddSetAside(const SetAside& item);

  // Marks an item as being read; returns how often that had begun before without an end, which
  // means that the process died meanwhile.
  Result<std::uint64_t> BeginReading(const Digest& digest);
  Status EndReading(const Digest& digest);

  static constexpr std::int64_t kCountBucketUs = 10'000'000;

 private:
  Result<IntervalSet> Intervals(std::string_view site, const StreamKey& stream,
                                std::string_view state);
  Status AddInterval(std::string_view site, const StreamKey& stream, std::string_view state,
                     std::uint64_t first_seq, std::uint64_t last_seq);
  Status NoteSealed(std::string_view site, const StreamKey& stream, std::uint64_t last_seq);
  Result<std::vector<std::string>> Paths(SqlStatement& select);
  Status FillStream(std::string_view site, StreamHoldings& holdings);
  Status FillGaps(std::string_view site, StreamHoldings& holdings);

  Database* db_;
};

}  // namespace skerry
