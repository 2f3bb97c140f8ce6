// A milling package (schema and reference, no graphs) and scored rows of it.
#pragma once

#include <cmath>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>

#include "base/random.h"
#include "model/package.h"
#include "model/row_batch.h"
#include "policy/compiled_policy.h"

namespace skerry::testing_rows {

inline std::shared_ptr<ModelPackage> MillingPackage() {
  auto package = std::make_shared<ModelPackage>();
  package->name = "milling";
  package->version = "1";
  package->digest = Digest::Sha256("milling:1");
  ModelSchema& schema = package->schema;
  schema.model = "milling";
  schema.task = ModelTask::kBinary;
  schema.classes = {"0", "1"};
  const auto number = [&](const char* name, double min, double max) {
    schema.fields.push_back({name, name, FieldRole::kFeature, FieldType::kNumber, {}});
    const double step = (max - min) / 4;
    package->reference.features.push_back(
        {name, min, max, {min + step, min + 2 * step, min + 3 * step}, {25, 25, 25, 25}, 0});
  };
  schema.fields.push_back(
      {"type", "Type", FieldRole::kFeature, FieldType::kCategory, {"H", "L", "M"}});
  package->reference.features.push_back({"type", 0, 0, {}, {10, 60, 30}, 0});
  number("air_temperature_k", 295, 305);
  number("process_temperature_k", 305, 314);
  number("rotational_speed_rpm", 1168, 2886);
  number("torque_nm", 3.8, 76.6);
  number("tool_wear_min", 0, 253);
  schema.fields.push_back({"unit_id", "unit_id", FieldRole::kId, FieldType::kText, {}});
  schema.fields.push_back(
      {"operator_note", "operator_note", FieldRole::kContext, FieldType::kText, {}});
  package->reference.anomaly_threshold = 0.6;
  package->reference.score_edges = {0.25, 0.5, 0.75};
  package->reference.score_counts = {70, 10, 10, 10};
  package->reference.rows = 100;
  return package;
}

// Rows as scoring would leave them, the same for the same arguments. A value out of the reference's
// range is listed in out_of_range.
inline std::shared_ptr<RowBatch> MillingRows(std::shared_ptr<const ModelPackage> package,
                                             std::size_t rows, std::uint64_t first_n,
                                             std::uint64_t seed, InstanceId instance) {
  auto batch = std::make_shared<RowBatch>();
  batch->package = std::move(package);
  batch->instance = instance;
  batch->first_n = first_n;
  batch->event_time_us = 1'790'000'000'654'321;
  batch->mono_us = 77'123'456;
  batch->clock = ClockQuality::kSynced;
  batch->rows = rows;
  batch->texts.resize(2);
  SeededRandom random(seed);
  const auto tenth = [](double value) { return static_cast<float>(std::round(value * 10) / 10); };
  for (std::size_t row = 0; row < rows; ++row) {
    const bool odd = random.NextDouble() < 0.02;
    batch->features.push_back(static_cast<float>(random.NextBelow(3)));
    batch->features.push_back(tenth(300 + 2 * random.NextGaussian()));
    batch->features.push_back(tenth(310 + random.NextGaussian()));
    batch->features.push_back(std::round(static_cast<float>(1500 + 100 * random.NextGaussian())));
    batch->features.push_back(odd ? 81.2F : tenth(40 + 8 * random.NextGaussian()));
    batch->features.push_back(static_cast<float>(random.NextBelow(240)));
    batch->out_of_range.push_back(odd ? std::vector<std::uint16_t>{4}
                                      : std::vector<std::uint16_t>{});
    batch->texts[0].push_back("unit-" + std::to_string(random.NextBelow(20)));
    batch->texts[1].push_back("note " + std::to_string(random.NextBelow(1000)));
    batch->score.push_back(static_cast<float>(random.NextDouble()));
    batch->anomaly_score.push_back(static_cast<float>(random.NextDouble() * 0.61));
    batch->prediction.push_back(batch->score.back() >= 0.5F ? 1 : 0);
  }
  return batch;
}

inline std::string MillingYaml() {
  std::ostringstream text;
  text << std::ifstream(POLICY_EXAMPLES "/milling.yaml").rdbuf();
  return text.str();
}

inline std::string TestHmacKey() { return std::string(32, 'k'); }

}  // namespace skerry::testing_rows
