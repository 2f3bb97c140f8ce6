#include "policy/identifiers.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "base/limits.h"

namespace skerry {
namespace {

void ExpectOnly(Identifier wanted, const std::string& text) {
  for (const Identifier identifier : kIdentifiers)
    EXPECT_EQ(HoldsIdentifier(identifier, text), identifier == wanted)
        << IdentifierName(identifier) << " in \"" << text << "\"";
}
void ExpectNone(const std::string& text) {
  for (const Identifier identifier : kIdentifiers)
    EXPECT_FALSE(HoldsIdentifier(identifier, text))
        << IdentifierName(identifier) << " in \"" << text << "\"";
}

TEST(Identifiers, FindsAddressesWhereverTheyStand) {
  for (const char* text : {"jo@example.org", "write to Jo.O'Hara+x@mail.example.co.uk.",
                           "<ann_b@ex-ample.museum>", "a@b@c.de"})
    ExpectOnly(Identifier::kEmail, text);
  for (const char* text :
       {"@home", "jo@", "jo@localhost", "valve @ 3.5 bar", "a.@b.c1", "x@y..de", "m@3.14"})
    ExpectNone(text);
}

TEST(Identifiers, FindsPhoneNumbersInInternationalForm) {
  for (const char* text : {"+4930123456", "call +49 (30) 123-456", "0041 44 668 18 00",
                           "+1.202.555.0143 please", "tel:+442079460958"})
    ExpectOnly(Identifier::kPhone, text);
  for (const char* text :
       {"+12", "+0301234567", "+ 5 bar", "1 000 000 rows", "+12345678901234567", "20014412345678"})
    ExpectNone(text);
}

// Examples of the registry, and each with one digit changed.
TEST(Identifiers, FindsAccountNumbersByTheirCheckDigits) {
  for (const std::string text :
       {"DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "GB29 NWBK 6016 1331 9268 19",
        "NO9386011117947", "MT84MALT011000012345MTLCAST001S", "fr14 2004 1010 0505 0001 3m02 606",
        "paid from CH93-0076-2011-6238-5295-7 today"}) {
    EXPECT_TRUE(HoldsIdentifier(Identifier::kIban, text)) << text;
    std::string wrong = text;
    const std::size_t at = wrong.find_first_of("0123456789");
    wrong[at] = wrong[at] == '9' ? '0' : static_cast<char>(wrong[at] + 1);
    EXPECT_FALSE(HoldsIdentifier(Identifier::kIban, wrong)) << wrong;
  }
  ExpectNone("DE8937040044053201300");       // too short
  ExpectNone("XX89370400440532013000");      // no such country
  ExpectNone("DE893704004405320130001234");  // goes on
}

TEST(Identifiers, FindsCardNumbersByLuhn) {
  for (const char* text : {"4111111111111111", "4111 1111 1111 1111 12/27", "5500-0000-0000-0004",
                           "order 12 378282246310005", "6011111111111117"})
    ExpectOnly(Identifier::kCard, text);
  for (const char* text : {"4111111111111112", "0000000000000000", "1111111111111117",
                           "41111111111111111111111111", "4111 1111 1111", "x4111111111111111"})
    ExpectNone(text);
}

TEST(Identifiers, ATextThatIsTooLongToLookThroughCountsAsOne) {
  const std::string least(limits::kIdentifierTextBytes, 'a');
  ExpectNone(least);
  for (const Identifier identifier : kIdentifiers)
    EXPECT_TRUE(HoldsIdentifier(identifier, least + "a"));
}

// Worst cases of each, as long as they may be: far from quadratic.
TEST(Identifiers, LooksThroughTheLongestTextsInBoundedTime) {
  for (const std::string piece : {"a@", "+1 ", "00 1", "DE89 3704 0044 0532 0130 01 ",
                                  "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 2 ", "+-", "@.", "a"}) {
    std::string text;
    while (text.size() + piece.size() <= limits::kIdentifierTextBytes) text += piece;
    const auto started = std::chrono::steady_clock::now();
    for (const Identifier identifier : kIdentifiers) (void)HoldsIdentifier(identifier, text);
    EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(2)) << piece;
  }
}

TEST(Identifiers, NamesLeadBack) {
  for (const Identifier identifier : kIdentifiers)
    EXPECT_EQ(FindIdentifier(IdentifierName(identifier)), identifier);
  EXPECT_FALSE(FindIdentifier("passport"));
}

}  // namespace
}  // namespace skerry
