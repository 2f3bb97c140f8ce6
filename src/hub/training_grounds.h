// What the trainings of a hub may read and use, as its operator said when it was started. Requests
// come by the API; nothing else of the machine is in their reach. Plain values.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "hub/train_request.h"

namespace skerry {

struct TrainingGrounds {
  std::vector<std::filesystem::path> directories{};  // whose files may be trained from
  std::vector<std::string> addresses{};  // as "s3://plant/": what begins so may be trained from
  std::vector<std::string> masters{}, livy{};  // the Spark clusters
  // For every training on Spark.
  std::vector<std::string> spark_conf{};
  std::filesystem::path spark_submit{};       // empty: of $SPARK_HOME, else on the PATH
  std::string return_listen{}, return_url{};  // with livy

  // Once, at the hub's start; makes directories absolute. kInvalidArgument: no such directory, one
  // that has the hub's own data in it, an address without "://" or "/" at its end, Livy without
  // return_listen.
  Status Settle(const std::filesystem::path& hub_data);

  // The request's data as `skerry train` takes them; "lake/..." is below `lake`. Links are
  // followed: a file counts by where it is. kPermissionDenied names the member and what is allowed;
  // kNotFound.
  Result<std::vector<std::string>> Resolve(const TrainRequest& request,
                                           const std::filesystem::path& lake) const;
  // kPermissionDenied: a cluster that is not among these. Errors of CheckSparkRoad.
  Status CheckEngine(const TrainRequest& request) const;
  // The arguments of `skerry train` that say where trees are fitted.
  std::vector<std::string> EngineArguments(const TrainRequest& request) const;

 private:
  struct Root {
    std::filesystem::path told, real;
  };
  Result<std::string> ResolveFile(const std::string& name, const std::string& member,
                                  const Root& lake) const;
  Status CheckAddress(const TrainRequest& request, const std::string& address,
                      const std::string& member) const;
  std::vector<Root> roots_{};
};

}  // namespace skerry
