#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/report_text.h"
#include "cli/terminal.h"

namespace skerry {
namespace {

using testing::HasSubstr;

std::size_t LongestLine(const std::string& text) {
  std::size_t longest = 0;
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t end = std::min(text.find('\n', from), text.size());
    longest = std::max(longest, end - from);
    from = end + 1;
  }
  return longest;
}

TEST(Terminal, WrapsAtWordsAndKeepsThem) {
  std::string words;
  for (int i = 0; i < 60; ++i) words += (i == 0 ? "w" : " w") + std::to_string(i);
  const std::string text = WrapText("  head: ", words, 4);
  EXPECT_LE(LongestLine(text), kTextColumns);
  EXPECT_THAT(text, HasSubstr("\n    w"));
  EXPECT_TRUE(text.ends_with("w59\n"));
  EXPECT_EQ(WrapText("a ", "b", 2), "a b\n");
  const std::string long_word(200, 'x');
  EXPECT_THAT(WrapText("", "a " + long_word, 2), HasSubstr("\n  " + long_word));
}

TEST(Terminal, ShortensInTheMiddleByCharacters) {
  EXPECT_EQ(Shorten("2026-11-24", 10), "2026-11-24");
  EXPECT_EQ(Shorten("0123456789abcdef", 9), "012...def");
  EXPECT_EQ(Shorten("ääääääääää", 7), "ää...ää");
  EXPECT_EQ(Shorten("abc", 2), "abc");
}

TEST(Terminal, ColumnsHaveNoSpaceAtTheirEnd) {
  EXPECT_EQ(RenderColumns({{"a", "b"}, {"long", ""}}), "a     b\nlong\n");
}

TEST(ReportText, BundleNamesWhatCameOfItsParts) {
  const Json report{
      {"bundle", "0123456789abcdef"},
      {"direction", "to-site"},
      {"site", "south"},
      {"parts",
       {{{"kind", "receipt"}, {"name", "receipt"}, {"result", "applied"}},
        {{"kind", "model"}, {"name", "milling:2"}, {"result", "applied"}},
        {{"kind", "policy"}, {"name", "m:1"}, {"result", "refused"}, {"reason", "not signed"}}}}};
  EXPECT_EQ(BundleText(report),
            "bundle 0123456789ab, to site south\n"
            "  applied   receipt, model milling:2\n"
            "  refused   policy m:1: not signed\n");
}

TEST(ReportText, ReconciliationShowsTheTermsThatCount) {
  const Json site{{"site", "north"},
                  {"terms",
                   {{"scored", 23'800},
                    {"received", 12'604},
                    {"withheld", 0},
                    {"not_selected", 11'196},
                    {"shed", 0},
                    {"recalled", 0},
                    {"not_captured", 0},
                    {"quarantined", 0},
                    {"lost", 0},
                    {"pending", 0}}},
                  {"duplicates_ignored", 0},
                  {"unexplained_gaps", 0},
                  {"balanced", true},
                  {"difference", 0}};
  const std::string text = ReconciliationText({site});
  EXPECT_THAT(text, HasSubstr("north  23,800  12,604    11,196        0           0     yes\n"));
  EXPECT_THAT(text, HasSubstr("0 at every site: withheld, shed, recalled, not_captured"));
  EXPECT_LE(LongestLine(text), kTextColumns);
}

TEST(ReportText, ExplanationFitsATerminalWhateverTheValues) {
  const Json field{{"field", "operator_note"},        {"column", ""},
                   {"rule", "no-free-text"},          {"action", "drop"},
                   {"before", std::string(500, 'n')}, {"after", ""}};
  const std::string text =
      ExplanationText({{"policy", "m:1"}, {"model", "m:1"}, {"fields", {field}}});
  EXPECT_LE(LongestLine(text), kTextColumns);
  EXPECT_THAT(text, HasSubstr("(stays here)"));
}

}  // namespace
}  // namespace skerry
