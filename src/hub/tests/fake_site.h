// A site as the hub sees it, for tests: a key, an epoch, segments as Parquet files, signed
// statements. Everything is real but the scoring.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "codec/columns.h"
#include "crypto/key.h"
#include "oci/artifact.h"
#include "outbox/site_status.h"
#include "outbox/statement.h"

namespace skerry {

// What the records of a segment hold. The defaults make rows whose every value follows from
// (class, seq), so equal ranges have equal rows whatever segment they are in.
struct RecordPlan {
  RecordClass cls = RecordClass::kSample;
  std::uint64_t first_seq = 1;
  std::uint64_t rows = 10;
  // The row's n is seq + n_offset: streams of two classes speak of different rows.
  std::uint64_t n_offset = 0;
  // Of every 2 rows, this many are primary.
  std::uint64_t primary_of_two = 2;
  double value_shift = 0;  // other content under the same identity
  std::string model = "milling:1";
  std::int64_t event_time_us = 1'790'000'000'000'000;
};

struct TestSegment {
  SegmentEntry entry;
  std::filesystem::path file;
};

class FakeSite {
 public:
  FakeSite(std::string name, std::filesystem::path directory);

  const std::string& name() const { return name_; }
  const PrivateKey& key() const { return key_; }
  void set_key(PrivateKey key) { key_ = std::move(key); }
  InstanceId epoch() const { return epoch_; }
  // The process that scored; row ids are (instance, n).
  InstanceId instance() const { return instance_; }

  static Table Records(const RecordPlan& plan, InstanceId instance);
  TestSegment Seal(const RecordPlan& plan);
  TestSegment SealTable(const Table& table, const RecordPlan& plan);

  // The next statement of the chain.
  ShipmentStatement Statement(const std::vector<TestSegment>& segments,
                              const std::vector<GapEntry>& gaps = {});
  std::string Sign(const ShipmentStatement& statement);
  Artifact Ship(const std::vector<TestSegment>& segments, const std::vector<GapEntry>& gaps = {});
  // Any statement and layers, true or not.
  static Artifact ShipEnvelope(const std::string& envelope,
                               const std::vector<TestSegment>& segments);

  // Counts as the primary rows given say, everything else 0.
  SiteStatus MakeStatus(const Counters& counters);
  std::string SignStatusOf(const SiteStatus& status);

 private:
  std::string name_;
  std::filesystem::path directory_;
  PrivateKey key_;
  InstanceId epoch_ = InstanceId::Random();
  InstanceId instance_ = InstanceId::Random();
  std::uint64_t number_ = 0;
  std::optional<Digest> previous_;
  std::uint64_t status_counter_ = 0;
  int files_ = 0;
};

// The value; a failure ends the test program with the error's message, since nothing that follows
// could mean anything.
template <typename T>
T Must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "%s\n", result.error().ToString().c_str());
    std::abort();
  }
  return std::move(*result);
}
inline void Must(Status status) {
  if (status) return;
  std::fprintf(stderr, "%s\n", status.error().ToString().c_str());
  std::abort();
}

}  // namespace skerry
