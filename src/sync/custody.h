// Courier accounting: which bundle was exported and imported by whom, when, by which clock, and
// what it carried. Both sides keep a list; each bundle tells the other side of the newest entries,
// signed (a document of kind "custody"), so that a site learns that its stick arrived, and a hub
// that its answer did.
//
// CustodyList: owned by the site or the hub, one a data directory: <data>/custody.jsonl, an entry a
// line, appended and synced. Thread-safe. An entry that is known already is not kept twice; of more
// than limits::kCustodyEntries the oldest go. A line that a crash cut is dropped at the next Open.
// Format: docs/formats/custody.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "codec/json.h"
#include "crypto/key.h"
#include "sync/bundle.h"

namespace skerry {

// DSSE payload type of what a bundle tells.
constexpr std::string_view kCustodyType = "application/vnd.skerry.custody.v1+json";

struct CustodyEntry {
  std::string bundle;
  std::string site;
  std::string direction;  // "to-hub", "to-site"
  std::string action;     // "export", "import"
  std::string by;         // "hub", "site:north"
  std::int64_t at_us = 0;
  std::string clock;  // ClockQualityName
  std::uint64_t parts = 0, bytes = 0;
  std::map<std::string, std::uint64_t> rows = {};     // of shipments, by class
  std::map<std::string, std::uint64_t> results = {};  // parts by PartResultName

  bool operator==(const CustodyEntry&) const = default;
  Json ToJson() const;
  static Result<CustodyEntry> FromJson(const Json& json, const std::string& path);
};

// Of what `by` has just done with a bundle.
CustodyEntry MakeCustodyEntry(const BundleReport& report, std::string_view action,
                              std::string_view by, const Clock& clock);

class CustodyList {
 public:
  static Result<std::unique_ptr<CustodyList>> Open(std::filesystem::path file);

  // Durable on return. How many were new.
  Result<std::size_t> Add(const std::vector<CustodyEntry>& entries);
  // As they came, of one site, or of all with "".
  std::vector<CustodyEntry> entries(std::string_view site = "") const;
  // {"bundles":[{"bundle","site","direction","custody":[entry...]}]}, the newest bundle first.
  Json ToJson(std::string_view site = "") const;
  // The newest of the site's entries and `now`, in a signed envelope.
  Result<std::string> Tell(const CustodyEntry& now, const PrivateKey& key) const;

 private:
  explicit CustodyList(std::filesystem::path file) : file_(std::move(file)) {}
  Status Rewrite();

  const std::filesystem::path file_;
  mutable std::mutex mutex_;  // guards what follows
  std::vector<CustodyEntry> entries_;
  std::set<std::string> known_;
};

// What the other side tells. kPermissionDenied unless one of `keys` signed it; entries that are not
// of `site`, or not by `by`, are left out: each side speaks for itself.
Result<std::vector<CustodyEntry>> ReadCustody(std::string_view envelope,
                                              std::span<const PublicKey> keys,
                                              std::string_view site, std::string_view by);

}  // namespace skerry
