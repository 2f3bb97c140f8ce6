// Labels: what a person or another system says about scored rows, by row id, in named sets.
//
// A view on an open connection (store.h); one thread at a time. A second label for the same row in
// the same set replaces the first.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "storage/sqlite.h"

namespace skerry {

struct Label {
  RowId row;
  std::string label;  // the text of the class, "0" or "1"
};

struct LabelSetFacts {
  std::string name;
  std::uint64_t labels = 0;
  std::int64_t newest_us = 0;
};

class LabelStore {
 public:
  explicit LabelStore(Database& database) : db_(&database) {}

  Status Put(std::string_view set, const std::vector<Label>& labels, std::int64_t now_us);
  Result<std::vector<Label>> List(std::string_view set, std::uint64_t limit);
  Result<std::vector<LabelSetFacts>> Sets();

 private:
  Database* db_;
};

}  // namespace skerry
