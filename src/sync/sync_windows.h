// When a site may use its link: times of the week, in UTC. A plain value.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/error.h"

namespace skerry {

class SyncWindows {
 public:
  // Each of `texts` is "always", "never", or "[DAYS ][HH:MM-HH:MM]" with DAYS a day ("sun") or a
  // range of them ("mon-fri"): "22:00-06:00", "mon-fri 12:00-13:30", "sat-sun". A window that ends
  // before it begins goes on into the next day; one without times takes the whole day. Open is what
  // any of them says; none is "always", and "never" has to stand alone. kInvalidArgument names the
  // text and what it could be.
  static Result<SyncWindows> Parse(std::span<const std::string> texts);

  bool IsOpen(std::int64_t utc_us) const;
  // The start of the next minute that is open; none when there is none.
  std::optional<std::int64_t> NextOpening(std::int64_t utc_us) const;
  bool always() const { return open_.all(); }
  bool never() const { return open_.none(); }

 private:
  static constexpr std::size_t kMinutes = std::size_t{7} * 24 * 60;
  Status Add(std::string_view text);
  Status AddTimes(std::string_view text, std::size_t first_day, std::size_t last_day);

  std::bitset<kMinutes> open_;  // by minute of the week, from Monday 00:00
};

}  // namespace skerry
