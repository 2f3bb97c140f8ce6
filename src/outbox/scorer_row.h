// A scorer as the database has it (table `scorers`), and what a commit changes of it. Internal.
#pragma once

#include <cstdint>

#include "outbox/store.h"

namespace skerry {

struct OutboxStore::ScorerRow {
  std::uint64_t number = 0;  // the last one that it handed over
  bool kept = false;         // whether that one's rows are stored
  std::uint64_t lost_rows = 0;
  std::uint64_t newly_lost = 0;
  bool is_new = true;  // no row of it yet
};

}  // namespace skerry
