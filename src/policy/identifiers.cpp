#include "policy/identifiers.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "base/limits.h"

namespace skerry {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsWord(char c) { return IsDigit(c) || IsLetter(c); }
char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

// RFC 5321's lengths: 64 of the local part, 255 of the domain.
constexpr std::size_t kLocalPart = 64;
constexpr std::size_t kDomain = 255;

bool IsDomain(std::string_view text) {
  std::size_t end = 0;
  while (end < text.size() && end < kDomain &&
         (IsWord(text[end]) || text[end] == '-' || text[end] == '.'))
    ++end;
  // A full stop behind the address is the sentence's.
  while (end > 0 && !IsWord(text[end - 1])) --end;
  const std::string_view domain = text.substr(0, end);
  const std::size_t dot = domain.rfind('.');
  if (dot == std::string_view::npos || dot == 0 || domain.front() == '-') return false;
  if (domain.find("..") != std::string_view::npos) return false;
  const std::string_view top = domain.substr(dot + 1);
  return top.size() >= 2 && std::all_of(top.begin(), top.end(), IsLetter);
}

bool HoldsEmail(std::string_view text) {
  constexpr std::string_view kLocal = "!#$%&'*+-/=?^_`{|}~.";
  for (std::size_t at = text.find('@'); at != std::string_view::npos; at = text.find('@', at + 1)) {
    std::size_t from = at;
    while (from > 0 && at - from < kLocalPart &&
           (IsWord(text[from - 1]) || kLocal.find(text[from - 1]) != std::string_view::npos))
      --from;
    if (from < at && text[at - 1] != '.' && IsDomain(text.substr(at + 1))) return true;
  }
  return false;
}

// E.164: a country code from 1 on, 15 digits at most.
constexpr std::size_t kPhoneLeast = 8;
constexpr std::size_t kPhoneMost = 15;

// `text` begins behind the `+` or `00`.
bool IsPhone(std::string_view text) {
  constexpr std::string_view kBetween = " -./()";
  std::size_t digits = 0;
  std::size_t between = 0;
  for (std::size_t i = 0; i < text.size() && between <= 2; ++i) {
    if (!IsDigit(text[i])) {
      if (kBetween.find(text[i]) == std::string_view::npos) return false;
      ++between;
      continue;
    }
    between = 0;
    if (++digits == 1 && text[i] == '0') return false;
    if (digits > kPhoneMost) return false;
    const bool group_ends = i + 1 == text.size() || !IsDigit(text[i + 1]);
    if (group_ends && digits >= kPhoneLeast) return true;
  }
  return false;
}

bool HoldsPhone(std::string_view text) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '+' && IsPhone(text.substr(at + 1))) return true;
    const bool begins = at == 0 || !IsWord(text[at - 1]);
    if (begins && text.substr(at, 2) == "00" && IsPhone(text.substr(at + 2))) return true;
  }
  return false;
}

struct IbanLength {
  std::string_view country;
  std::size_t length;
};
// The IBAN registry (ISO 13616).
constexpr std::array<IbanLength, 88> kIbanLengths = {{
    {"AD", 24}, {"AE", 23}, {"AL", 28}, {"AT", 20}, {"AZ", 28}, {"BA", 20}, {"BE", 16}, {"BG", 22},
    {"BH", 22}, {"BI", 27}, {"BR", 29}, {"BY", 28}, {"CH", 21}, {"CR", 22}, {"CY", 28}, {"CZ", 24},
    {"DE", 22}, {"DJ", 27}, {"DK", 18}, {"DO", 28}, {"EE", 20}, {"EG", 29}, {"ES", 24}, {"FI", 18},
    {"FK", 18}, {"FO", 18}, {"FR", 27}, {"GB", 22}, {"GE", 22}, {"GI", 23}, {"GL", 18}, {"GR", 27},
    {"GT", 28}, {"HN", 28}, {"HR", 21}, {"HU", 28}, {"IE", 22}, {"IL", 23}, {"IQ", 23}, {"IS", 26},
    {"IT", 27}, {"JO", 30}, {"KW", 30}, {"KZ", 20}, {"LB", 28}, {"LC", 32}, {"LI", 21}, {"LT", 20},
    {"LU", 20}, {"LV", 21}, {"LY", 25}, {"MC", 27}, {"MD", 24}, {"ME", 22}, {"MK", 19}, {"MN", 20},
    {"MR", 27}, {"MT", 31}, {"MU", 30}, {"NI", 28}, {"NL", 18}, {"NO", 15}, {"OM", 23}, {"PK", 24},
    {"PL", 28}, {"PS", 29}, {"PT", 25}, {"QA", 29}, {"RO", 24}, {"RS", 22}, {"RU", 33}, {"SA", 24},
    {"SC", 31}, {"SD", 18}, {"SE", 24}, {"SI", 19}, {"SK", 24}, {"SM", 27}, {"SO", 23}, {"ST", 25},
    {"SV", 28}, {"TL", 23}, {"TN", 24}, {"TR", 26}, {"UA", 29}, {"VA", 22}, {"VG", 24}, {"XK", 20},
}};

std::size_t IbanLengthOf(std::string_view text) {
  const std::array<char, 2> country = {Upper(text[0]), Upper(text[1])};
  for (const IbanLength& known : kIbanLengths)
    if (known.country == std::string_view(country.data(), 2)) return known.length;
  return 0;
}

// ISO 7064 MOD 97-10 over the characters with the first four moved to the end.
bool IsIban(std::string_view text) {
  if (text.size() < 2 || !IsLetter(text[0]) || !IsLetter(text[1])) return false;
  const std::size_t length = IbanLengthOf(text);
  if (length == 0) return false;
  std::array<char, 34> iban{};
  std::size_t count = 0;
  std::size_t at = 0;
  for (; at < text.size() && count < length; ++at) {
    if (IsWord(text[at]))
      iban[count++] = Upper(text[at]);
    else if ((text[at] != ' ' && text[at] != '-') || !IsWord(text[at - 1]))
      return false;
  }
  if (count < length || (at < text.size() && IsWord(text[at]))) return false;
  if (!IsDigit(iban[2]) || !IsDigit(iban[3])) return false;
  unsigned rest = 0;
  for (std::size_t i = 0; i < length; ++i) {
    const char c = iban[(i + 4) % length];
    const unsigned value =
        IsDigit(c) ? static_cast<unsigned>(c - '0') : static_cast<unsigned>(c - 'A') + 10;
    rest = (rest * (value < 10 ? 10 : 100) + value) % 97;
  }
  return rest == 1;
}

bool HoldsIban(std::string_view text) {
  for (std::size_t at = 0; at < text.size(); ++at)
    if ((at == 0 || !IsWord(text[at - 1])) && IsIban(text.substr(at))) return true;
  return false;
}

// ISO/IEC 7812: 13 to 19 digits are in use, the first one 2 to 6 for cards that pay.
constexpr std::size_t kCardLeast = 13;
constexpr std::size_t kCardMost = 19;

bool PassesLuhn(std::string_view digits) {
  unsigned sum = 0;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    unsigned value = static_cast<unsigned>(digits[digits.size() - 1 - i] - '0');
    if (i % 2 == 1) value = value < 5 ? 2 * value : 2 * value - 9;
    sum += value;
  }
  return sum % 10 == 0;
}

// `text` begins with the first digit of a group; a number ends where a group does.
bool IsCard(std::string_view text) {
  if (text[0] < '2' || text[0] > '6') return false;
  std::array<char, kCardMost> digits{};
  std::size_t count = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!IsDigit(text[i])) {
      if ((text[i] != ' ' && text[i] != '-') || !IsDigit(text[i - 1])) return false;
      continue;
    }
    if (count == kCardMost) return false;
    digits[count++] = text[i];
    const bool group_ends = i + 1 == text.size() || !IsDigit(text[i + 1]);
    if (group_ends && count >= kCardLeast && PassesLuhn({digits.data(), count})) return true;
  }
  return false;
}

bool HoldsCard(std::string_view text) {
  for (std::size_t at = 0; at < text.size(); ++at)
    if (IsDigit(text[at]) && (at == 0 || !IsWord(text[at - 1])) && IsCard(text.substr(at)))
      return true;
  return false;
}

}  // namespace

std::string_view IdentifierName(Identifier identifier) {
  switch (identifier) {
    case Identifier::kEmail: return "email";
    case Identifier::kPhone: return "phone";
    case Identifier::kIban: return "iban";
    case Identifier::kCard: return "card";
  }
  return "unknown";
}

std::optional<Identifier> FindIdentifier(std::string_view name) {
  for (const Identifier identifier : kIdentifiers)
    if (IdentifierName(identifier) == name) return identifier;
  return std::nullopt;
}

bool HoldsIdentifier(Identifier identifier, std::string_view text) {
  if (text.size() > limits::kIdentifierTextBytes) return true;
  switch (identifier) {
    case Identifier::kEmail: return HoldsEmail(text);
    case Identifier::kPhone: return HoldsPhone(text);
    case Identifier::kIban: return HoldsIban(text);
    case Identifier::kCard: return HoldsCard(text);
  }
  return true;
}

}  // namespace skerry
