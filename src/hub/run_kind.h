// What the kinds of runs differ in: what is asked for, what the child process is told, and what is
// made of what it leaves. The rest is RunDesk's.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "codec/json.h"

namespace skerry {

struct RunVerdict {
  std::string state;   // trained, passed or refused (run_store.h)
  std::string reason;  // of what is refused
  Json report;
  std::string model;  // "milling:2" where one was stored
};

class RunKind {
 public:
  virtual ~RunKind() = default;
  // Whether a run that is asked for by `body` can begin, as far as that can be told now; returns
  // what is kept of it. Any thread. kInvalidArgument names the member.
  virtual Result<Json> Check(const Json& body) = 0;
  // Puts what the child needs into `directory`; returns the program's arguments. The child puts
  // what it makes into <directory>/package, as a whole or not at all. On the desk's thread.
  virtual Result<std::vector<std::string>> Prepare(const Json& spec,
                                                   const std::filesystem::path& directory) = 0;
  // After the child has ended well. On the desk's thread.
  virtual Result<RunVerdict> Conclude(const Json& spec, const std::filesystem::path& directory) = 0;
};

}  // namespace skerry
