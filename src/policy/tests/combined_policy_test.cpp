#include "policy/combined_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "policy/compiled_policy.h"
#include "policy/tests/milling_rows.h"
#include "policy/transform.h"

namespace skerry {
namespace {

using namespace testing_rows;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string kHead = "skerry: policy/1\nname: milling\nversion: 1\n";
const InstanceId kInstance = *InstanceId::Parse("0123456789abcdef0123456789abcdef");

PolicyDocument Document(const std::string& body) {
  auto document = PolicyDocument::Parse(kHead + body);
  EXPECT_TRUE(document) << document.error().ToString() << "\n" << body;
  return *document;
}
CombinedPolicy One(const std::string& body) { return Combine(Document(body), std::nullopt); }
std::shared_ptr<const CompiledPolicy> Compiled(CombinedPolicy policy) {
  auto compiled =
      CompiledPolicy::Compile(std::move(policy), MillingPackage()->schema, TestHmacKey());
  EXPECT_TRUE(compiled) << compiled.error().ToString();
  return *compiled;
}
std::shared_ptr<const CompiledPolicy> Both(const std::string& hub, const std::string& local) {
  return Compiled(Combine(Document(hub), Document(local)));
}
FieldRule Rule(const std::string& text) {
  return Document("fields: {a: " + text + "}\n").fields.at("a");
}

// Whether what `strict` leaves can be computed from what `lax` does, tried on values.
bool IsComputable(const std::vector<std::pair<std::string, std::string>>& lax_and_strict) {
  std::map<std::string, std::string> known;
  return std::all_of(lax_and_strict.begin(), lax_and_strict.end(), [&](const auto& pair) {
    return known.emplace(pair.first, pair.second).first->second == pair.second;
  });
}

template <typename Value>
void ExpectOrderIsComputability(const std::vector<std::string>& rules,
                                const std::vector<Value>& values,
                                std::string (*leaves)(const FieldRule&, const Value&)) {
  for (const std::string& strict_text : rules)
    for (const std::string& lax_text : rules) {
      const FieldRule strict = Rule(strict_text);
      const FieldRule lax = Rule(lax_text);
      std::vector<std::pair<std::string, std::string>> pairs;
      for (const Value& value : values)
        pairs.emplace_back(leaves(lax, value), leaves(strict, value));
      EXPECT_EQ(AtMost(strict, lax), IsComputable(pairs)) << strict_text << " of " << lax_text;
    }
}

TEST(AtMost, OfNumbersMeansComputable) {
  std::vector<double> values;
  for (int i = -1200; i <= 1200; ++i) values.push_back(Steps(0.05, i));
  ExpectOrderIsComputability<double>(
      {"keep", "drop", "{action: bucket, width: 0.1}", "{action: bucket, width: 0.3}",
       "{action: bucket, width: 10}", "{action: bucket, width: 15}", "{action: bucket, width: 20}",
       "{action: round, to: 0.1}", "{action: round, to: 1}", "{action: round, to: 2}",
       "{action: round, to: 3}", "{action: round, to: 10}"},
      values, [](const FieldRule& rule, const double& value) {
        return rule.action == FieldAction::kDrop ? std::string()
                                                 : NumberText(TransformNumber(rule, value));
      });
}

TEST(AtMost, OfTextsMeansComputable) {
  ExpectOrderIsComputability<std::string>(
      {"keep", "drop", "{action: mask, keep_last: 0}", "{action: mask, keep_last: 2}",
       "{action: mask, keep_last: 4}", "{action: allow, list: [A]}",
       "{action: allow, list: [A, B]}", "{action: allow, list: [B, C]}",
       "{action: keep, detect: [email]}", "{action: keep, detect: [email, card]}"},
      {"", "A", "B", "C", "x42", "y42", "longer text 42", "other text 42", "1234567",
       "jo@example.org", "ann@example.org", "4111 1111 1111 1111"},
      [](const FieldRule& rule, const std::string& value) {
        if (rule.action == FieldAction::kDrop || value.empty()) return std::string();  // absent
        return TransformText(rule, value).value_or("");
      });
}

TEST(AtMost, OfPseudonymsTimesAndBlocks) {
  EXPECT_TRUE(AtMost(Rule("hash"), Rule("keep")));
  EXPECT_FALSE(AtMost(Rule("keep"), Rule("hash")));
  EXPECT_FALSE(AtMost(Rule("hash"), Rule("{action: mask, keep_last: 2}")));
  EXPECT_FALSE(AtMost(Rule("{action: allow, list: [A]}"), Rule("hash")));
  const auto time = [](const std::string& unit) {
    return Document("derived: {event_time: {action: truncate_time, to: " + unit + "}}\n")
        .derived.event_time;
  };
  EXPECT_TRUE(AtMost(time("day"), time("hour")));
  EXPECT_FALSE(AtMost(time("second"), time("minute")));
  EXPECT_FALSE(AtMost(Rule("{action: keep, detect: [iban]}"),
                      Rule("{action: keep, detect: [iban], block: withhold}")));
}

TEST(Combine, TheStricterRuleHoldsFieldByField) {
  const CombinedPolicy both = Combine(
      Document("fields:\n  torque_nm: keep\n  tool_wear_min: {action: bucket, width: 10, rule: h}\n"
               "  type: {action: allow, list: [L, M]}\n  unit_id: hash\n  rotational_speed_rpm: "
               "keep\n  operator_note: {action: mask, keep_last: 2, rule: short}\n"
               "derived: {score: {action: round, to: 0.1}, prediction: keep, status: keep}\n"
               "classes: {sample: {rate: 0.5}, insight: {rate: 0.1}, summary: {every_rows: 100, "
               "min_group: 5}, decision: {}}\n"),
      Document(
          "fields:\n  torque_nm: {action: bucket, width: 5, rule: in-fives}\n"
          "  tool_wear_min: {action: bucket, width: 5}\n  type: {action: allow, list: [M, H]}\n"
          "  unit_id: keep\n  air_temperature_k: keep\n  operator_note: {action: mask, "
          "keep_last: 4, rule: long}\n"
          "derived: {score: {action: round, to: 0.3}, prediction: keep}\n"
          "classes: {sample: {rate: 0.2}, summary: {every_rows: 50, min_group: 10}, "
          "decision: {}, anomaly: {when: anomaly}}\n"));
  EXPECT_EQ(both.fields.at("torque_nm").rule, "local: in-fives");
  EXPECT_EQ(both.fields.at("tool_wear_min").rule, "h");
  EXPECT_EQ(both.fields.at("type").allowed, std::vector<std::string>{"M"});
  EXPECT_EQ(both.fields.at("unit_id").action, FieldAction::kHash);
  EXPECT_EQ(both.fields.at("rotational_speed_rpm").action, FieldAction::kDrop);
  EXPECT_FALSE(both.fields.contains("air_temperature_k"));
  EXPECT_EQ(both.fields.at("operator_note").action, FieldAction::kDrop);
  EXPECT_THAT(both.notes, ElementsAre(AllOf(HasSubstr("operator_note is dropped"),
                                            HasSubstr("mask(2) (the hub's rule short)"),
                                            HasSubstr("mask(4) (the local rule long)"))));
  EXPECT_EQ(both.derived.score.step, 0.3);
  EXPECT_EQ(both.derived.status.action, FieldAction::kDrop);
  EXPECT_EQ(both.classes.sample_rate, 0.2);
  EXPECT_FALSE(both.classes.insight_rate);
  EXPECT_FALSE(both.classes.anomaly);
  EXPECT_EQ(both.classes.summary->every_rows, 100U);
  EXPECT_EQ(both.classes.summary->min_group, 10U);
  EXPECT_NE(both.digest, both.hub.digest);
  EXPECT_EQ(One("fields: {a: keep}\n").digest, Document("fields: {a: keep}\n").digest);
}

TEST(Combine, AConditionSeesNoMoreThanLeaves) {
  const std::string tail = "classes: {sample: {rate: 1}}\n";
  const auto batch = MillingRows(MillingPackage(), 4, 1, 1, kInstance);
  const std::vector<float> wear = {49, 52, 58, 61};
  for (std::size_t row = 0; row < 4; ++row) {
    batch->features[row * 6] = row == 3 ? 1.0F : 2.0F;  // L, else M
    batch->features[row * 6 + 5] = wear[row];
    batch->out_of_range[row] = {};
    batch->anomaly_score[row] = 0;
  }
  const auto withheld = [&](const std::string& hub, const std::string& local) {
    std::vector<int> rows;
    for (const RowDisposition disposition :
         Both(hub + tail, local + tail)->Release(*batch).disposition)
      rows.push_back(disposition == RowDisposition::kWithheld ? 1 : 0);
    return rows;
  };
  const std::string hold = "withhold: [{when: \"tool_wear_min >= 57\", rule: worn}]\n";
  EXPECT_THAT(withheld("fields: {tool_wear_min: keep}\n" + hold, "fields: {tool_wear_min: keep}\n"),
              ElementsAre(0, 0, 1, 1));
  // In the bucket from 50 on some may be 57.
  EXPECT_THAT(withheld("fields: {tool_wear_min: keep}\n" + hold,
                       "fields: {tool_wear_min: {action: bucket, width: 10}}\n"),
              ElementsAre(0, 1, 1, 1));
  EXPECT_THAT(withheld("fields: {tool_wear_min: keep}\n" + hold, "fields: {type: keep}\n"),
              ElementsAre(1, 1, 1, 1));
  EXPECT_THAT(withheld("fields: {tool_wear_min: keep, type: keep}\nwithhold: [{when: "
                       "\"tool_wear_min >= 57 and type == 'L'\", rule: worn}]\n",
                       "fields: {type: keep}\n"),
              ElementsAre(0, 0, 0, 1));
  // The local one's reason is not told.
  const ReleaseResult result =
      Both("fields: {type: keep}\n" + tail,
           "fields: {type: keep}\nwithhold: [{when: \"type == 'L'\", rule: hold}]\n" + tail)
          ->Release(*batch);
  EXPECT_EQ(result.withheld.at({"local: hold", "local policy"}), 1U);
  EXPECT_THAT(Both("fields: {tool_wear_min: keep}\n" + hold + tail, tail)->warnings(),
              Contains(AllOf(HasSubstr("(worn) reads tool_wear_min"), HasSubstr("may hold"))));
}

TEST(Combine, ALocalRuleForAFieldOfAnotherModelIsToldAndNoMore) {
  const auto policy = Both("fields: {type: keep}\n", "fields: {type: keep, pressure: keep}\n");
  EXPECT_THAT(policy->warnings(), Contains(HasSubstr("local policy, line 4")));
  auto refused = CompiledPolicy::Compile(
      Combine(Document(""), Document("withhold: [{when: 'pressure > 3', rule: x}]\n")),
      MillingPackage()->schema, TestHmacKey());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().ToString(), HasSubstr("no field"));
}

// Policies at random, over the milling schema.
class RandomPolicy {
 public:
  explicit RandomPolicy(std::uint64_t seed) : random_(seed) {}

  std::string Body() {
    kept_.clear();
    std::string body = "fields:\n  no_field: drop\n";
    for (const char* name : {"air_temperature_k", "process_temperature_k", "rotational_speed_rpm",
                             "torque_nm", "tool_wear_min"})
      AddField(body, name, kNumbers);
    for (const char* name : {"type", "unit_id", "operator_note"}) AddField(body, name, kTexts);
    // Only there to make the mapping a mapping.
    body.erase(body.find("  no_field: drop\n"), 17);
    if (kept_.empty()) body = "";
    body += "derived: {score: " + Pick(kScores) + ", anomaly_score: " + Pick(kScores) +
            ", reasons: " + Pick({"keep", "drop"}) + ", prediction: " + Pick({"keep", "drop"}) +
            ", event_time: " + Pick({"keep", "drop", "{action: truncate_time, to: hour}"}) + "}\n";
    if (random_.NextBelow(2) == 0)
      body += "withhold: [{when: \"" + Condition() + "\", rule: hold}]\n";
    body += "classes: {";
    if (random_.NextBelow(4) > 0) body += "anomaly: {when: \"" + Condition() + "\"}, ";
    if (random_.NextBelow(4) > 0) body += "sample: {rate: " + Pick({"1", "0.5"}) + "}, ";
    if (random_.NextBelow(2) > 0) body += "insight: {rate: " + Pick({"0.9", "0.4"}) + "}, ";
    return body + "decision: {}}\n";
  }

 private:
  using Texts = std::vector<std::string>;
  inline static const Texts kNumbers = {"keep",
                                        "drop",
                                        "hash",
                                        "{action: bucket, width: 5}",
                                        "{action: bucket, width: 10}",
                                        "{action: round, to: 1}",
                                        "{action: round, to: 3}"};
  inline static const Texts kTexts = {"keep",
                                      "drop",
                                      "hash",
                                      "{action: mask, keep_last: 0}",
                                      "{action: mask, keep_last: 1}",
                                      "{action: allow, list: [L, unit-3, unit-4]}",
                                      "{action: allow, list: [L, M, unit-4]}"};
  inline static const Texts kScores = {"keep", "drop", "{action: round, to: 0.1}",
                                       "{action: round, to: 0.3}"};

  std::string Pick(const Texts& texts) { return texts[random_.NextBelow(texts.size())]; }

  void AddField(std::string& body, const std::string& name, const Texts& rules) {
    const std::string rule = Pick(rules);
    body += "  " + name + ": " + rule + "\n";
    if (rule == "drop") return;
    if (&rules == &kTexts)
      kept_.push_back(name + Pick({" == 'L'", " != 'unit-4'", " == 'M'"}));
    else if (rule == "hash")
      kept_.push_back(name + " == 40");
    else
      kept_.push_back(name + Pick({" > 41", " <= 38", " != 40", " >= 300", " < 1500"}));
  }

  std::string Condition() {
    Texts terms = kept_;
    terms.insert(terms.end(), {"anomaly", "not anomaly"});
    return Pick(terms) + Pick({" and ", " or ", " and not ", " or not "}) + "(" + Pick(terms) + ")";
  }

  SeededRandom random_;
  Texts kept_;
};

std::set<std::uint64_t> RowsIn(const ReleaseResult& result, RecordClass cls) {
  std::set<std::uint64_t> rows;
  for (const ReleasedRecords& records : result.records)
    if (records.cls == cls)
      for (const std::int64_t n : records.table.Find("n")->ints)
        rows.insert(static_cast<std::uint64_t>(n));
  return rows;
}
bool Includes(const std::set<std::uint64_t>& all, const std::set<std::uint64_t>& some) {
  return std::includes(all.begin(), all.end(), some.begin(), some.end());
}
std::string Bytes(const ReleaseResult& result) {
  std::string bytes;
  for (const ReleasedRecords& records : result.records) bytes += EncodeTable(records.table);
  for (const RowDisposition disposition : result.disposition)
    bytes += static_cast<char>(disposition);
  for (const auto& [why, rows] : result.withheld)
    bytes += fmt::format("{}|{}|{}\n", why.first, why.second, rows);
  return bytes;
}

// Other values where the combination leaves the same: any in a dropped field, others of the same
// bucket, the same rounding, the same mask.
std::shared_ptr<RowBatch> Varied(const RowBatch& batch, const CombinedPolicy& policy,
                                 SeededRandom& random) {
  auto varied = std::make_shared<RowBatch>(batch);
  const std::vector<Field>& fields = batch.package->schema.fields;
  for (std::size_t row = 0; row < batch.rows; ++row)
    for (std::size_t i = 0; i < 6; ++i) {
      const FieldRule rule = RuleOf(policy.fields, fields[i].name);
      float& value = varied->features[row * 6 + i];
      if (rule.action == FieldAction::kDrop) {
        value = static_cast<float>(random.NextBelow(3));
        auto& outside = varied->out_of_range[row];
        std::erase(outside, static_cast<std::uint16_t>(i));
        if (random.NextBelow(2) == 0) outside.push_back(static_cast<std::uint16_t>(i));
      } else if (i > 0) {
        const float other = value + static_cast<float>(random.NextBelow(21)) / 4 - 2.5F;
        if (rule.action != FieldAction::kHash &&
            TransformNumber(rule, Decimal(other)) == TransformNumber(rule, Decimal(value)))
          value = other;
      }
    }
  for (std::size_t i = 6; i < 8; ++i) {
    const FieldRule rule = RuleOf(policy.fields, fields[i].name);
    for (std::string& text : varied->texts[i - 6]) {
      const std::string other = "unit-" + std::to_string(random.NextBelow(30));
      if (rule.action == FieldAction::kDrop ||
          (rule.action != FieldAction::kHash &&
           TransformText(rule, text) == TransformText(rule, other)))
        text = other;
    }
  }
  return varied;
}

TEST(Combine, LetsLeaveWhatBothDoAndIsBlindToTheRest) {
  const auto package = MillingPackage();
  std::size_t released = 0;
  std::size_t varied_values = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    RandomPolicy random_policy(seed);
    const PolicyDocument hub = Document(random_policy.Body());
    const PolicyDocument local = Document(random_policy.Body());
    SCOPED_TRACE(hub.text + "---\n" + local.text);
    const CombinedPolicy combined = Combine(hub, local);
    for (const auto& [name, rule] : combined.fields) {
      EXPECT_TRUE(AtMost(rule, RuleOf(hub.fields, name))) << name;
      EXPECT_TRUE(AtMost(rule, RuleOf(local.fields, name))) << name;
    }
    const auto both = Compiled(combined);
    const auto batch = MillingRows(package, 120, 1, seed, kInstance);
    const ReleaseResult result = both->Release(*batch);
    const ReleaseResult of_hub = Compiled(Combine(hub, std::nullopt))->Release(*batch);
    const ReleaseResult of_local = Compiled(Combine(local, std::nullopt))->Release(*batch);
    for (std::size_t row = 0; row < batch->rows; ++row)
      if (of_hub.disposition[row] == RowDisposition::kWithheld ||
          of_local.disposition[row] == RowDisposition::kWithheld) {
        ASSERT_EQ(result.disposition[row], RowDisposition::kWithheld) << "row " << row;
      }
    for (const RecordClass cls :
         {RecordClass::kAnomaly, RecordClass::kSample, RecordClass::kInsight}) {
      ASSERT_TRUE(Includes(RowsIn(of_hub, cls), RowsIn(result, cls))) << RecordClassName(cls);
      ASSERT_TRUE(Includes(RowsIn(of_local, cls), RowsIn(result, cls))) << RecordClassName(cls);
      released += RowsIn(result, cls).size();
    }
    SeededRandom random(seed);
    const auto varied = Varied(*batch, combined, random);
    for (std::size_t i = 0; i < batch->features.size(); ++i)
      varied_values += varied->features[i] != batch->features[i];
    ASSERT_EQ(Bytes(both->Release(*varied)), Bytes(result));
  }
  // The test is worth nothing when nothing leaves, or nothing was varied.
  EXPECT_GT(released, 3000U);
  EXPECT_GT(varied_values, 50'000U);
}

TEST(Widenings, NoneMeansThatNothingMoreLeaves) {
  const auto package = MillingPackage();
  std::size_t narrower = 0;
  for (std::uint64_t seed = 1; seed <= 1500; ++seed) {
    RandomPolicy random_policy(seed);
    const std::string body = random_policy.Body();
    // Close to each other, or nothing would ever be narrower.
    std::string other = body;
    SeededRandom random(seed);
    for (const auto& [from, to] :
         {std::pair("keep", "drop"), std::pair("keep\n", "hash\n"),
          std::pair("width: 5", "width: 10"), std::pair("rate: 1", "rate: 0.5"),
          std::pair("sample: {rate", "insight: {rate")})
      if (const std::size_t at = other.find(from);
          at != std::string::npos && random.NextBelow(3) == 0)
        other.replace(at, std::string_view(from).size(), to);
    const auto parsed = PolicyDocument::Parse(kHead + other);
    if (!parsed) continue;
    const CombinedPolicy before = One(body);
    const CombinedPolicy after = Combine(*parsed, std::nullopt);
    auto compiled = CompiledPolicy::Compile(after, package->schema, TestHmacKey());
    if (!compiled) continue;  // a condition speaks of what is dropped now
    SCOPED_TRACE(body + "---\n" + other);
    const auto batch = MillingRows(package, 60, 1, seed, kInstance);
    const ReleaseResult old_result = Compiled(before)->Release(*batch);
    const ReleaseResult new_result = (*compiled)->Release(*batch);
    for (const RecordClass cls :
         {RecordClass::kAnomaly, RecordClass::kSample, RecordClass::kInsight}) {
      if (!Widenings(&before, after, cls).empty()) continue;
      narrower += !RowsIn(new_result, cls).empty();
      ASSERT_TRUE(Includes(RowsIn(old_result, cls), RowsIn(new_result, cls)))
          << RecordClassName(cls);
    }
  }
  EXPECT_GT(narrower, 200U);
}

TEST(Widenings, SayWhatLeavesThatDidNot) {
  const std::string base =
      "fields: {torque_nm: {action: bucket, width: 10}, type: keep}\n"
      "withhold: [{when: \"type == 'L'\", rule: hold}]\n"
      "classes: {sample: {rate: 0.5}, summary: {every_rows: 100, min_group: 5}}\n";
  const auto widened = [&](const std::string& from, const std::string& to) {
    std::string body = base;
    body.replace(body.find(from), from.size(), to);
    const CombinedPolicy before = One(base);
    return Widenings(&before, One(body));
  };
  EXPECT_THAT(widened("width: 10", "width: 10"), IsEmpty());
  EXPECT_THAT(widened("width: 10", "width: 20"), IsEmpty());
  EXPECT_THAT(widened("width: 10", "width: 5"),
              ElementsAre("torque_nm leaves by bucket(5), and did by bucket(10)"));
  EXPECT_THAT(widened("rate: 0.5", "rate: 0.6"), ElementsAre(HasSubstr("at rate 0.6")));
  EXPECT_THAT(widened("rate: 0.5", "rate: 0.4"), IsEmpty());
  EXPECT_THAT(widened("sample", "insight"), ElementsAre("class insight leaves, and did not"));
  EXPECT_THAT(widened("min_group: 5", "min_group: 4"), ElementsAre(HasSubstr("groups of 4")));
  EXPECT_THAT(widened("type == 'L'", "type == 'M'"),
              ElementsAre("rows with \"type == 'L'\" were withheld (hold)"));
  EXPECT_THAT(widened("type: keep}", "type: keep, unit_id: hash}"),
              ElementsAre("unit_id leaves by hash, and did by drop"));
  EXPECT_THAT(Widenings(nullptr, One(base)), Contains("class sample leaves, and nothing did"));
  const CombinedPolicy before = One(base);
  EXPECT_THAT(Widenings(&before, One("fields: {unit_id: keep}\nclasses: {decision: {}}\n"),
                        RecordClass::kSample),
              IsEmpty());
}

}  // namespace
}  // namespace skerry
