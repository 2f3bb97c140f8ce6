// The decision log: how many rows were withheld by which rule and why, never what was in them. An
// append-only chain of hashes over the outbox's life, whose entries travel as records of class
// decision, so that an auditor can tell at both sides whether one was changed or left out. Format:
// docs/formats/decision-log.md ("skerry-decision/1").
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "storage/sqlite.h"

namespace skerry {

struct DecisionEntry {
  std::uint64_t n = 0;  // 1, 2, 3, ... over the outbox's life
  std::string rule;
  std::string reason;
  std::string policy;      // digest, "" without a policy
  std::uint64_t rows = 0;  // withheld since the entry before of the same three
  std::string previous;    // hash of entry n - 1; "" in the first
  std::string hash;        // lower-case hex SHA-256

  // Of everything but itself.
  std::string MakeHash() const;
};

// A record's columns, in order: n, rule, reason, policy_digest, rows, previous, hash. No rows.
Table DecisionTable();

// Logs what was withheld since the last call, in the caller's transaction.
Status LogDecisions(Database& database);
// The entries that have not been made records of, marked as sent; as DecisionTable. As many as one
// batch may hold; the others come next time.
Result<Table> TakeUnsentDecisions(Database& database);

struct DecisionAudit {
  std::uint64_t entries = 0;
  std::uint64_t rows = 0;
  std::uint64_t last_n = 0;
  std::string last_hash;              // to be compared with the other side's
  std::vector<std::string> findings;  // what is missing, altered or there twice; none when whole
};
// Entries in any order.
DecisionAudit AuditDecisions(std::vector<DecisionEntry> entries);

// The whole chain at the site, and whether its sums are those of the counters. Read-only, beside a
// running site or without one.
Result<DecisionAudit> AuditSite(const std::filesystem::path& outbox_directory);
// What a hub's lake holds, by site.
Result<std::map<std::string, DecisionAudit>> AuditLake(const std::filesystem::path& lake);

}  // namespace skerry
