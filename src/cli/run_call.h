// Runs at the hub, asked for and waited for.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "cli/control_client.h"
#include "codec/json.h"

namespace skerry {

struct RetrainCall {
  std::string hub;  // data directory of the running hub
  std::string model, new_version, base, labels = "default", gain_on;
  std::vector<std::string> holdouts;    // "NAME=FILE"
  std::vector<std::string> max_losses;  // "NAME=LOSS"
  bool json = false;
};

// Starts the run and waits for its end. The run as the hub describes it (GET /v1/runs/{id}); a
// refused challenger is a result.
Result<Json> RunRetrain(const RetrainCall& request);

// Starts what the body of POST /v1/runs says; the run's id.
Result<std::string> StartRun(ControlClient& control, const Json& body);
// Waits for its end, and says how far it is. A run that failed, was cancelled or interrupted is an
// error (kFailedPrecondition), with its reason.
Result<Json> FollowRun(ControlClient& control, const std::string& run);

// For a person: how it ended or how far it is, its reasons, its model, its figures.
std::string DescribeRun(const Json& run);

}  // namespace skerry
