#include "plot/chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plot/svg_text.h"

namespace skerry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> TextsOf(const std::vector<Tick>& ticks) {
  std::vector<std::string> texts;
  for (const Tick& tick : ticks) texts.push_back(tick.text);
  return texts;
}

TEST(AxisTest, TicksAreRoundNumbersInsideTheAxis) {
  EXPECT_THAT(TextsOf(TicksOf({.low = 0, .high = 1}, 5)),
              ElementsAre("0", "0.2", "0.4", "0.6", "0.8", "1.0"));
  EXPECT_THAT(TextsOf(TicksOf({.low = 0, .high = 1, .is_share = true}, 5)),
              ElementsAre("0 %", "20 %", "40 %", "60 %", "80 %", "100 %"));
  EXPECT_THAT(TextsOf(TicksOf({.low = -7, .high = 13}, 4)), ElementsAre("-5", "0", "5", "10"));
  EXPECT_THAT(TextsOf(TicksOf({.low = 0, .high = 4e6}, 4)),
              ElementsAre("0", "1e+06", "2e+06", "3e+06", "4e+06"));
  EXPECT_THAT(TextsOf(TicksOf({.low = 0, .high = 2e-6}, 2)), ElementsAre("0", "1e-06", "2e-06"));
}

TEST(AxisTest, RangeIsWidenedToWholeTicks) {
  const Axis axis = AxisAround("value", -3.2, 47.1);
  EXPECT_DOUBLE_EQ(axis.low, -10);
  EXPECT_DOUBLE_EQ(axis.high, 50);
  const Axis same = AxisAround("value", 5, 5);
  EXPECT_LT(same.low, 5);
  EXPECT_GT(same.high, 5);
  const Axis zero = AxisAround("value", 0, 0);
  EXPECT_LT(zero.low, zero.high);
}

TEST(SvgTextTest, WhateverTextGivesWellFormedXml) {
  EXPECT_EQ(XmlText("a<b>&\"c\""), "a&lt;b&gt;&amp;&quot;c&quot;");
  EXPECT_EQ(XmlText("Größe °C 温度 😀"), "Größe °C 温度 😀");
  EXPECT_EQ(XmlText(std::string("\x01\x1F\n\x7F")), "\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(XmlText("\xC3"), "\uFFFD") << "cut";
  EXPECT_EQ(XmlText("\xC0\xAF"), "\uFFFD\uFFFD") << "overlong";
  EXPECT_EQ(XmlText("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD") << "a surrogate";
  EXPECT_EQ(XmlText("\xEF\xBF\xBF"), "\uFFFD");
  EXPECT_EQ(XmlText("\xFFz"), "\uFFFDz");
}

TEST(SvgTextTest, LongTextIsClippedByCharacters) {
  EXPECT_EQ(Clipped("abcdef", 6), "abcdef");
  EXPECT_EQ(Clipped("abcdefg", 6), "abcde…");
  EXPECT_EQ(Clipped("äöüß", 3), "äö…");
}

TEST(ChartTest, MarksStandWhereTheAxesSay) {
  Chart chart({.title = "a & b",
               .subtitle = "10 <rows>",
               .x = {.title = "x [mm]", .low = 0, .high = 10},
               .y = {.title = "y", .low = 0, .high = 1},
               .height = 300});
  chart.AddLine({{0, 0}, {5, 0.5}, {10, 1}}, Ink::kBlue, "the line");
  chart.AddDots({{-100, 7}}, Ink::kOrange, 3);
  const std::string svg = chart.ToSvg();
  // The frame is x 78 to 630, y 64 to 364; what lies outside is at its corner.
  EXPECT_THAT(svg, HasSubstr("<path d=\"M78 364L354 214L630 64\" class=\"line s0\"/>"));
  EXPECT_THAT(svg, HasSubstr("<path d=\"M78 64h.01\" class=\"dot s1\" stroke-width=\"6\"/>"));
  EXPECT_THAT(svg, HasSubstr("<title>a &amp; b</title>"));
  EXPECT_THAT(svg, HasSubstr("10 &lt;rows&gt;"));
  EXPECT_THAT(svg, HasSubstr(">x [mm]</text>"));
  EXPECT_THAT(svg, HasSubstr(">the line</text>"));
  EXPECT_THAT(svg, HasSubstr("prefers-color-scheme:dark"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(ChartTest, PointsOfOnePlaceAreDrawnOnce) {
  Chart few({.title = "t", .x = {}, .y = {}});
  few.AddLine({{0, 0}, {1, 1}}, Ink::kBlue);
  Chart many({.title = "t", .x = {}, .y = {}});
  std::vector<ChartPoint> points;
  for (int i = 0; i <= 1'000'000; ++i) points.push_back({i / 1e6, i / 1e6});
  many.AddLine(points, Ink::kBlue);
  many.AddDots(points, Ink::kBlue, 2);
  EXPECT_LT(many.ToSvg().size(), few.ToSvg().size() + 300'000);
}

TEST(ChartTest, NamedRowsBeginAtTheTopAndHaveNotes) {
  Chart chart({.title = "t",
               .x = {.low = 0, .high = 4},
               .y = AxisOfNames("", {"first", "second"}),
               .height = 200,
               .notes = {"40 %", "60 %"}});
  chart.AddBars({{.x_low = 0, .x_high = 4, .y_low = 0.2, .y_high = 0.8}}, Ink::kGreen);
  const std::string svg = chart.ToSvg();
  EXPECT_THAT(svg, HasSubstr("<path d=\"M196 84H576V144H196z\" class=\"bar f2\"/>"));
  EXPECT_LT(svg.find(">first<"), svg.find(">second<"));
  EXPECT_THAT(svg, HasSubstr(">60 %<"));
}

TEST(ChartTest, LongNamesOfTheXAxisAreSlanted) {
  Chart chart({.title = "t",
               .x = AxisOfNames("", std::vector<std::string>(12, "a long class name")),
               .y = {}});
  EXPECT_THAT(chart.ToSvg(), HasSubstr("rotate(-40)"));
  Chart narrow({.title = "t", .x = AxisOfNames("", {"a", "b"}), .y = {}});
  EXPECT_THAT(narrow.ToSvg(), Not(HasSubstr("rotate(-40)")));
}

}  // namespace
}  // namespace skerry
