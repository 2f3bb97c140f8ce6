// The link of a hash chain over entries with several fields.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace skerry {

// SHA-256, as 64 hex digits, of `format` and, for each field, a newline, its length in bytes, a
// colon and the field: no two entries have the same text. An entry of a chain has the hash of the
// entry before it among its fields.
std::string HashOfFields(std::string_view format, std::initializer_list<std::string_view> fields);

}  // namespace skerry
