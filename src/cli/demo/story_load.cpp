// The story's middle: load with faults, policy, the link's return, the reconciliation.
#include <algorithm>
#include <set>

#include "cli/demo/story.h"
#include "cli/terminal.h"

namespace skerry {
namespace {

constexpr double kRequestsPerSecond = 1'000;  // each site
constexpr std::uint64_t kRequests = 14'000;   // each site
constexpr std::uint64_t kCutAfterBytes = 20'000;
constexpr int kCuts = 12;
constexpr std::string_view kUploadStates = "sync/uploads.json";  // src/sync/shipper.h

Json RowIds(const std::vector<AcknowledgedRow>& rows, std::size_t from, std::size_t count) {
  Json ids = Json::array();
  for (std::size_t i = from; i < std::min(rows.size(), from + count); ++i)
    ids.push_back(rows[i].id.ToString());
  return Json{{"rows", ids}};
}

std::string TermsLine(const Json& terms) {
  std::string line = fmt::format("{} scored = ", WithThousands(terms.at("scored")));
  bool first = true;
  for (const char* term : {"received", "withheld", "not_selected", "shed", "recalled",
                           "not_captured", "quarantined", "lost", "pending"}) {
    line += fmt::format("{}{} {}", first ? "" : " + ", WithThousands(terms.at(term)), term);
    first = false;
  }
  return line;
}

std::uint64_t SumOfTerms(const Json& terms) {
  std::uint64_t sum = 0;
  for (const char* term : {"received", "withheld", "not_selected", "shed", "recalled",
                           "not_captured", "quarantined", "lost", "pending"})
    sum += terms.at(term).get<std::uint64_t>();
  return sum;
}

}  // namespace

LoadOptions Story::LoadOptionsFor(const SitePlace& site) const {
  LoadOptions options;
  options.url = site.Url();
  options.model = "milling";
  options.requests_per_second = kRequestsPerSecond;
  options.requests = kRequests;
  options.seed = options_.seed + (&site == &south_ ? 1 : 0);
  if (&site == &south_) options.drift_field = drift_field_;
  return options;
}

// Where a cut falls is chance: the link is cut after so many bytes, again and again, until an
// upload is left half-way at the hub.
Status Story::CutInMidUpload() {
  const std::filesystem::path states = north_.data / kUploadStates;
  const auto half_way = [&]() -> Result<bool> {
    const auto text = ReadFile(states, limits::kUploadStatesBytes);
    const auto uploads = text ? ParseJson(*text) : Result<Json>(Json::object());
    if (!uploads || !uploads->is_object()) return false;
    for (const Json& upload : *uploads)
      cut_offset_ = std::max(cut_offset_, upload.value("offset", std::uint64_t{0}));
    return cut_offset_ > 0;
  };
  for (int cut = 1; cut <= kCuts; ++cut) {
    link_->SetUp();
    link_->CutAfterBytes(kCutAfterBytes);
    // After some cuts the site's own next attempt is minutes away. That this one is cut is wanted.
    (void)AskSite(north_, "POST", "/v1/sync");
    SKERRY_RETURN_IF_ERROR(WaitFor("the link's cut", std::chrono::seconds(30),
                                   [&]() -> Result<bool> { return link_->is_down(); }));
    if (!WaitFor("an upload half-way", std::chrono::seconds(1), half_way)) continue;
    bytes_before_cut_ = link_->bytes_to_upstream();
    Say(fmt::format("  north's link is cut in the middle of an upload, after byte {} of a segment",
                    WithThousands(cut_offset_)));
    return {};
  }
  return Fail(ErrorCode::kFailedPrecondition, "{} cuts of north's link met no upload", kCuts);
}

// Both sites under load: north's link goes down in the middle of an upload, then north is killed.
Result<std::string> Story::LoadWithFaults() {
  Explain(fmt::format(
      "{} requests/s to each site over the Open Inference Protocol, batch 1 and 8; from "
      "half-way on {} of south reads 15 % low",
      kRequestsPerSecond, drift_field_));
  LoadGenerator north(LoadOptionsFor(north_), arriving_);
  LoadGenerator south(LoadOptionsFor(south_), arriving_);
  north.WaitAnswered(kRequests / 4);
  SKERRY_RETURN_IF_ERROR(CutInMidUpload());
  north.WaitAnswered(kRequests / 2);
  Say(fmt::format("  $ kill -9 {}   # north", north_.process.pid()));
  north_.process.Kill();
  SKERRY_RETURN_IF_ERROR(StartSite(north_));
  north_.load = north.Wait();
  south_.load = south.Wait();
  std::vector<std::vector<std::string>> table{
      {"", "site", "requests/s", "p50 ms", "p99 ms", "rows acknowledged", "unanswered", "answers"}};
  for (const SitePlace* site : {&north_, &south_}) {
    std::string answers;
    for (const auto& [status, count] : site->load.statuses)
      answers += fmt::format("{}{} x {}", answers.empty() ? "" : ", ", status, count);
    table.push_back({" ", site->name, fmt::format("{:.0f}", site->load.requests_per_second()),
                     fmt::format("{:.2f}", site->load.p50_ms),
                     fmt::format("{:.2f}", site->load.p99_ms),
                     WithThousands(site->load.rows.size()),
                     fmt::format("{} rows", site->load.unanswered_rows), answers});
  }
  Say(RenderColumns(table));
  for (SitePlace* site : {&north_, &south_}) SKERRY_RETURN_IF_ERROR(CheckAcknowledged(*site));
  return fmt::format("{} rows acknowledged, 0 lost",
                     WithThousands(north_.load.rows.size() + south_.load.rows.size()));
}

// Every row id of every 200, looked up at its site.
Status Story::CheckAcknowledged(SitePlace& site) {
  std::set<RowId> distinct;
  for (const AcknowledgedRow& row : site.load.rows) distinct.insert(row.id);
  if (distinct.size() != site.load.rows.size())
    return Fail(ErrorCode::kDataLoss, "{} gave {} rows {} different row ids", site.name,
                site.load.rows.size(), distinct.size());
  std::uint64_t found = 0;
  for (std::size_t from = 0; from < site.load.rows.size(); from += kLookupRows) {
    SKERRY_ASSIGN_OR_RETURN(const Json answer, AskSite(site, "POST", "/v1/rows/lookup",
                                                       RowIds(site.load.rows, from, kLookupRows)));
    found += answer.at("found").get<std::uint64_t>();
  }
  Say(fmt::format("  {}: {} of {} acknowledged rows are found in its ledger", site.name,
                  WithThousands(found), WithThousands(site.load.rows.size())));
  if (found != site.load.rows.size())
    return Fail(ErrorCode::kDataLoss, "{} lost {} acknowledged rows", site.name,
                site.load.rows.size() - found);
  return {};
}

Result<std::string> Story::ShowPolicy() {
  Json row{{"unit_id", "unit-07"}, {"operator_note", "seen by operator 12"}};
  for (const LoadField& field : arriving_.fields) {
    if (field.is_text())
      row[field.name] = field.texts[0];
    else
      row[field.name] = field.numbers[0];
  }
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(work_ / "row.json", DumpJsonPretty(row)));
  SKERRY_RETURN_IF_ERROR(Run({"policy", "explain", "row.json", "--data", "south"}));
  SKERRY_ASSIGN_OR_RETURN(const Json answer,
                          AskSite(south_, "POST", "/v1/policy/explain", Json{{"row", row}}));
  std::size_t released = 0, dropped = 0;
  for (const Json& field : answer.at("fields")) {
    const bool leaves =
        field.at("column").is_string() && !field.at("column").get<std::string>().empty();
    (leaves ? released : dropped) += 1;
  }
  return fmt::format("{} columns leave, {} do not", released, dropped);
}

Result<bool> Story::NorthHasShippedAll() {
  SKERRY_ASSIGN_OR_RETURN(const Json facts, AskSite(north_, "GET", "/v1/outbox"));
  return facts.at("streams").empty() && facts.at("unsealed_primary_rows") == 0;
}

Result<std::string> Story::ReturnLink() {
  link_->SetUp();
  Say("  north's link is up again");
  SKERRY_RETURN_IF_ERROR(Run({"outbox", "seal", "--data", "north"}));
  SKERRY_RETURN_IF_ERROR(Run({"outbox", "sync", "--data", "north"}));
  SKERRY_RETURN_IF_ERROR(WaitFor("north's backlog at the hub", std::chrono::seconds(60),
                                 [this] { return NorthHasShippedAll(); }));
  SKERRY_ASSIGN_OR_RETURN(const Json facts, AskSite(north_, "GET", "/v1/site"));
  const auto resumed = facts.at("exchange").at("resumed_bytes").get<std::uint64_t>();
  Explain(fmt::format(
      "north has shipped everything: {} bytes went over the link after the cut; the cut upload "
      "went on behind the {} bytes that the hub had kept",
      WithThousands(link_->bytes_to_upstream() - bytes_before_cut_), WithThousands(resumed)));
  if (resumed < cut_offset_)
    return Fail(ErrorCode::kDataLoss, "the hub had {} bytes of the cut upload, {} were resumed",
                cut_offset_, resumed);
  SKERRY_RETURN_IF_ERROR(Run({"outbox", "seal", "--data", "south"}));
  SKERRY_RETURN_IF_ERROR(CarryToHub(south_));
  SKERRY_RETURN_IF_ERROR(CarryToSite(south_));
  return "north by link; south by stick";
}

Result<std::string> Story::Reconcile() {
  // A last status of each site, by its own road, with what the hub's receipts brought.
  SKERRY_RETURN_IF_ERROR(CarryToHub(south_));
  SKERRY_RETURN_IF_ERROR(Run({"status", "--hub", "hub"}));
  std::uint64_t received = 0;
  for (const SitePlace* site : {&north_, &south_}) {
    Json facts;
    SKERRY_RETURN_IF_ERROR(
        WaitFor(site->name + "'s reconciliation", std::chrono::seconds(20), [&]() -> Result<bool> {
          SKERRY_ASSIGN_OR_RETURN(
              facts, AskHub("GET", fmt::format("/v1/sites/{}/reconciliation", site->name)));
          return facts.at("terms").at("scored").get<std::uint64_t>() >= site->load.rows.size() &&
                 facts.at("balanced").get<bool>();
        }));
    const Json& terms = facts.at("terms");
    const auto scored = terms.at("scored").get<std::uint64_t>();
    Explain(fmt::format("{}: {}", site->name, TermsLine(terms)));
    if (scored != SumOfTerms(terms))
      return Fail(ErrorCode::kDataLoss, "{} does not add up", site->name);
    if (facts.at("unexplained_gaps") != 0)
      return Fail(ErrorCode::kDataLoss, "{} has unexplained gaps", site->name);
    const std::uint64_t more = scored - site->load.rows.size();
    Explain(fmt::format(
        "{}: {} rows acknowledged by 200; {} more were scored, at most {} were on their "
        "way at the kill",
        site->name, WithThousands(site->load.rows.size()), more, site->load.unanswered_rows));
    if (more > site->load.unanswered_rows)
      return Fail(ErrorCode::kDataLoss, "{} scored rows that nobody sent", site->name);
    for (const Json& stream : facts.at("streams"))
      Say(fmt::format("    {} {}: {} rows, received {}",
                      stream.at("epoch").get<std::string>().substr(0, 12),
                      stream.at("class").get<std::string>(), WithThousands(stream.at("rows")),
                      stream.at("received").dump()));
    received += terms.at("received").get<std::uint64_t>();
  }
  return fmt::format("exact; {} rows received", WithThousands(received));
}

}  // namespace skerry
