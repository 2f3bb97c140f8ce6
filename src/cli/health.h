// Whether a process that serves on this machine answers: for `skerry health`, and for what a served
// process tells the service manager of itself.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "base/error.h"

namespace skerry {

// The hub or site of this data directory. kNotFound when none serves it; kDeadlineExceeded when it
// takes the question and does not answer for `patience`.
Status AnswersFor(const std::filesystem::path& data, std::chrono::milliseconds patience);

// The same of a site, and that it scores rows with the model that it has; kFailedPrecondition with
// its own words when it does not.
Status ScoresAt(const std::filesystem::path& data, std::chrono::milliseconds patience);

// The scoring server at this URL: kUnavailable with its own words until its models are loaded.
// `ca_pem` is whom to trust with https; empty: the system's store.
Status IsReady(const std::string& url, const std::string& ca_pem,
               std::chrono::milliseconds patience);

}  // namespace skerry
