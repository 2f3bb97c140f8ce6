// Well-known identifiers of people, sought in texts: e-mail addresses, phone numbers, bank account
// numbers (IBAN) and card numbers. What they are is in docs/formats/policy.md. Pure functions; time
// is linear in the text, which is bounded by limits::kIdentifierTextBytes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/error.h"

namespace skerry {

enum class Identifier : std::uint8_t { kEmail, kPhone, kIban, kCard };
constexpr std::array<Identifier, 4> kIdentifiers = {Identifier::kEmail, Identifier::kPhone,
                                                    Identifier::kIban, Identifier::kCard};

// "email", "phone", "iban", "card".
std::string_view IdentifierName(Identifier identifier);
std::optional<Identifier> FindIdentifier(std::string_view name);

// Whether some part of `text` is one. A text over the limit counts as one: nobody looked.
bool HoldsIdentifier(Identifier identifier, std::string_view text);

}  // namespace skerry
