// What an action makes of one value. Pure functions; internal to the module.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "policy/document.h"

namespace skerry {

// The double that has the shortest decimal text which reads back as `value`: 298.1f -> 298.1.
double Decimal(float value);
// The shortest decimal text: "298.1", "40".
std::string NumberText(double value);
// "bucket(10)", "mask(4)", "keep".
std::string ActionText(const FieldRule& rule);
// What is appended to a column's name: "__bucket"; "" for keep.
std::string_view ColumnSuffix(FieldAction action);

// The site's pseudonyms: "<first 8 hex digits of SHA-256 of the key>:<32 hex digits>", the latter
// the first half of HMAC-SHA-256 over field name, a zero byte, and value, so that one value in two
// fields gives two pseudonyms.
class Pseudonyms {
 public:
  explicit Pseudonyms(std::string key);
  std::string Of(std::string_view field, std::string_view value) const;

 private:
  std::string key_;
  std::string key_id_;
};

// For keep, bucket and round. NaN stays NaN.
double TransformNumber(const FieldRule& rule, double value);
// For keep, mask and allow; none when nothing is left. `value` is not empty.
std::optional<std::string> TransformText(const FieldRule& rule, std::string_view value);

}  // namespace skerry
