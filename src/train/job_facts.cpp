#include "train/job_facts.h"

#include "codec/json.h"

namespace skerry {

void JobFacts::Take(std::string_view text) {
  const Result<Json> fact = ParseJson(text);
  if (!fact || !fact->is_object()) return;
  const JsonObject object(*fact, "fact");
  const std::string event = object.StringOr("event", "").value_or("");
  const std::string words = object.StringOr("text", "").value_or("");
  if (event == "done") done_ = true;
  if (event == "failed" && failure_.empty()) failure_ = words;
  if (event == "progress" && progress_) progress_(words);
}

}  // namespace skerry
