// The story's end: drift, labels, a challenger, the gate, the roll-out.
#include <algorithm>
#include <map>

#include "base/random.h"
#include "cli/control_client.h"
#include "cli/demo/story.h"
#include "cli/terminal.h"
#include "http/client.h"

namespace skerry {
namespace {

constexpr double kQuietPsi = 0.1, kAlarmPsi = 0.2;
constexpr std::size_t kWantedLabels = 1'500;
constexpr double kRollOutRequestsPerSecond = 500;
constexpr double kMaxCleanLoss = 0.05;

}  // namespace

// The fields of the newest window that has enough rows to be judged.
Result<Json> Story::NewestDrift(const std::string& site) {
  SKERRY_ASSIGN_OR_RETURN(const Json drift, AskHub("GET", "/v1/drift?site=" + site));
  const Json* newest = nullptr;
  for (const Json& window : drift.at("windows"))
    if (window.at("judged").get<bool>() &&
        (newest == nullptr || window.at("last_event_us") >= newest->at("last_event_us")))
      newest = &window;
  if (newest == nullptr)
    return Fail(ErrorCode::kInternal, "no summary of {} has reached the hub", site);
  Json features = Json::array();
  for (const Json& field : newest->at("fields"))
    if (field.at("kind") == "feature") features.push_back(field);
  return features;
}

Status Story::CheckDrift(const std::string& site, const Json& features) {
  bool alarmed = false;
  for (const Json& feature : features) {
    const auto name = feature.at("field").get<std::string>();
    const double psi = feature.at("psi").get<double>();
    const bool expected = site == "south" && name == drift_field_;
    if (expected) alarmed = psi >= kAlarmPsi;
    if (!expected && psi >= kQuietPsi && !own_table_)
      return Fail(ErrorCode::kInternal, "{} of {} drifts ({:.3f}), which it does not", name, site,
                  psi);
  }
  if (site == "south" && !alarmed && !own_table_)
    return Fail(ErrorCode::kInternal, "the drift of {} at south was not seen", drift_field_);
  return {};
}

// A line a feature, a column a site.
void Story::PrintDrift(const std::map<std::string, Json>& by_site) const {
  std::vector<std::vector<std::string>> table{{"   PSI of"}};
  for (const auto& [site, features] : by_site) {
    table[0].push_back(site);
    for (std::size_t i = 0; i < features.size(); ++i) {
      if (table.size() < i + 2) table.push_back({"   " + features[i].value("field", "")});
      const double psi = features[i].at("psi").get<double>();
      table[i + 1].push_back(fmt::format("{:.3f}{}", psi, psi >= kAlarmPsi ? " ALARM" : ""));
    }
  }
  Say(RenderColumns(table));
}

Result<std::string> Story::ShowDrift() {
  SKERRY_ASSIGN_OR_RETURN(const ControlClient control, ControlClient::ForData(work_ / "hub"));
  Say(
      fmt::format("  $ curl --cacert hub/ca/ca.pem -H \"Authorization: Bearer $(cat "
                  "hub/admin.token)\" \\\n      '{}/v1/drift?site=south'",
                  control.url()));
  std::map<std::string, Json> by_site;
  for (const SitePlace* site : {&north_, &south_}) {
    SKERRY_ASSIGN_OR_RETURN(by_site[site->name], NewestDrift(site->name));
  }
  PrintDrift(by_site);
  std::string figure;
  for (const auto& [site, features] : by_site) {
    SKERRY_RETURN_IF_ERROR(CheckDrift(site, features));
    for (const Json& feature : features)
      if (site == "south" && feature.at("field") == drift_field_)
        figure =
            fmt::format("PSI of {} at south {:.2f}", drift_field_, feature.at("psi").get<double>());
  }
  return figure;
}

Status Story::WriteLabels(const std::vector<std::pair<std::string, std::string>>& labels,
                          std::string_view set) {
  std::string csv = "row,label\n";
  for (const auto& [row, label] : labels) csv += fmt::format("{},{}\n", row, label);
  const std::string file = fmt::format("labels-{}.csv", set);
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(work_ / file, csv));
  SKERRY_RETURN_IF_ERROR(Run({"label", file, "--set", std::string(set), "--hub", "hub"}));
  return {};
}

// A person labels what the hub shows: rows of the sample class from the drifted half. Each source
// row is labelled once, and none that is held out for the gate.
Result<std::string> Story::LabelRows() {
  std::map<std::string, std::uint32_t> open;  // row id -> source row
  for (const AcknowledgedRow& row : south_.load.rows)
    if (row.drifted && !row.injected && row.source_row < split_.labelling.size())
      open[row.id.ToString()] = row.source_row;
  std::vector<std::string> ids;
  for (const auto& [id, source] : open) ids.push_back(id);
  std::map<std::uint32_t, std::string> chosen;  // source row -> row id
  for (std::size_t from = 0; from < ids.size(); from += kLookupRows) {
    const std::vector<std::string> part(
        ids.begin() + static_cast<std::ptrdiff_t>(from),
        ids.begin() + static_cast<std::ptrdiff_t>(std::min(ids.size(), from + kLookupRows)));
    SKERRY_ASSIGN_OR_RETURN(const Json answer,
                            AskHub("POST", "/v1/sites/south/rows/lookup", Json{{"rows", part}}));
    for (const Json& record : answer.at("found"))
      if (record.at("class") == "sample") {
        const auto id = record.at("row").get<std::string>();
        chosen.emplace(open.at(id), id);
      }
  }
  std::vector<std::pair<std::string, std::string>> labels;
  for (const auto& [source, id] : chosen)
    if (labels.size() < kWantedLabels) labels.emplace_back(id, arriving_labels_[source]);
  if (labels.size() < kWantedLabels && !own_table_)
    return Fail(ErrorCode::kInternal, "only {} of the wanted {} source rows reached the hub",
                labels.size(), kWantedLabels);
  SKERRY_RETURN_IF_ERROR(WriteLabels(labels, "default"));
  // The same rows with each other's labels, for the challenger that has to be refused.
  SeededRandom random(options_.seed);
  for (std::size_t i = labels.size(); i > 1; --i)
    std::swap(labels[i - 1].second, labels[random.NextBelow(i)].second);
  SKERRY_RETURN_IF_ERROR(WriteLabels(labels, "permuted"));
  return fmt::format("{} source rows of the drifted half", WithThousands(labels.size()));
}

Result<Json> Story::Retrain(std::string_view labels, std::string_view version) {
  SKERRY_ASSIGN_OR_RETURN(
      const std::string out,
      Run({"retrain", "milling:1", "--new-version", std::string(version), "--labels",
           std::string(labels), "--base", "train.csv", "--holdout", "clean=holdout-clean.csv",
           "--holdout", "drifted=holdout-drifted.csv", "--gain-on", "drifted", "--max-loss",
           fmt::format("clean={}", kMaxCleanLoss), "--hub", "hub"}));
  constexpr std::string_view kHead = "run ";  // "run <id>: <verdict>"
  const std::string run = out.substr(kHead.size(), out.find(':') - kHead.size());
  return AskHub("GET", "/v1/runs/" + run);
}

Result<std::string> Story::RetrainAndGate() {
  SKERRY_ASSIGN_OR_RETURN(const Json good, Retrain("default", "2"));
  SKERRY_ASSIGN_OR_RETURN(const Json bad, Retrain("permuted", "2-permuted"));
  const bool good_passed = good.at("report").at("gate").at("passed").get<bool>();
  const bool bad_passed = bad.at("report").at("gate").at("passed").get<bool>();
  if (bad_passed)
    return Fail(ErrorCode::kInternal, "the challenger with permuted labels was not refused");
  if (!good_passed && !own_table_)
    return Fail(ErrorCode::kInternal, "the retrained challenger was refused");
  const Json& drifted = good.at("report").at("gate").at("holdouts").at("drifted");
  const Json& clean = good.at("report").at("gate").at("holdouts").at("clean");
  return fmt::format("AP drifted {:.3f} -> {:.3f}, clean {:+.3f}: {}",
                     drifted.at("champion_average_precision").get<double>(),
                     drifted.at("challenger_average_precision").get<double>(),
                     clean.at("gain").at("value").get<double>(),
                     good_passed ? "passed" : "refused");
}

Result<bool> Story::Runs(const SitePlace& site, std::string_view version) {
  HttpClient client({});
  SKERRY_ASSIGN_OR_RETURN(const HttpReply reply,
                          client.Send({.method = "GET", .url = site.Url() + "/v2/models/milling"}));
  SKERRY_ASSIGN_OR_RETURN(const Json model, ParseJson(reply.body));
  const Json versions = model.value("versions", Json::array());
  return std::ranges::find(versions, Json(std::string(version))) != versions.end();
}

// Version 2 goes to north by link and to south on a stick, both under load.
Result<std::string> Story::RollOut() {
  SKERRY_ASSIGN_OR_RETURN(const Json runs, AskHub("GET", "/v1/models"));
  if (runs.dump().find("\"2\"") == std::string::npos) {
    Explain("the challenger was refused, so version 1 stays");
    return "version 1 stays";
  }
  LoadOptions north_options = LoadOptionsFor(north_), south_options = LoadOptionsFor(south_);
  for (LoadOptions* options : {&north_options, &south_options}) {
    options->requests = 0;
    options->requests_per_second = kRollOutRequestsPerSecond;
  }
  LoadGenerator north(north_options, arriving_), south(south_options, arriving_);
  SKERRY_RETURN_IF_ERROR(Run({"deploy", "milling:2", "--fallback", "milling:1", "--policy",
                              "milling:1", "--sites", "north,south", "--hub", "hub"}));
  SKERRY_RETURN_IF_ERROR(CarryToSite(south_));
  for (const SitePlace* site : {&north_, &south_})
    SKERRY_RETURN_IF_ERROR(WaitFor(site->name + " on version 2", std::chrono::seconds(30),
                                   [&] { return Runs(*site, "2"); }));
  north.WaitAnswered(north.answered() + 500);
  south.WaitAnswered(south.answered() + 500);
  north.Stop();
  south.Stop();
  std::uint64_t answers = 0;
  for (const LoadReport& load : {north.Wait(), south.Wait()}) {
    for (const auto& [status, count] : load.statuses) {
      if (status != 200)
        return Fail(ErrorCode::kInternal, "{} answers were {} during the swap: {}", count, status,
                    load.first_problem);
      answers += count;
    }
    if (load.unanswered_requests > 0)
      return Fail(ErrorCode::kInternal, "{} requests had no answer during the swap",
                  load.unanswered_requests);
  }
  SKERRY_RETURN_IF_ERROR(BringStatusHome());
  return fmt::format("both on milling:2; {} answers during it, all 200", WithThousands(answers));
}

// What the hub shows at the end is true: the courier's last trip home brings south's rows and its
// word that it runs version 2.
Status Story::BringStatusHome() {
  SKERRY_RETURN_IF_ERROR(Run({"outbox", "seal", "--data", "south"}));
  SKERRY_RETURN_IF_ERROR(CarryToHub(south_));
  for (const SitePlace* site : {&north_, &south_})
    SKERRY_RETURN_IF_ERROR(WaitFor(
        "the hub's knowledge of " + site->name, std::chrono::seconds(20), [&]() -> Result<bool> {
          SKERRY_ASSIGN_OR_RETURN(const Json facts, AskHub("GET", "/v1/sites/" + site->name));
          SKERRY_ASSIGN_OR_RETURN(
              const Json sum,
              AskHub("GET", fmt::format("/v1/sites/{}/reconciliation", site->name)));
          return facts.at("status").value("active_model", "") == "milling:2" &&
                 sum.at("balanced").get<bool>();
        }));
  SKERRY_RETURN_IF_ERROR(Run({"status", "--hub", "hub"}));
  return {};
}

}  // namespace skerry
