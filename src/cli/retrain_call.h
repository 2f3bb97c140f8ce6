// A retraining run at the hub, asked for and waited for.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "codec/json.h"

namespace skerry {

struct RetrainCall {
  std::string hub;  // data directory of the running hub
  std::string model, new_version, base, labels = "default", gain_on;
  std::vector<std::string> holdouts;    // "NAME=FILE"
  std::vector<std::string> max_losses;  // "NAME=LOSS"
  bool json = false;
};

// Starts the run and waits for its end, with the log's last line as progress. The run as the hub
// describes it (GET /v1/runs/{id}); a refused challenger is a result, a failed run is an error.
Result<Json> RunRetrain(const RetrainCall& request);

// The verdict, its reasons and the gain on each hold-out, for a person.
std::string DescribeRun(const Json& run);

}  // namespace skerry
