// One chart: marks on a frame of two axes, written as SVG. Later marks are drawn over earlier ones.
//
//   Chart chart({.title = "ROC", .x = {"false alarms"}, .y = {"recall"}});
//   chart.AddLine(points, Ink::kBlue, "this model: AUC 0.96");
//   chart.ToSvg();
//
// A plain value; not shared between threads while it is drawn on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plot/axis.h"

namespace skerry {

// Colours that stay apart for the colour-blind (Okabe and Ito), on white and on black. kLowest to
// kHighest are a scale.
enum class Ink : std::uint8_t {
  kBlue,
  kOrange,
  kGreen,
  kPink,
  kSky,
  kYellow,
  kBrown,
  kViolet,
  kGrey,
  kLowest,
  kLow,
  kMiddle,
  kHigh,
  kHighest
};
constexpr std::size_t kSeriesInks = 8;  // kBlue to kViolet, for curves side by side
Ink SeriesInk(std::size_t index);

struct ChartPoint {
  double x = 0, y = 0;
};
struct ChartBox {  // in units of the axes
  double x_low = 0, x_high = 0, y_low = 0, y_high = 0;
};
struct ChartInterval {  // upright, with its value as a dot
  double x = 0, low = 0, value = 0, high = 0;
};

struct ChartFrame {
  std::string title{};
  std::string subtitle{};            // which rows, how many
  Axis x{}, y{};                     // a y axis of names begins at the top
  int height = 330;                  // of the frame, pixels
  std::vector<std::string> notes{};  // at the right of each named row
};

class Chart {
 public:
  explicit Chart(ChartFrame frame);

  // An empty label gives no entry of the legend.
  void AddLine(const std::vector<ChartPoint>& points, Ink ink, std::string_view label = {});
  void AddDashed(const std::vector<ChartPoint>& points, std::string_view label = {});
  void AddDots(const std::vector<ChartPoint>& points, Ink ink, double radius,
               std::string_view label = {});
  void AddIntervals(const std::vector<ChartInterval>& intervals, Ink ink,
                    std::string_view label = {});
  void AddBars(const std::vector<ChartBox>& bars, Ink ink, std::string_view label = {});
  // A field of a matrix: the deeper, the more of `share` (0 to 1), with a text in it.
  void AddCell(const ChartBox& cell, double share, std::string_view text);
  // Under the frame, in order: a line of the legend without a mark.
  void AddNote(std::string_view text);

  std::string ToSvg() const;

 private:
  enum class Mark : std::uint8_t { kNone, kLine, kDashed, kDot, kBox };
  struct Entry {
    Mark mark;
    Ink ink;
    std::string label;
  };
  // Pixels of the frame, and of what stands around it.
  struct Layout {
    double left, right, top, bottom;
    bool slanted;  // names of the x axis, which would not stand side by side
    double title;  // of the x axis
  };

  static Layout LayoutOf(const ChartFrame& frame);
  double X(double value) const;
  double Y(double value) const;
  void AddPath(const std::vector<ChartPoint>& points, std::string_view classes);
  void AddEntry(Mark mark, Ink ink, std::string_view label);
  std::string XAxisSvg() const;
  std::string YAxisSvg() const;
  std::string LegendSvg(double y) const;

  ChartFrame frame_;
  Layout at_;
  std::string marks_{};  // SVG
  std::vector<Entry> legend_{};
};

}  // namespace skerry
