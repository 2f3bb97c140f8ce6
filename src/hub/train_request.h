// What a training run is asked for: the body of POST /v1/runs with the kind "train" (docs/api.md).
// Every option of `skerry train` that a client may choose is a member of the same name, with _ for
// -. What an operator alone decides (Spark's settings, addresses of this machine) is none. Plain
// values.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "codec/json.h"

namespace skerry {

struct TrainRequest {
  std::string name, version;         // of the model to make, "machines:1"
  std::vector<std::string> data;     // as told; which of it may be read says training_grounds.h
  std::string label;                 // "": a task anomaly, or `columns` tells it
  std::string master, livy;          // of Spark; both empty: the embedded engine
  Json columns;                      // docs/formats/training-columns.md; null: none
  std::vector<std::string> options;  // for `skerry train`, "--trees=100" each
  struct NamedColumn {
    std::string member, column;
  };
  std::vector<NamedColumn> named;  // the columns that the data must have

  bool on_spark() const { return !master.empty() || !livy.empty(); }
  // kInvalidArgument names the member ("run.trees: ..."); unknown members are refused.
  static Result<TrainRequest> FromJson(const Json& json);
};

}  // namespace skerry
