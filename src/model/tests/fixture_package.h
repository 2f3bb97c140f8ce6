// Small real ONNX models and packages for tests, here and in the modules above: written through
// the ONNX protobuf, run by ONNX Runtime like any other.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/package.h"
#include "model/reference.h"
#include "model/schema.h"

namespace skerry::fixture {

// One split: value of `feature` <= `split` (or missing) gives `low`, else `high`.
struct TreeModel {
  std::int64_t features = 3;
  std::int64_t feature = 1;
  float split = 60;
  float low = 0.1F;
  float high = 0.9F;
  std::string input = "input";
  // "probabilities": [N,2] = (1-p, p). Any other name: the tree's value as [N,1].
  std::string output = "probabilities";
  std::int64_t opset = 17;
  std::int64_t fixed_rows = -1;
  // As skerry train exports it: value < `split`, low and high are margins, and covers say that 7 of
  // 10 training rows went left.
  bool explained = false;
};
std::string TreeModelBytes(const TreeModel& model);

// Bare model: "a", "b" FP32 [-1,2] -> "sum" FP32 [-1,2]; "flag" BOOL [-1] -> "flag_out";
// "count" INT64 [-1] -> "count_out"; "word" BYTES [-1] -> "word_out"; "wide" FP64 [2,2] ->
// "wide_out".
std::string ManyTensorsModelBytes();
// Bare model: "a" and "b" FP32 [-1,2] -> "sum".
std::string AddModelBytes();
// Bare model: "word" BYTES [-1] -> "word_out".
std::string WordModelBytes();

// Features type (category L, M, H), torque_nm, tool_wear_min; id unit_id, context operator_note.
// Training range: torque 10 - 80, wear 0 - 250. Class words "0", "1"; threshold 0.5.
ModelSchema Schema();
ModelReference Reference();

struct PackageFiles {
  TreeModel model{};
  bool detector = true;  // torque > 70 gives 0.8, else 0.3; anomaly threshold 0.6
  std::string name = "milling";
  ModelReference reference = Reference();
  // Of the schema; `model` has as many features more.
  std::vector<DerivedFeature> derived{};
  WindowSet windows{};
};
// Writes model.onnx, detector.onnx, schema.json, reference.json and card.md; aborts where it
// cannot.
void WritePackage(const std::filesystem::path& directory, const PackageFiles& files = {});
// Written to a temporary directory and loaded; aborts where it cannot.
std::shared_ptr<const ModelPackage> LoadFixture(const PackageFiles& files = {},
                                                const std::string& version = "1");
void WriteBytes(const std::filesystem::path& path, std::string_view bytes);

}  // namespace skerry::fixture
