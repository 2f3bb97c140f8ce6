// Where a Spark job that runs somewhere else fetches its files and hands in facts and results: an
// HTTP server that lives as long as the job. Its paths begin with a random word, which the cluster
// is told; whoever does not know it gets 404.
//
//   GET <url>/skerry_train.py, <url>/job.json    files of the directory
//   GET <url>/alive                              the job ends when nobody answers
//   POST <url>/facts                             a fact (JobFacts), JSON
//   PUT <url>/results/<name>                     a result (spark/README.md), into the directory
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "train/trainer.h"

namespace skerry {

class JobDesk {
 public:
  // Listens on return, at options.return_host and return_port. kInvalidArgument: an address that
  // says to nobody where this machine is, without options.return_url. kUnavailable: the port is in
  // use.
  static Result<std::unique_ptr<JobDesk>> Open(const SparkOptions& options,
                                               const std::filesystem::path& directory);
  JobDesk(const JobDesk&) = delete;
  JobDesk& operator=(const JobDesk&) = delete;
  ~JobDesk();

  const std::string& url() const;  // without a "/" at its end
  // The facts that came since the last call, in their order. Any thread.
  std::vector<std::string> TakeFacts();

 private:
  struct Impl;
  explicit JobDesk(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skerry
