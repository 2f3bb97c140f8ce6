#include "sync/custody.h"

#include <algorithm>
#include <iterator>

#include "base/limits.h"
#include "base/media_limits.h"
#include "crypto/dsse.h"
#include "oci/append_file.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr std::size_t kListBytes = 64U << 20U;

Json CountsJson(const std::map<std::string, std::uint64_t>& counts) {
  Json json = Json::object();
  for (const auto& [name, count] : counts) json[name] = count;
  return json;
}

Result<std::map<std::string, std::uint64_t>> ReadCounts(const JsonObject& object,
                                                        const char* name) {
  SKERRY_ASSIGN_OR_RETURN(const JsonObject counts, object.Object(name));
  std::map<std::string, std::uint64_t> read;
  for (const auto& [key, value] : counts.json().items()) {
    if (!value.is_number_unsigned())
      return Fail(ErrorCode::kInvalidArgument, "{}.{} is no count", name, key);
    read[key] = value.get<std::uint64_t>();
  }
  return read;
}

// What makes an entry the same one.
std::string IdentityOf(const CustodyEntry& entry) {
  return fmt::format("{} {} {} {}", entry.bundle, entry.action, entry.by, entry.at_us);
}

}  // namespace

Json CustodyEntry::ToJson() const {
  return Json{{"bundle", bundle},
              {"site", site},
              {"direction", direction},
              {"action", action},
              {"by", by},
              {"at", FormatUtc(at_us)},
              {"clock", clock},
              {"parts", parts},
              {"bytes", bytes},
              {"rows", CountsJson(rows)},
              {"results", CountsJson(results)}};
}

Result<CustodyEntry> CustodyEntry::FromJson(const Json& json, const std::string& path) {
  const JsonObject object(json, path);
  CustodyEntry entry;
  const std::pair<const char*, std::string*> texts[] = {
      {"bundle", &entry.bundle}, {"site", &entry.site}, {"direction", &entry.direction},
      {"action", &entry.action}, {"by", &entry.by},     {"clock", &entry.clock}};
  for (const auto& [name, text] : texts) {
    SKERRY_ASSIGN_OR_RETURN(*text, object.String(name));
    if (text->size() > limits::kBundleIdBytes)
      return Fail(ErrorCode::kTooLarge, "{}.{} has {} characters", path, name, text->size());
  }
  SKERRY_ASSIGN_OR_RETURN(const std::string at, object.String("at"));
  SKERRY_ASSIGN_OR_RETURN(entry.at_us, ParseUtc(at), path);
  SKERRY_ASSIGN_OR_RETURN(entry.parts, object.Uint("parts"));
  SKERRY_ASSIGN_OR_RETURN(entry.bytes, object.Uint("bytes"));
  SKERRY_ASSIGN_OR_RETURN(entry.rows, ReadCounts(object, "rows"));
  SKERRY_ASSIGN_OR_RETURN(entry.results, ReadCounts(object, "results"));
  return entry;
}

CustodyEntry MakeCustodyEntry(const BundleReport& report, std::string_view action,
                              std::string_view by, const Clock& clock) {
  CustodyEntry entry;
  entry.bundle = report.header.id;
  entry.site = report.header.site;
  entry.direction = BundleDirectionName(report.header.direction);
  entry.action = action;
  entry.by = by;
  entry.at_us = clock.UtcMicros();
  entry.clock = ClockQualityName(clock.quality());
  for (const PartOutcome& part : report.parts) {
    ++entry.results[std::string(PartResultName(part.result))];
    if (part.result == PartResult::kMissing || part.result == PartResult::kRefused) continue;
    ++entry.parts;
    entry.bytes += part.bytes;
    for (const auto& [cls, rows] : part.rows) entry.rows[cls] += rows;
  }
  return entry;
}

Result<std::unique_ptr<CustodyList>> CustodyList::Open(std::filesystem::path file) {
  std::unique_ptr<CustodyList> list(new CustodyList(std::move(file)));
  const auto text = ReadFile(list->file_, kListBytes);
  if (!text && text.error().code() == ErrorCode::kNotFound) return list;
  if (!text) return tl::make_unexpected(text.error());
  bool clean = text->empty() || text->back() == '\n';
  for (std::size_t at = 0; at < text->size();) {
    const std::size_t end = std::min(text->find('\n', at), text->size());
    const auto json = ParseJson(std::string_view(*text).substr(at, end - at));
    auto entry = json ? CustodyEntry::FromJson(*json, "entry")
                      : Result<CustodyEntry>(tl::make_unexpected(json.error()));
    if (entry && list->known_.insert(IdentityOf(*entry)).second)
      list->entries_.push_back(std::move(*entry));
    clean = clean && entry.has_value();
    at = end + 1;
  }
  if (!clean) SKERRY_RETURN_IF_ERROR(list->Rewrite());
  return list;
}

Status CustodyList::Rewrite() {
  std::string text;
  for (const CustodyEntry& entry : entries_) text += DumpJson(entry.ToJson()) + "\n";
  return WriteFileDurably(file_, text, 0600);
}

Result<std::size_t> CustodyList::Add(const std::vector<CustodyEntry>& entries) {
  const std::lock_guard lock(mutex_);
  std::string text;
  std::size_t added = 0;
  for (const CustodyEntry& entry : entries) {
    if (!known_.insert(IdentityOf(entry)).second) continue;
    ++added;
    text += DumpJson(entry.ToJson()) + "\n";
    entries_.push_back(entry);
  }
  if (added == 0) return added;
  if (entries_.size() > limits::kCustodyEntries) {
    const auto surplus = static_cast<std::ptrdiff_t>(entries_.size() - limits::kCustodyEntries);
    for (auto old = entries_.begin(); old != entries_.begin() + surplus; ++old)
      known_.erase(IdentityOf(*old));
    entries_.erase(entries_.begin(), entries_.begin() + surplus);
    SKERRY_RETURN_IF_ERROR(Rewrite());
    return added;
  }
  SKERRY_ASSIGN_OR_RETURN(AppendFile file,
                          AppendFile::Open(file_, AppendFile::Mode::kCreateOrExisting));
  SKERRY_RETURN_IF_ERROR(file.Write(text));
  SKERRY_RETURN_IF_ERROR(file.Sync());
  return added;
}

std::vector<CustodyEntry> CustodyList::entries(std::string_view site) const {
  const std::lock_guard lock(mutex_);
  std::vector<CustodyEntry> chosen;
  std::ranges::copy_if(entries_, std::back_inserter(chosen), [&](const CustodyEntry& entry) {
    return site.empty() || entry.site == site;
  });
  return chosen;
}

Json CustodyList::ToJson(std::string_view site) const {
  const std::vector<CustodyEntry> chosen = entries(site);
  std::vector<std::string> order;
  std::map<std::string, Json> bundles;
  for (const CustodyEntry& entry : chosen) {
    auto [found, fresh] = bundles.try_emplace(entry.bundle, Json{{"bundle", entry.bundle},
                                                                 {"site", entry.site},
                                                                 {"direction", entry.direction},
                                                                 {"custody", Json::array()}});
    if (fresh) order.push_back(entry.bundle);
    Json item = entry.ToJson();
    for (const char* known : {"bundle", "site", "direction"}) item.erase(known);
    found->second["custody"].push_back(std::move(item));
  }
  Json list = Json::array();
  for (auto id = order.rbegin(); id != order.rend() && list.size() < limits::kListItems; ++id)
    list.push_back(std::move(bundles[*id]));
  return Json{{"bundles", std::move(list)}};
}

Result<std::string> CustodyList::Tell(const CustodyEntry& now, const PrivateKey& key) const {
  std::vector<CustodyEntry> all = entries(now.site);
  std::erase_if(all, [&](const CustodyEntry& entry) { return entry.by != now.by; });
  all.push_back(now);
  const std::size_t skip = all.size() - std::min(all.size(), limits::kCustodyTold);
  Json list = Json::array();
  for (std::size_t i = skip; i < all.size(); ++i) list.push_back(all[i].ToJson());
  const Json document{
      {"format", "skerry-custody/1"}, {"site", now.site}, {"entries", std::move(list)}};
  SKERRY_ASSIGN_OR_RETURN(const DsseEnvelope envelope,
                          SignDsse(kCustodyType, DumpJson(document), key));
  return envelope.ToJson();
}

Result<std::vector<CustodyEntry>> ReadCustody(std::string_view envelope,
                                              std::span<const PublicKey> keys,
                                              std::string_view site, std::string_view by) {
  SKERRY_ASSIGN_OR_RETURN(const std::string text,
                          VerifyDsse(envelope, kCustodyType, keys, limits::kCustodyBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  const JsonObject object(json, "custody");
  SKERRY_ASSIGN_OR_RETURN(const std::string format, object.String("format"));
  if (!format.starts_with("skerry-custody/1"))
    return Fail(ErrorCode::kUnimplemented, "the custody list has the format {}, we read 1", format);
  SKERRY_ASSIGN_OR_RETURN(const Json* list, object.Array("entries"));
  if (list->size() > limits::kCustodyTold)
    return Fail(ErrorCode::kTooLarge, "{} entries of custody, the limit is {} (kCustodyTold)",
                list->size(), limits::kCustodyTold);
  std::vector<CustodyEntry> entries;
  for (std::size_t i = 0; i < list->size(); ++i) {
    SKERRY_ASSIGN_OR_RETURN(CustodyEntry entry,
                            CustodyEntry::FromJson((*list)[i], object.ElementPath("entries", i)));
    if (entry.site == site && entry.by == by) entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace skerry
