#include "crypto/field_hash.h"

#include <fmt/format.h>

#include "crypto/digest.h"

namespace skerry {

std::string HashOfFields(std::string_view format, std::initializer_list<std::string_view> fields) {
  std::string text(format);
  for (const std::string_view field : fields) text += fmt::format("\n{}:{}", field.size(), field);
  return std::string(Digest::Sha256(text).hex());
}

}  // namespace skerry
