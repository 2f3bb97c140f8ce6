// The exported graph beside its trainer, on rows of every kind, by ONNX Runtime and by skerry's own
// walk of the trees: what a table of tasks, trees and depths has for the largest difference. Prints
// the table.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <onnx-ml.pb.h>

#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "model/session.h"
#include "train/boosted_trees.h"
#include "train/graph_runs.h"
#include "train/model_fit.h"
#include "train/onnx_export.h"

namespace skerry {
namespace {

constexpr std::size_t kFeatures = 7;
constexpr std::size_t kFewCategories = 4, kManyCategories = 90;

struct Case {
  const char* name;
  ModelTask task;
  const char* objective;
  std::size_t classes;
  int rounds, depth;
};

// Numbers of several scales, codes of few and of many categories, and missing values; the label
// depends on all of them. `unseen` rows hold codes past the last one.
LabelledRows MakeRows(const Case& wanted, std::size_t rows, std::uint64_t seed, bool unseen) {
  SeededRandom random(seed);
  LabelledRows made{.task = wanted.task, .classes = wanted.classes};
  made.features.columns = kFeatures;
  made.features.categorical = {0, 0, 0, 0, 0, 1, 1};
  for (std::size_t row = 0; row < rows; ++row) {
    std::vector<float> at;
    for (const float scale : {1.0F, 1e-3F, 1e6F, 40.0F, 0.5F})
      at.push_back(static_cast<float>(random.NextGaussian()) * scale);
    at.push_back(static_cast<float>(random.NextBelow(kFewCategories + (unseen ? 1 : 0))));
    at.push_back(static_cast<float>(random.NextBelow(kManyCategories + (unseen ? 1 : 0))));
    const auto code = static_cast<unsigned>(at[6]);
    const double margin = at[0] + at[1] * 1e3 * (at[5] == 2 ? 1 : -0.3) + at[2] * 1e-6 +
                          (code * 37 % 11 < 5 ? 1.5 : -0.5) + random.NextGaussian() * 0.3;
    for (float& value : at)
      if (random.NextBelow(12) == 0) value = std::numeric_limits<float>::quiet_NaN();
    made.features.values.insert(made.features.values.end(), at.begin(), at.end());
    const auto place = static_cast<std::size_t>(std::max(0.0, margin + 2));
    made.labels.push_back(static_cast<std::uint8_t>(wanted.task == ModelTask::kMulticlass
                                                        ? std::min(place, wanted.classes - 1)
                                                        : (margin > 0.3 ? 1 : 0)));
    if (wanted.task == ModelTask::kRegression)
      made.targets.push_back(static_cast<float>(std::exp(margin) * 3 + 0.1));
    made.weights.push_back(1);
  }
  return made;
}

// With one more node, which leaves the graph to the runtime.
std::string ForTheRuntime(const std::string& onnx) {
  onnx::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(onnx));
  onnx::GraphProto& graph = *model.mutable_graph();
  const std::string name = graph.output(0).name();
  graph.mutable_node(graph.node_size() - 1)->set_output(0, "answer");
  onnx::NodeProto& more = *graph.add_node();
  more.set_op_type("Identity");
  more.add_input("answer");
  more.add_output(name);
  return model.SerializeAsString();
}

// By row and class, or the number; P(class 1) of a binary task.
std::vector<float> Answers(const std::string& onnx, bool walked, const LabelledRows& rows) {
  const auto session = OnnxSession::LoadBytes(onnx, "the export");
  if (!session) {
    ADD_FAILURE() << session.error().message();
    return {};
  }
  EXPECT_EQ((*session)->walks_trees(), walked);
  if (rows.task == ModelTask::kBinary)
    return RunGraph(**session, rows.features, "probabilities", 2, 1).value();
  const bool number = rows.task == ModelTask::kRegression;
  return RunWholeGraph(**session, rows.features, number ? "value" : "probabilities", rows.outputs())
      .value();
}

double LargestDifference(std::span<const float> trainer, std::span<const float> exported,
                         bool relative) {
  if (trainer.size() != exported.size()) return 1;
  double worst = 0;
  for (std::size_t i = 0; i < trainer.size(); ++i) {
    const double difference = std::abs(static_cast<double>(trainer[i]) - exported[i]);
    worst = std::max(worst, relative ? difference / std::abs(trainer[i]) : difference);
  }
  return worst;
}

void ExpectExact(const Case& wanted) {
  const LabelledRows rows = MakeRows(wanted, 400, 1, false);
  const LabelledRows others = MakeRows(wanted, 600, 2, true);
  HyperParameters parameters;
  parameters.depth = wanted.depth;
  parameters.objective = wanted.objective;
  parameters.min_child_weight = 0.01;
  parameters.threads = 1;
  const auto fitted = FitTrees(rows, parameters, wanted.rounds, 1, others, {});
  ASSERT_TRUE(fitted) << wanted.name << ": " << fitted.error().message();
  const std::string onnx = ExportBoostedTrees(fitted->ensemble, kFeatures);
  const bool relative = wanted.task == ModelTask::kRegression;
  const std::vector<float> walked = Answers(onnx, true, others);
  const std::vector<float> run = Answers(ForTheRuntime(onnx), false, others);
  const auto trainers = std::span(fitted->scores).subspan(rows.rows() * rows.outputs());
  const double of_walk = LargestDifference(trainers, walked, relative);
  const double of_runtime = LargestDifference(trainers, run, relative);
  std::printf("%-16s %8d %6d %12.2g %14.2g\n", wanted.name, wanted.rounds, wanted.depth, of_walk,
              of_runtime);
  EXPECT_LE(of_walk, 1e-6);
  EXPECT_LE(of_runtime, 1e-6);
  EXPECT_LE(LargestDifference(walked, run, relative), 1e-6);
}

TEST(Exactness, ExportedGraphsAreTheirTrainersToOneMillionth) {
  constexpr ModelTask kBinary = ModelTask::kBinary, kMulticlass = ModelTask::kMulticlass,
                      kRegression = ModelTask::kRegression;
  const Case cases[] = {
      {"binary", kBinary, "", 2, 1, 1},
      {"binary", kBinary, "", 2, 100, 6},
      {"binary", kBinary, "", 2, 2'000, 3},
      {"binary", kBinary, "", 2, 2'000, 12},
      {"multiclass", kMulticlass, "", 3, 1, 6},
      {"multiclass", kMulticlass, "", 5, 100, 6},
      {"multiclass", kMulticlass, "", 3, 667, 12},
      {"squared-error", kRegression, "squared-error", 2, 1, 12},
      {"squared-error", kRegression, "squared-error", 2, 100, 6},
      {"squared-error", kRegression, "squared-error", 2, 2'000, 12},
      {"absolute-error", kRegression, "absolute-error", 2, 100, 6},
      {"absolute-error", kRegression, "absolute-error", 2, 500, 12},
      {"poisson", kRegression, "poisson", 2, 500, 8},
      {"gamma", kRegression, "gamma", 2, 500, 8},
      {"tweedie", kRegression, "tweedie", 2, 500, 8},
      {"tweedie", kRegression, "tweedie", 2, 2'000, 12},
  };
  std::printf("largest difference of XGBoost and  skerry's walk   ONNX Runtime\n");
  for (const Case& one : cases) {
    SCOPED_TRACE(fmt::format("{}, {} rounds of depth {}", one.name, one.rounds, one.depth));
    ExpectExact(one);
  }
}

}  // namespace
}  // namespace skerry
