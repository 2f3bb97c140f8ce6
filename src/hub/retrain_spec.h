// What a retraining run is asked for: the body of POST /v1/runs, and the file with which the hub
// starts the child process. Formats: docs/api.md, docs/formats/retrain-run.md. Plain values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/json.h"

namespace skerry {

// As a person or a program asks for it. Paths are of files on the hub's machine.
struct RetrainRequest {
  std::string model;           // the champion, "milling:1"
  std::string labels;          // the label set
  std::filesystem::path base;  // empty: no base rows
  std::map<std::string, std::filesystem::path> holdouts;
  std::string gain_on;
  std::map<std::string, double> max_loss;  // by hold-out
  std::string new_version;
  std::uint64_t seed = 1;
  std::map<std::string, double> bucket_widths;  // by field

  // kInvalidArgument names the member; unknown members are refused.
  static Result<RetrainRequest> FromJson(const Json& json);
  Json ToJson() const;
};

// What the child needs: the request with everything resolved to files.
struct RetrainSpec {
  RetrainRequest request;
  std::filesystem::path champion;           // unpacked package
  std::vector<std::filesystem::path> lake;  // files of the class sample
  std::filesystem::path labels_csv;         // instance,n,label
  std::filesystem::path out;                // directory of the new package; must not exist
  std::filesystem::path result;             // result.json

  static Result<RetrainSpec> FromJson(const Json& json);
  Json ToJson() const;
};

// result.json.
struct RetrainResult {
  bool passed = false;
  std::string reason;          // the gate's first sentence
  std::uint64_t released = 0;  // labelled rows that were found in the lake
  Json gate;                   // GateReport::ToJson
  Json training;               // TrainReport::ToJson
  std::string text;            // the gate's report for people

  static Result<RetrainResult> FromJson(const Json& json);
  Json ToJson() const;
};

}  // namespace skerry
