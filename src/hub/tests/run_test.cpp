// The second half of the loop on a real hub: drift from summaries, labels, retraining in a child
// process, the gate's two verdicts, the new version in the registry.
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "base/random.h"
#include "hub/tests/hub_fixture.h"
#include "insight/histograms.h"
#include "model/package.h"
#include "model/row_batch.h"
#include "model/scorer.h"
#include "oci/modelpack.h"
#include "train/trainer.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A pump fails when its load is above 50; its gauge reads half of that in the drifted world, which
// the temperature tells.
struct World {
  std::vector<double> load, temperature;
  std::vector<int> failed;
};

World MakeWorld(std::size_t rows, bool drifted, std::uint64_t seed) {
  SeededRandom random(seed);
  World world;
  for (std::size_t i = 0; i < rows; ++i) {
    const double load = random.NextDouble() * 100;
    world.load.push_back(drifted ? load / 2 : load);
    world.temperature.push_back((drifted ? 60 : 20) + random.NextDouble() * 10);
    world.failed.push_back(load > 50 ? 1 : 0);
  }
  return world;
}

fs::path WriteCsv(const World& world, const fs::path& file) {
  std::ofstream csv(file);
  csv << "Load,Temperature,Failed\n";
  for (std::size_t i = 0; i < world.failed.size(); ++i)
    csv << fmt::format("{:.4f},{:.4f},{}\n", world.load[i], world.temperature[i], world.failed[i]);
  return file;
}

class RunTest : public HubTest {
 protected:
  // Trains milling:1 on the clean world and puts it into the hub's registry.
  void PublishChampion() {
    TrainOptions options;
    options.data = {WriteCsv(MakeWorld(600, false, 1), directory_.path() / "train.csv")};
    options.label = "Failed";
    options.name = "milling";
    options.out = package_;
    options.holdout = 0;
    options.parameters.trees = 30;
    Must(Train(options));
    Must(Push(AdminOptions(), "models/milling", "1", Must(PackModel(package_, "milling", "1"))));
  }

  TestSegment Samples(const World& world) {
    RecordPlan plan{.rows = world.failed.size()};
    Table table = FakeSite::Records(plan, north_.instance());
    table.columns.pop_back();
    for (const auto& [name, values] :
         {std::pair("in_load", &world.load), {"in_temperature", &world.temperature}}) {
      Column column{.name = name, .type = ColumnType::kDouble};
      for (const double value : *values) column.AppendDouble(value);
      table.columns.push_back(std::move(column));
    }
    return north_.SealTable(table, plan);
  }

  // What the site's outbox makes of scored rows.
  TestSegment Summary(const World& world, std::uint64_t seq) {
    const auto package = Must(LoadPackage(package_, {.name = "milling", .version = "1"}));
    RowBatch batch;
    batch.package = package;
    batch.instance = north_.instance();
    batch.first_n = 1;
    batch.event_time_us = static_cast<std::int64_t>(seq) * 1'000'000;
    batch.rows = world.failed.size();
    for (std::size_t i = 0; i < batch.rows; ++i) {
      batch.features.push_back(static_cast<float>(world.load[i]));
      batch.features.push_back(static_cast<float>(world.temperature[i]));
    }
    Must(ScoreRows(batch));
    FeatureHistograms histograms(package);
    histograms.Add(batch);
    Table table = histograms.ToSummary(static_cast<std::int64_t>(seq), 1);
    Column seqs{.name = "seq", .type = ColumnType::kInt64};
    for (std::size_t i = 0; i < table.rows(); ++i)
      seqs.AppendInt(static_cast<std::int64_t>(seq + i));
    RecordPlan plan{
        .cls = RecordClass::kSummary, .first_seq = seq, .rows = table.rows(), .primary_of_two = 0};
    table.columns.insert(table.columns.begin(), std::move(seqs));
    return north_.SealTable(table, plan);
  }

  void Label(const std::string& set, const std::vector<int>& labels) {
    Json list = Json::array();
    for (std::size_t i = 0; i < labels.size(); ++i)
      list.push_back({{"row", RowId{north_.instance(), i + 1}.ToString()},
                      {"label", std::to_string(labels[i])}});
    AdminJson("POST", "/v1/labels", Json{{"set", set}, {"labels", std::move(list)}}.dump());
  }

  // A hub with a champion, and sample rows whose labels are the set "default".
  World StartWithLabels() {
    StartHub();
    JoinSite(north_);
    PublishChampion();
    World world = MakeWorld(600, true, 6);
    PushShipment(north_, "samples", north_.Ship({Samples(world)}));
    Label("default", world.failed);
    return world;
  }

  Json RunSpec(const std::string& labels, const std::string& version) {
    const fs::path clean = WriteCsv(MakeWorld(400, false, 2), directory_.path() / "clean.csv");
    const fs::path drifted = WriteCsv(MakeWorld(400, true, 3), directory_.path() / "drifted.csv");
    return {{"kind", "retrain"},
            {"model", "milling:1"},
            {"labels", labels},
            {"base", (directory_.path() / "train.csv").string()},
            {"holdouts", {{"clean", clean.string()}, {"drifted", drifted.string()}}},
            {"gain_on", "drifted"},
            {"max_loss", {{"clean", 0.05}}},
            {"new_version", version}};
  }
  Json RunToItsEnd(const Json& spec) {
    const std::string id = AdminJson("POST", "/v1/runs", spec.dump())["run"];
    while (true) {
      const Json run = AdminJson("GET", "/v1/runs/" + id);
      if (run["state"] != "queued" && run["state"] != "running") return run;
      std::this_thread::yield();
    }
  }

  const fs::path package_ = directory_.path() / "milling-1";
};

TEST_F(RunTest, DriftedFeatureAlarmsAndTheOthersStayQuiet) {
  StartHub();
  JoinSite(north_);
  PublishChampion();
  PushShipment(north_, "clean", north_.Ship({Summary(MakeWorld(2000, false, 4), 1)}));
  World drifted = MakeWorld(2000, false, 5);
  for (double& load : drifted.load) load /= 2;
  PushShipment(north_, "drifted", north_.Ship({Summary(drifted, 1000)}));
  const Json drift = AdminJson("GET", "/v1/drift?site=north");
  ASSERT_EQ(drift["windows"].size(), 2U) << drift.dump();
  const auto level = [&](std::size_t window, const std::string& field) {
    for (const Json& one : drift["windows"][window]["fields"])
      if (one["field"] == field) return std::string(one["level"]);
    return std::string("absent");
  };
  EXPECT_EQ(level(0, "load"), "quiet");
  EXPECT_EQ(level(0, "temperature"), "quiet");
  EXPECT_EQ(level(1, "load"), "alarm");
  EXPECT_EQ(level(1, "temperature"), "quiet");
  EXPECT_EQ(drift["windows"][1]["rows"], 2000);
  EXPECT_EQ(drift["overall"][0]["rows"], 4000);
  EXPECT_EQ(drift["unknown_models"].size(), 0U);
}

TEST_F(RunTest, WindowOfFewRowsIsShownAndNotJudged) {
  StartHub();
  JoinSite(north_);
  PublishChampion();
  PushShipment(north_, "few", north_.Ship({Summary(MakeWorld(20, true, 4), 1)}));
  const Json drift = AdminJson("GET", "/v1/drift");
  ASSERT_EQ(drift["windows"].size(), 1U);
  EXPECT_EQ(drift["windows"][0]["judged"], false);
  for (const Json& field : drift["windows"][0]["fields"]) EXPECT_EQ(field["level"], "quiet");
}

TEST_F(RunTest, BetterChallengerIsStoredSignedAndAPermutedOneIsRefused) {
  const World world = StartWithLabels();
  const Json passed = RunToItsEnd(RunSpec("default", "2"));
  ASSERT_EQ(passed["state"], "passed") << passed.dump(2);
  EXPECT_EQ(passed["model"], "milling:2");
  EXPECT_EQ(passed["report"]["released_rows"], 600);
  EXPECT_EQ(passed["report"]["gate"]["passed"], true);
  EXPECT_FALSE(std::string(passed["log_tail"]).empty());
  const Json models = AdminJson("GET", "/v1/models");
  ASSERT_EQ(models["models"].size(), 2U);
  EXPECT_EQ(models["models"][1]["version"], "2");
  EXPECT_EQ(models["models"][1]["signed"], true);
  // From a row that it scored back to the first table, over the segment that it was retrained on.
  PushShipment(north_, "later",
               north_.Ship({north_.Seal({.first_seq = 601, .rows = 5, .model = "milling:2"})}));
  const std::string scored = RowId{north_.instance(), 603}.ToString();
  const Json known = AdminJson("GET", "/v1/sites/north/lineage?row=" + scored);
  EXPECT_EQ(known["model"], "milling:2");
  ASSERT_EQ(known["lineage"].size(), 2U) << known.dump(2);
  const Json& retrained = known["lineage"][0];
  ASSERT_EQ(retrained["segments"].size(), 1U);
  EXPECT_EQ(retrained["segments"][0]["rows"], 600);
  EXPECT_THAT(retrained["segments"][0]["file"].get<std::string>(),
              testing::MatchesRegex("north-[0-9a-f]+\\.parquet"));
  EXPECT_EQ(known["lineage"][1]["model"], "milling:1");
  EXPECT_EQ(known["lineage"][1]["made_of"][0]["digest"],
            DigestOfFile(directory_.path() / "train.csv")->ToString());
  EXPECT_EQ(Admin("GET", "/v1/sites/north/lineage?row=" + RowId{north_.instance(), 9999}.ToString())
                .status,
            404);
  EXPECT_EQ(Admin("GET", "/v1/sites/north/lineage").status, 400);

  // The version is taken now.
  EXPECT_EQ(Admin("POST", "/v1/runs", RunSpec("default", "2").dump()).status, 409);

  std::vector<int> permuted = world.failed;
  SeededRandom(7).Shuffle(permuted);
  Label("permuted", permuted);
  const Json refused = RunToItsEnd(RunSpec("permuted", "3"));
  EXPECT_EQ(refused["state"], "refused") << refused.dump(2);
  EXPECT_EQ(AdminJson("GET", "/v1/models")["models"].size(), 2U);
  EXPECT_EQ(AdminJson("GET", "/v1/runs")["runs"].size(), 2U);

  // What is not in the registry any more is said, and is no error.
  EXPECT_EQ(Admin("DELETE", "/v2/models/milling/manifests/1").status, 202);
  const Json shorter = AdminJson("GET", "/v1/sites/north/lineage?row=" + scored)["lineage"];
  ASSERT_EQ(shorter.size(), 2U) << shorter.dump(2);
  EXPECT_TRUE(shorter[1].contains("missing"));
  EXPECT_EQ(Admin("DELETE", "/v2/models/milling/manifests/2").status, 202);
  const Json gone = AdminJson("GET", "/v1/sites/north/lineage?row=" + scored)["lineage"];
  ASSERT_EQ(gone.size(), 1U) << gone.dump(2);
  EXPECT_TRUE(gone[0].contains("missing"));
}

TEST_F(RunTest, RunThatCannotEndWellSaysWhy) {
  StartHub();
  JoinSite(north_);
  PublishChampion();
  Json spec = RunSpec("default", "2");
  EXPECT_EQ(Admin("POST", "/v1/runs", spec.dump()).status, 412);  // no labels
  Label("default", {0, 1});
  const Json run = RunToItsEnd(spec);
  EXPECT_EQ(run["state"], "failed");
  EXPECT_THAT(std::string(run["reason"]), HasSubstr("no sample records"));
  spec["base"] = "/nowhere.csv";
  EXPECT_EQ(Admin("POST", "/v1/runs", spec.dump()).status, 400);
  spec["kind"] = "dream";
  EXPECT_EQ(Admin("POST", "/v1/runs", spec.dump()).status, 400);
}

TEST_F(RunTest, StoppingTheHubEndsTheRunAndTheNextStartSaysSo) {
  StartWithLabels();
  const std::string id = AdminJson("POST", "/v1/runs", RunSpec("default", "2").dump())["run"];
  while (AdminJson("GET", "/v1/runs/" + id)["state"] != "running") std::this_thread::yield();
  hub_.reset();
  StartHub();
  EXPECT_EQ(AdminJson("GET", "/v1/runs/" + id)["state"], "interrupted");
}

TEST_F(RunTest, CancelledRunsEndAndLeaveNoPackage) {
  StartWithLabels();
  const std::string first = AdminJson("POST", "/v1/runs", RunSpec("default", "2").dump())["run"];
  const std::string waits = AdminJson("POST", "/v1/runs", RunSpec("default", "3").dump())["run"];
  while (AdminJson("GET", "/v1/runs/" + first)["state"] != "running") std::this_thread::yield();
  EXPECT_EQ(AdminJson("POST", "/v1/runs/" + waits + "/cancel")["state"], "cancelled");
  EXPECT_EQ(AdminJson("POST", "/v1/runs/" + first + "/cancel")["state"], "running");
  while (AdminJson("GET", "/v1/runs/" + first)["state"] == "running") std::this_thread::yield();
  EXPECT_EQ(AdminJson("GET", "/v1/runs/" + first)["state"], "cancelled");
  EXPECT_EQ(Admin("POST", "/v1/runs/" + first + "/cancel").status, 412);
  EXPECT_FALSE(fs::exists(Data() / "runs" / first / "package"));
  EXPECT_FALSE(fs::exists(Data() / "runs" / waits));
  EXPECT_EQ(AdminJson("GET", "/v1/models")["models"].size(), 1U);
}

}  // namespace
}  // namespace skerry
