// What an action makes of one value. Pure functions; internal to the module.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "policy/document.h"
#include "policy/pseudonyms.h"

namespace skerry {

// The double that has the shortest decimal text which reads back as `value`: 298.1f -> 298.1.
double Decimal(float value);
// The shortest decimal text: "298.1", "40".
std::string NumberText(double value);
// "bucket(10)", "mask(4)", "keep".
std::string ActionText(const FieldRule& rule);
// What is appended to a column's name: "__bucket"; "" for keep.
std::string_view ColumnSuffix(FieldAction action);

// The nearest double to `times` steps: 3 steps of 0.1 are 0.3.
double Steps(double step, double times);
// For keep, bucket and round. NaN stays NaN.
double TransformNumber(const FieldRule& rule, double value);
// What is sought in the text and found there.
std::optional<Identifier> FindBlocked(const FieldRule& rule, std::string_view value);
// For keep, mask and allow; none when nothing is left, or something blocked is found. `value` is
// not empty.
std::optional<std::string> TransformText(const FieldRule& rule, std::string_view value);

}  // namespace skerry
