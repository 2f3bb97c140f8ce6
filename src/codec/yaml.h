// YAML for people: read into Json, with the line of each value kept for errors.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "codec/json.h"

namespace skerry {

// A key as one reference token of a JSON pointer: `~` and `/` escaped (RFC 6901, section 3).
std::string EscapeJsonPointer(std::string_view key);

struct YamlDocument {
  struct Mark {
    int line = 1;    // from 1
    int column = 1;  // from 1
  };
  Json value;
  // JSON pointer ("/fields/torque") -> where it stands.
  std::map<std::string, Mark> marks;

  // "line 3, column 5", or the nearest enclosing value's place.
  std::string Where(std::string_view pointer) const;
};

// Scalars become null, bool, integer, number or string by the YAML 1.2 core schema; quoted ones
// stay strings. kInvalidArgument with line and column; duplicate keys, aliases and depth over
// limits::kJsonDepth are refused; kTooLarge over limits::kYamlBytes.
Result<YamlDocument> ParseYaml(std::string_view text);

}  // namespace skerry
