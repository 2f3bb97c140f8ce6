// What a hashed value leaves as. Immutable; thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace skerry {

// The site's pseudonyms: "<first 8 hex digits of SHA-256 of the key>:<32 hex digits>", the latter
// the first half of HMAC-SHA-256 over field name, a zero byte, and value, so that one value in two
// fields gives two pseudonyms.
class Pseudonyms {
 public:
  explicit Pseudonyms(std::string key);
  std::string Of(std::string_view field, std::string_view value) const;
  const std::string& key_id() const { return key_id_; }

 private:
  std::string key_;
  std::string key_id_;
};

}  // namespace skerry
