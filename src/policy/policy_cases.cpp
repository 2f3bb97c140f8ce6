#include "policy/policy_cases.h"

#include <algorithm>
#include <cmath>

#include "base/limits.h"
#include "policy/yaml_reader.h"

namespace skerry {
namespace {

constexpr std::string_view kExample =
    "{row: {type: L, torque_nm: 40}, expect: {out: {in_type: L}}}, or expect: {withheld: "
    "legal-hold}";
constexpr std::string_view kAnything = "*";

Status ReadScored(const YamlNode& node, PolicyCase& made) {
  SKERRY_RETURN_IF_ERROR(node.ForbidOthers({"prediction", "score", "anomaly_score"}));
  for (const auto& [key, member] :
       {std::pair("prediction", &PolicyCase::prediction), std::pair("score", &PolicyCase::score),
        std::pair("anomaly_score", &PolicyCase::anomaly_score)})
    if (const auto value = node.Find(key)) {
      SKERRY_ASSIGN_OR_RETURN(made.*member, value->Number(-1e12, 1e12));
    }
  if (made.prediction && (*made.prediction < 0 || *made.prediction > 255 ||
                          *made.prediction != std::floor(*made.prediction)))
    return node.Find("prediction")->Fail("a prediction is a class, from 0 to 255; write 0 or 1");
  return {};
}

Status ReadExpect(const YamlNode& node, PolicyCase& made) {
  SKERRY_RETURN_IF_ERROR(node.ForbidOthers({"withheld", "classes", "out"}));
  if (const auto rule = node.Find("withheld")) {
    SKERRY_ASSIGN_OR_RETURN(made.withheld, rule->RuleName());
    for (const char* other : {"classes", "out"})
      if (const auto found = node.Find(other))
        return found->Fail("nothing leaves of a row that is withheld; take '{}' out", other);
    return {};
  }
  if (const auto classes = node.Find("classes")) {
    SKERRY_ASSIGN_OR_RETURN(const std::vector<YamlNode> items, classes->List("[sample, anomaly]"));
    made.classes.emplace();
    for (const YamlNode& item : items) {
      SKERRY_ASSIGN_OR_RETURN(const std::string name, item.Text("anomaly, sample or insight"));
      const auto cls = ParseRecordClass(name);
      if (!cls || (*cls != RecordClass::kAnomaly && *cls != RecordClass::kSample &&
                   *cls != RecordClass::kInsight))
        return item.Fail("'{}' is no class of rows; write anomaly, sample or insight", name);
      made.classes->push_back(*cls);
    }
  }
  if (const auto out = node.Find("out")) {
    SKERRY_ASSIGN_OR_RETURN(const auto columns, out->Members("{in_type: L, in_torque_nm: null}"));
    for (const auto& [column, value] : columns) {
      if (!value.is_scalar() && !value.value().is_null())
        return value.Fail("a column holds a number or a text; write one, null for nothing, or '*'");
      made.out[column] = DumpJson(value.value());
    }
  }
  if (!made.classes && made.out.empty())
    return node.Fail(
        "nothing is expected here; write {{withheld: RULE}}, {{classes: [sample]}} or "
        "{{out: {{COLUMN: VALUE}}}}");
  return {};
}

Result<PolicyCase> ReadCase(const YamlNode& node, std::size_t number) {
  const std::string hint = fmt::format("write for example {}", kExample);
  SKERRY_ASSIGN_OR_RETURN(const YamlNode row, node.Member("row", hint));
  SKERRY_RETURN_IF_ERROR(node.ForbidOthers({"name", "row", "scored", "expect"}));
  PolicyCase made;
  made.name = fmt::format("case {}", number);
  made.where = node.where();
  if (const auto name = node.Find("name")) {
    SKERRY_ASSIGN_OR_RETURN(made.name, name->RuleName());
  }
  SKERRY_ASSIGN_OR_RETURN(const auto fields, row.Members("{type: L, torque_nm: 40}"));
  for (const auto& [field, value] : fields)
    if (!value.is_scalar() && !value.value().is_null())
      return value.Fail("a field holds a number or a text; write one, or null for nothing");
  made.row = fields.empty() ? "{}" : DumpJson(row.value());
  if (const auto scored = node.Find("scored")) SKERRY_RETURN_IF_ERROR(ReadScored(*scored, made));
  SKERRY_ASSIGN_OR_RETURN(const YamlNode expect, node.Member("expect", hint));
  SKERRY_RETURN_IF_ERROR(ReadExpect(expect, made));
  return made;
}

Json ValueOf(const Column& column) {
  if (column.IsNull(0)) return nullptr;
  switch (column.type) {
    case ColumnType::kText: return column.texts[0];
    case ColumnType::kDouble: return column.doubles[0];
    case ColumnType::kBool: return column.ints[0] != 0;
    case ColumnType::kTimestamp: return FormatUtc(column.ints[0]);
    case ColumnType::kInt64: return column.ints[0];
  }
  return nullptr;
}

bool Agree(const Json& found, const Json& expected) {
  if (expected == kAnything) return !found.is_null();
  if (!found.is_number() || !expected.is_number()) return found == expected;
  const double value = expected.get<double>();
  return std::abs(found.get<double>() - value) <= 1e-9 * std::max(1.0, std::abs(value));
}

std::string ClassNames(const std::vector<RecordClass>& classes) {
  std::string names;
  for (const RecordClass cls : classes)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", RecordClassName(cls));
  return names.empty() ? "none" : names;
}

void CheckColumns(const ReleaseResult& result, const PolicyCase& expected,
                  std::vector<std::string>& wrong) {
  for (const auto& [name, text] : expected.out) {
    const Json value = ParseJson(text).value_or(Json());
    const Column* column =
        result.records.empty() ? nullptr : result.records.front().table.Find(name);
    const Json found = column == nullptr ? Json() : ValueOf(*column);
    if (Agree(found, value)) continue;
    if (result.records.empty())
      wrong.push_back(fmt::format("{}: no class takes the row, so nothing leaves", name));
    else if (column == nullptr)
      wrong.push_back(fmt::format("{}: there is no such column, {} was expected", name, text));
    else
      wrong.push_back(fmt::format("{}: {} leaves, {} was expected", name, DumpJson(found), text));
  }
}

}  // namespace

Result<std::vector<PolicyCase>> ReadCases(const YamlNode& root) {
  std::vector<PolicyCase> cases;
  const auto list = root.Find("tests");
  if (!list) return cases;
  SKERRY_ASSIGN_OR_RETURN(const std::vector<YamlNode> items,
                          list->List(fmt::format("[{}]", kExample)));
  if (items.size() > limits::kPolicyRules)
    return list->FailAs(ErrorCode::kTooLarge, "{} cases; the limit is {}", items.size(),
                        limits::kPolicyRules);
  for (const YamlNode& item : items) {
    SKERRY_ASSIGN_OR_RETURN(PolicyCase made, ReadCase(item, cases.size() + 1));
    cases.push_back(std::move(made));
  }
  return cases;
}

CombinedPolicy WithWholeRates(CombinedPolicy policy) {
  for (std::optional<double>* rate : {&policy.classes.sample_rate, &policy.classes.insight_rate})
    if (*rate && **rate > 0) *rate = 1;
  return policy;
}

std::vector<std::string> CheckCase(const CompiledPolicy& policy, const PolicyCase& expected,
                                   const RowBatch& batch) {
  const ReleaseResult result = policy.Release(batch);
  std::vector<std::string> wrong;
  const bool withheld = !result.withheld.empty();
  const auto why =
      withheld ? result.withheld.begin()->first : std::pair<std::string, std::string>();
  if (expected.withheld) {
    if (!withheld)
      wrong.push_back(fmt::format("the row is not withheld, {} was expected", *expected.withheld));
    else if (why.first != *expected.withheld)
      wrong.push_back(fmt::format("the row is withheld by {} ({}), {} was expected", why.first,
                                  why.second, *expected.withheld));
    return wrong;
  }
  if (withheld) {
    wrong.push_back(fmt::format("the row is withheld by {} ({})", why.first, why.second));
    return wrong;
  }
  if (expected.classes) {
    std::vector<RecordClass> found;
    for (const ReleasedRecords& records : result.records) found.push_back(records.cls);
    std::vector<RecordClass> wanted = *expected.classes;
    std::sort(found.begin(), found.end());
    std::sort(wanted.begin(), wanted.end());
    if (found != wanted)
      wrong.push_back(fmt::format("classes {} take the row, {} were expected", ClassNames(found),
                                  ClassNames(wanted)));
  }
  CheckColumns(result, expected, wrong);
  return wrong;
}

}  // namespace skerry
