// Configuration in YAML, bound to the variables of a struct: each key with its type, default, unit
// and doc string in one place, from which reading, the error messages and the reference text come.
//
//   struct OutboxSettings { std::int64_t quota_bytes = 1 << 30; std::chrono::milliseconds age{5s};
//   }; OutboxSettings settings; ConfigSpec spec; spec.Add("outbox.quota_bytes",
//   &settings.quota_bytes, "bytes", "What the outbox may occupy.")
//       .Add("outbox.segment_age", &settings.age, "duration", "Seal a segment at this age.");
//   SKERRY_RETURN_IF_ERROR(spec.Load(yaml), path);
//
// A dot in a key is one level of nesting in the document. Ownership: the variables belong to the
// caller and outlive the spec. Thread safety: none; used at start.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"

namespace skerry {

class ConfigSpec {
 public:
  // The variable's value at this moment is the default that Reference() shows. `unit` may be empty.
  // Integers with the unit "bytes" may be written with a suffix (512KiB, 64MiB, 10GiB); durations
  // are written with theirs (250ms, 5s, 2m, 1h, 7d). A key is added once, and is not a prefix
  // level of another (asserted).
  ConfigSpec& Add(std::string key, std::string* value, std::string unit, std::string doc);
  ConfigSpec& Add(std::string key, std::int64_t* value, std::string unit, std::string doc);
  ConfigSpec& Add(std::string key, double* value, std::string unit, std::string doc);
  ConfigSpec& Add(std::string key, bool* value, std::string unit, std::string doc);
  ConfigSpec& Add(std::string key, std::chrono::milliseconds* value, std::string unit,
                  std::string doc);
  // A list of texts: [a, b].
  ConfigSpec& Add(std::string key, std::vector<std::string>* value, std::string unit,
                  std::string doc);

  // Sets the variables that the document names; the others keep their value. All or nothing: on an
  // error no variable has changed. An empty document is fine. kInvalidArgument with line and column
  // for text that is no YAML, for a value of the wrong type, and for an unknown key, naming the
  // keys that are known there.
  Status Load(std::string_view yaml) const;

  // One paragraph a key, in the order of Add: key, type, unit, default, doc. For --help and the
  // reference page.
  std::string Reference() const;

 private:
  using Target = std::variant<std::string*, std::int64_t*, double*, bool*,
                              std::chrono::milliseconds*, std::vector<std::string>*>;
  struct Entry {
    std::string key;
    Target target;
    std::string unit;
    std::string doc;
    std::string default_text;
  };
  // An accepted value, kept aside until the whole document is.
  struct Assignment {
    const Entry* entry;
    std::variant<std::string, std::int64_t, double, bool, std::chrono::milliseconds,
                 std::vector<std::string>>
        value;
  };
  class Reader;

  ConfigSpec& AddEntry(std::string key, Target target, std::string unit, std::string doc);

  std::vector<Entry> entries_;
};

}  // namespace skerry
