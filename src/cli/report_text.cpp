#include "cli/report_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "cli/terminal.h"
#include "train/task_report.h"

namespace skerry {
namespace {

constexpr std::size_t kValueColumns = 15;  // of a value before or after a rule
constexpr std::size_t kIdChars = 12;

// Text as it is, null as "-", anything else as JSON.
std::string Cell(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return "-";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

std::string Number(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer() || *found < 0) return Cell(object, key);
  return WithThousands(found->get<std::uint64_t>());
}

// "model milling:1", and of documents, which are named after their kind, the kind alone.
std::string PartLabel(const Json& part) {
  const std::string kind = Cell(part, "kind");
  const std::string name = Cell(part, "name");
  return kind == name ? kind : kind + " " + name;
}

// Of the detector; empty where there is none beside a predictor.
std::string AlarmsLine(const EvaluateReport& report) {
  std::string out;
  if (!report.alarms.figures.empty())
    out = fmt::format("anomaly alarms     {}\n", AlarmFiguresText(report.alarms));
  if (report.detector) out += fmt::format("{:<18} {}\n", "detector", *report.detector);
  if (report.asked_alarm_rate)
    out += fmt::format("{:<18} {:.4g} of {} rows\n", "asked for", *report.asked_alarm_rate,
                       report.task == ModelTask::kBinary ? "class 0's" : "the");
  return out;
}

std::string TaskEvaluationText(const EvaluateReport& report) {
  std::string out =
      fmt::format("{} rows, {}\n", WithThousands(report.rows), ModelTaskName(report.task));
  for (const auto& [name, figure] : report.figures.figures)
    out += fmt::format("{:<18} {:.4g} [{:.4g}, {:.4g}]\n", name, figure.value, figure.low,
                       figure.high);
  out += AlarmsLine(report);
  if (report.figures.confusion.empty()) return out + SlicesText(report.slices);
  std::vector<std::vector<std::string>> rows{{"class"}};
  rows[0].insert(rows[0].end(), report.classes.begin(), report.classes.end());
  for (std::size_t i = 0; i < report.classes.size(); ++i) {
    rows.push_back({report.classes[i]});
    for (const std::uint64_t count : report.figures.confusion[i])
      rows.back().push_back(WithThousands(count));
  }
  return out + "by class, and what was predicted\n" + RenderColumns(rows) +
         SlicesText(report.slices);
}

}  // namespace

std::string BundleText(const Json& report) {
  std::string out =
      fmt::format("bundle {}, {} {}\n", Cell(report, "bundle").substr(0, kIdChars),
                  Cell(report, "direction") == "to-hub" ? "to the hub, of site" : "to site",
                  Cell(report, "site"));
  const Json parts = report.value("parts", Json::array());
  for (const std::string result : {"written", "applied", "repeated"}) {
    std::string list;
    for (const Json& part : parts)
      if (Cell(part, "result") == result) list += (list.empty() ? "" : ", ") + PartLabel(part);
    if (!list.empty()) out += WrapText(fmt::format("  {:<9} ", result), list, 12);
    for (const Json& part : parts)
      if (Cell(part, "result") == result && part.contains("reason"))
        out += WrapText(std::string(12, ' '), PartLabel(part) + ": " + Cell(part, "reason"), 12);
  }
  for (const std::string result : {"missing", "refused"})
    for (const Json& part : parts)
      if (Cell(part, "result") == result)
        out += WrapText(fmt::format("  {:<9} ", result),
                        PartLabel(part) + ": " + Cell(part, "reason"), 12);
  return out;
}

namespace {

// "3 h 20 min", "12 s".
std::string DurationText(double seconds) {
  const auto whole = static_cast<std::uint64_t>(seconds);
  constexpr std::uint64_t kMinute = 60, kHour = 3'600, kDay = 86'400;
  if (whole >= 2 * kDay) return fmt::format("{} days", whole / kDay);
  if (whole >= kHour) return fmt::format("{} h {} min", whole / kHour, whole % kHour / kMinute);
  if (whole >= kMinute) return fmt::format("{} min {} s", whole / kMinute, whole % kMinute);
  return fmt::format("{} s", whole);
}

std::string RatesText(const Json& facts) {
  const Json rates = facts.value("rates", Json::object());
  std::string out =
      fmt::format("{:.1f} rows/s come in, {:.0f} bytes/s; {:.0f} bytes/s go out",
                  rates.value("rows_in_per_s", 0.0), rates.value("bytes_in_per_s", 0.0),
                  rates.value("bytes_out_per_s", 0.0));
  if (const Json drained = rates.value("drained_in_s", Json());
      drained.is_number() && drained.get<double>() > 0)
    out += "; drained in " + DurationText(drained.get<double>());
  if (const Json full = rates.value("full_in_s", Json()); full.is_number())
    out += "; full in " + DurationText(full.get<double>());
  const Json oldest = facts.value("oldest_pending", Json());
  return out +
         (oldest.is_string() ? "\noldest pending: " + oldest.get<std::string>() + "\n" : "\n");
}

}  // namespace

std::string BundleContentsText(const Json& description) {
  std::string out = fmt::format("bundle {}, {}, site {}, {} bytes\n", Cell(description, "bundle"),
                                Cell(description, "direction"), Cell(description, "site"),
                                Number(description, "bytes"));
  for (const Json& sentence : description.value("medium", Json::array()))
    out += WrapText("  ", sentence.get<std::string>(), 2);
  const Json parts = description.value("parts", Json::array());
  const bool read = description.contains("whole");
  std::vector<std::vector<std::string>> rows{{"kind", "name", "bytes"}};
  if (read) rows[0].emplace_back("state");
  std::string faults;
  for (const Json& part : parts) {
    rows.push_back({Cell(part, "kind"), Cell(part, "name"), Number(part, "bytes")});
    if (read) rows.back().push_back(Cell(part, "state"));
    for (const Json& fault : part.value("faults", Json::array()))
      faults += WrapText(fmt::format("  {}: ", PartLabel(part)), fault.get<std::string>(), 4);
  }
  return out + RenderColumns(rows) + faults;
}

std::string CustodyText(const Json& list) {
  std::vector<std::vector<std::string>> rows{
      {"bundle", "way", "site", "what", "by", "at", "clock", "parts", "bytes", "rows"}};
  for (const Json& bundle : list.value("bundles", Json::array()))
    for (const Json& entry : bundle.value("custody", Json::array())) {
      std::uint64_t records = 0;
      const Json by_class = entry.value("rows", Json::object());
      for (const Json& count : by_class) records += count.get<std::uint64_t>();
      rows.push_back({Cell(bundle, "bundle").substr(0, kIdChars), Cell(bundle, "direction"),
                      Cell(bundle, "site"), Cell(entry, "action"), Cell(entry, "by"),
                      Cell(entry, "at"), Cell(entry, "clock"), Number(entry, "parts"),
                      Number(entry, "bytes"), WithThousands(records)});
    }
  return rows.size() == 1 ? "no bundle yet\n" : RenderColumns(rows);
}

// What the hub had signed for and has lost, range by range.
std::string LostText(const Json& facts) {
  const Json lost = facts.value("lost", Json::array());
  if (lost.empty()) return "";
  std::vector<std::vector<std::string>> rows{{"lost by the hub", "class", "first seq", "last seq",
                                              "records", "primary rows", "hub knows"}};
  for (const Json& range : lost)
    rows.push_back({Cell(range, "epoch").substr(0, kIdChars), Cell(range, "class"),
                    Number(range, "first_seq"), Number(range, "last_seq"), Number(range, "rows"),
                    Number(range, "primary_rows"), range.value("told", false) ? "yes" : "not yet"});
  return RenderColumns(rows);
}

std::string OutboxText(const Json& facts) {
  const Json counters = facts.value("counters", Json::object());
  std::string out = fmt::format(
      "{} rows scored: {} not selected, {} withheld, {} shed, {} recalled, "
      "{} not captured\n",
      Number(counters, "scored"), Number(counters, "not_selected"), Number(counters, "withheld"),
      Number(counters, "shed"), Number(counters, "recalled"), Number(counters, "not_captured"));
  out += fmt::format("{} at the hub by its receipts, {} sealed and {} unsealed rows pending\n",
                     Number(facts, "receipted_primary_rows"), Number(facts, "sealed_primary_rows"),
                     Number(facts, "unsealed_primary_rows"));
  out += fmt::format("{} bytes of segments and {} of database, of {} allowed\n",
                     Number(facts, "segment_bytes"), Number(facts, "database_bytes"),
                     Number(facts, "quota_bytes"));
  if (facts.value("grace_segments", 0) > 0)
    out += fmt::format("{} bytes of {} segments that the hub has are kept while there is room\n",
                       Number(facts, "grace_bytes"), Number(facts, "grace_segments"));
  out += RatesText(facts);
  for (const Json& alarm : facts.value("alarms", Json::array()))
    out += "ALARM " + alarm.get<std::string>() + "\n";
  out += LostText(facts);
  const Json streams = facts.value("streams", Json::array());
  if (streams.empty()) return out;
  std::vector<std::vector<std::string>> rows{
      {"epoch", "class", "last seq", "unsealed", "segments", "rows", "bytes"}};
  for (const Json& stream : streams)
    rows.push_back({Cell(stream, "epoch").substr(0, kIdChars), Cell(stream, "class"),
                    Number(stream, "last_seq"), Number(stream, "unsealed_rows"),
                    Number(stream, "sealed_segments"), Number(stream, "sealed_rows"),
                    Number(stream, "sealed_bytes")});
  return out + RenderColumns(rows);
}

std::string SyncText(const Json& facts) {
  std::string out = fmt::format("{}: reached, {} shipments taken since the site's start\n",
                                Cell(facts, "hub_url"), Number(facts, "shipped"));
  const Json layers = facts.value("layers", Json::object());
  const auto bytes = [&](const char* key) { return layers.value(key, std::uint64_t{0}); };
  if (bytes("whole_bytes") + bytes("patch_bytes") + bytes("held_bytes") == 0) return out;
  out += fmt::format(
      "layers of packages since the site's start: {} bytes came whole, {} as patches that make "
      "{}, {} were here\n",
      Number(layers, "whole_bytes"), Number(layers, "patch_bytes"), Number(layers, "patched_bytes"),
      Number(layers, "held_bytes"));
  if (bytes("refused_patches") > 0)
    out += fmt::format("{} patches were refused, the last since {}\n",
                       Number(layers, "refused_patches"), Cell(layers, "refusal"));
  return out;
}

std::string ExplanationText(const Json& explanation) {
  std::vector<std::vector<std::string>> rows{{"field", "before", "after", "rule: action"}};
  for (const Json& field : explanation.value("fields", Json::array())) {
    const bool leaves = !Cell(field, "column").empty();
    rows.push_back({Cell(field, "field"), Shorten(Cell(field, "before"), kValueColumns),
                    leaves ? Shorten(Cell(field, "after"), kValueColumns) : "(stays here)",
                    Cell(field, "rule") + ": " + Cell(field, "action")});
  }
  return fmt::format("policy {} on {}\n", Cell(explanation, "policy"), Cell(explanation, "model")) +
         RenderColumns(rows);
}

std::string PolicyText(const Json& facts) {
  const auto name = [](const Json& ref) {
    return ref.is_null() ? std::string("none") : Cell(ref, "name") + ":" + Cell(ref, "version");
  };
  std::string out = fmt::format("in force: {}\nlocal policy: {}\n", name(facts.at("in_force")),
                                facts.at("local").is_null() ? "none" : Cell(facts, "local"));
  for (const Json& warning : facts.value("warnings", Json::array()))
    out += "  " + warning.get<std::string>() + "\n";
  const Json& waiting = facts.at("waiting");
  if (waiting.is_null()) return out + "nothing waits for approval\n";
  out += fmt::format("{}: {}\n", waiting.value("refused", false) ? "refused" : "waits for approval",
                     name(waiting));
  for (const Json& widening : waiting.value("widenings", Json::array()))
    out += "  " + widening.get<std::string>() + "\n";
  return out;
}

std::string ReplayText(const Json& facts) {
  std::string out = fmt::format("{} rows of the journal, {} of other models left out\n",
                                Number(facts, "rows"), Number(facts, "skipped"));
  const auto add = [&](const char* what, const char* last, const char* last_title) {
    std::vector<std::vector<std::string>> rows{{what, "this policy", "in force", last_title}};
    for (const auto& [key, counts] : facts.at(what).items())
      rows.push_back({key, Number(counts, "asked"), Number(counts, "in_force"),
                      std::string_view(last) == "was" ? Number(counts, last) : Cell(counts, last)});
    if (rows.size() > 1) out += RenderColumns(rows);
  };
  add("dispositions", "was", "what became of them");
  add("classes", "", "");
  add("withheld", "", "");
  add("columns", "rule", "rule");
  return out;
}

std::string ReconciliationText(const std::vector<Json>& sites) {
  static constexpr std::array kTerms{"scored", "received", "withheld",     "not_selected",
                                     "shed",   "recalled", "not_captured", "quarantined",
                                     "lost",   "pending"};
  std::vector<std::vector<std::string>> rows(sites.size() + 1);
  rows[0].emplace_back("site");
  for (std::size_t i = 0; i < sites.size(); ++i) rows[i + 1].push_back(Cell(sites[i], "site"));
  std::string zeros;
  for (const char* term : kTerms) {
    const bool shown = std::ranges::any_of(
        sites, [&](const Json& site) { return Cell(site.at("terms"), term) != "0"; });
    if (!shown) zeros += std::string(zeros.empty() ? "" : ", ") + term;
    if (!shown) continue;
    rows[0].emplace_back(term);
    for (std::size_t i = 0; i < sites.size(); ++i)
      rows[i + 1].push_back(Number(sites[i].at("terms"), term));
  }
  for (const char* head : {"duplicates", "gaps", "adds up"}) rows[0].emplace_back(head);
  for (std::size_t i = 0; i < sites.size(); ++i) {
    rows[i + 1].push_back(Number(sites[i], "duplicates_ignored"));
    rows[i + 1].push_back(Number(sites[i], "unexplained_gaps"));
    rows[i + 1].push_back(
        sites[i].value("balanced", false) ? "yes" : "NO: " + Cell(sites[i], "difference"));
  }
  std::string out = RenderColumns(rows);
  if (!sites.empty() && !zeros.empty()) out += WrapText("0 at every site: ", zeros, 2);
  return out;
}

std::string LineageText(const Json& answer) {
  std::string text = fmt::format("{} of {}: {} {} in {}, scored by {}\n", answer.value("row", ""),
                                 answer.value("site", ""), answer.value("class", ""),
                                 answer.value("seq", std::uint64_t{0}), answer.value("file", ""),
                                 answer.value("model", ""));
  for (const Json& model : answer.value("lineage", Json::array())) {
    if (model.contains("model"))
      text += fmt::format("{} {}\n", model.value("model", ""), model.value("digest", ""));
    if (model.contains("missing")) text += fmt::format("  {}\n", model.value("missing", ""));
    for (const Json& source : model.value("made_of", Json::array()))
      text +=
          fmt::format("  made of {} {}\n", source.value("name", ""), source.value("digest", ""));
    for (const Json& file : model.value("segments", Json::array()))
      text += fmt::format("  {} labelled rows of {}\n", file.value("rows", std::uint64_t{0}),
                          file.value("file", ""));
  }
  return text;
}

std::string EvaluationText(const EvaluateReport& report) {
  if (report.task != ModelTask::kBinary) return TaskEvaluationText(report);
  std::string out = fmt::format("{} rows, {} of them positive\n", WithThousands(report.rows),
                                WithThousands(report.positives));
  const ModelScores& judged = report.scores;
  const std::pair<const char*, const Interval*> scores[] = {
      {"AUC", &judged.auc}, {"average precision", &judged.average_precision}, {"F1", &judged.f1}};
  for (const auto& [name, score] : scores)
    out += fmt::format("{:<18} {:.3f} [{:.3f}, {:.3f}]\n", name, score->value, score->low,
                       score->high);
  const Confusion& c = judged.confusion;
  out += fmt::format(
      "at threshold {:.4f}: {} found, {} false alarms, {} missed, {} rightly quiet\n",
      report.threshold, c.true_positive, c.false_positive, c.false_negative, c.true_negative);
  if (report.threshold_goal)
    out += fmt::format("{:<18} {}\n", "chosen for", GoalWords(*report.threshold_goal));
  out += fmt::format("{}\n{}\n", AtThresholdText(judged),
                     ProbabilityFiguresText(report.probabilities));
  return out + AlarmsLine(report) + SlicesText(report.slices);
}

std::string ComparisonText(const CompareReport& report) {
  const Interval& gain = report.gain;
  const char* verdict = gain.low > 0    ? "the second is better"
                        : gain.high < 0 ? "the first is better"
                                        : "these rows do not tell which is better";
  return fmt::format(
      "{} rows, {} of them positive\naverage precision {:.4f} and {:.4f}\ndifference {:+.4f} "
      "[{:+.4f}, {:+.4f}]: {}\n",
      WithThousands(report.rows), WithThousands(report.positives), report.champion,
      report.challenger, gain.value, gain.low, gain.high, verdict);
}

}  // namespace skerry
