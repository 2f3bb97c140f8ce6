#include "plot/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "plot/svg_text.h"

namespace skerry {
namespace {

constexpr double kWidth = 660;
constexpr double kRight = 30;       // free beside the frame, for half a tick
constexpr double kNotesRight = 84;  // the same with notes
constexpr double kTop = 64;         // for title and subtitle
constexpr double kLegendLine = 21;
constexpr std::size_t kNameCharacters = 24;
constexpr std::size_t kTitleCharacters = 80;
constexpr std::size_t kLabelCharacters = 96;

struct InkColours {
  const char *light, *dark;
};
constexpr std::array<InkColours, 14> kInks = {{{"#0072b2", "#56b4e9"},
                                               {"#d55e00", "#ff9e57"},
                                               {"#008a63", "#3ecf9f"},
                                               {"#b8578f", "#e69dc8"},
                                               {"#2f9bd6", "#9bd5f7"},
                                               {"#a08300", "#f0e442"},
                                               {"#7a5230", "#c9a27c"},
                                               {"#5b4bb5", "#b3a7f2"},
                                               {"#7d8792", "#8f9aa6"},
                                               {"#1f5fbf", "#5aa0ff"},
                                               {"#5f9bd8", "#8fc4ff"},
                                               {"#9a8fb0", "#b9adcf"},
                                               {"#e0806a", "#ff9d86"},
                                               {"#c22a2a", "#ff5c5c"}}};

std::size_t IndexOf(Ink ink) { return static_cast<std::size_t>(ink); }

// One decimal at most, no "-0".
std::string Px(double value) {
  const double rounded = std::round(value * 10) / 10;
  if (rounded == std::floor(rounded)) return fmt::format("{:.0f}", rounded == 0 ? 0.0 : rounded);
  return fmt::format("{:.1f}", rounded);
}

// Renderers that know no media query show the light colours.
std::string Style() {
  std::string light =
      ".paper{fill:#fff}.ink{fill:#1b1f24}.soft{fill:#57606a}.grid{stroke:#e4e7eb}"
      ".axis{stroke:#57606a}.cell{fill:#0072b2}.over{fill:#fff}";
  std::string dark =
      ".paper{fill:#14181d}.ink{fill:#e9ecf0}.soft{fill:#a2acb8}.grid{stroke:#2b323a}"
      ".axis{stroke:#a2acb8}.cell{fill:#56b4e9}.over{fill:#0b1015}";
  for (std::size_t i = 0; i < kInks.size(); ++i) {
    light += fmt::format(".s{0}{{stroke:{1}}}.f{0}{{fill:{1}}}", i, kInks[i].light);
    dark += fmt::format(".s{0}{{stroke:{1}}}.f{0}{{fill:{1}}}", i, kInks[i].dark);
  }
  return fmt::format(
      "<style>text{{font:13px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}}"
      ".title{{font-size:17px;font-weight:600}}.small{{font-size:12px}}"
      ".line{{fill:none;stroke-width:2;stroke-linejoin:round}}"
      ".dash{{fill:none;stroke-width:1.3;stroke-dasharray:6 5}}"
      ".dot{{fill:none;stroke-linecap:round;stroke-opacity:.75}}"
      ".bar{{fill-opacity:.55}}.thin{{fill:none;stroke-width:1}}{}"
      "@media(prefers-color-scheme:dark){{{}}}</style>\n",
      light, dark);
}

std::string TextAt(double x, double y, std::string_view classes, std::string_view anchor,
                   std::string_view text) {
  return fmt::format("<text x=\"{}\" y=\"{}\" class=\"{}\" text-anchor=\"{}\">{}</text>\n", Px(x),
                     Px(y), classes, anchor, XmlText(text));
}

std::string LineAt(double x1, double y1, double x2, double y2, std::string_view classes) {
  return fmt::format("<path d=\"M{} {}L{} {}\" class=\"{}\"/>\n", Px(x1), Px(y1), Px(x2), Px(y2),
                     classes);
}

}  // namespace

Ink SeriesInk(std::size_t index) { return static_cast<Ink>(index % kSeriesInks); }

Chart::Chart(ChartFrame frame) : frame_(std::move(frame)), at_(LayoutOf(frame_)) {}

Chart::Layout Chart::LayoutOf(const ChartFrame& frame) {
  const bool names = !frame.x.names.empty();
  std::size_t longest = 0;
  for (const std::string& name : frame.x.names)
    longest = std::max(longest, std::min(name.size(), kNameCharacters));
  const double left = frame.y.names.empty() ? 78 : 196;
  const double right = kWidth - (frame.notes.empty() ? kRight : kNotesRight);
  const double room =
      names ? (right - left) / static_cast<double>(frame.x.names.size()) : right - left;
  const bool slanted = names && static_cast<double>(longest) * 7.2 > room;
  return {.left = left,
          .right = right,
          .top = kTop,
          .bottom = kTop + frame.height,
          .slanted = slanted,
          .title = kTop + frame.height + 40 + (slanted ? static_cast<double>(longest) * 4.6 : 0)};
}

double Chart::X(double value) const {
  const double share =
      std::clamp((value - frame_.x.low) / (frame_.x.high - frame_.x.low), 0.0, 1.0);
  return at_.left + share * (at_.right - at_.left);
}

double Chart::Y(double value) const {
  const double share =
      std::clamp((value - frame_.y.low) / (frame_.y.high - frame_.y.low), 0.0, 1.0);
  return frame_.y.names.empty() ? at_.bottom - share * (at_.bottom - at_.top)
                                : at_.top + share * (at_.bottom - at_.top);
}

void Chart::AddEntry(Mark mark, Ink ink, std::string_view label) {
  if (!label.empty()) legend_.push_back({mark, ink, Clipped(label, kLabelCharacters)});
}

void Chart::AddPath(const std::vector<ChartPoint>& points, std::string_view classes) {
  std::string path;
  std::pair<long, long> last{-1, -1};  // tenths of a pixel
  for (const ChartPoint& point : points) {
    const double x = X(point.x);
    const double y = Y(point.y);
    const std::pair<long, long> at{std::lround(x * 10), std::lround(y * 10)};
    if (at == last) continue;
    path += (path.empty() ? "M" : "L") + Px(x) + " " + Px(y);
    last = at;
  }
  if (!path.empty()) marks_ += fmt::format("<path d=\"{}\" class=\"{}\"/>\n", path, classes);
}

void Chart::AddLine(const std::vector<ChartPoint>& points, Ink ink, std::string_view label) {
  AddPath(points, fmt::format("line s{}", IndexOf(ink)));
  AddEntry(Mark::kLine, ink, label);
}

void Chart::AddDashed(const std::vector<ChartPoint>& points, std::string_view label) {
  AddPath(points, fmt::format("dash s{}", IndexOf(Ink::kGrey)));
  AddEntry(Mark::kDashed, Ink::kGrey, label);
}

void Chart::AddDots(const std::vector<ChartPoint>& points, Ink ink, double radius,
                    std::string_view label) {
  AddEntry(Mark::kDot, ink, label);
  std::vector<std::pair<long, long>> places;  // tenths of a pixel
  for (const ChartPoint& point : points)
    places.emplace_back(std::lround(X(point.x) * 10), std::lround(Y(point.y) * 10));
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  if (places.empty()) return;
  std::string path;  // a dot is a line of no length with round ends
  for (const auto& [x, y] : places)
    path +=
        fmt::format("M{} {}h.01", Px(static_cast<double>(x) / 10), Px(static_cast<double>(y) / 10));
  marks_ += fmt::format("<path d=\"{}\" class=\"dot s{}\" stroke-width=\"{}\"/>\n", path,
                        IndexOf(ink), Px(radius * 2));
}

void Chart::AddIntervals(const std::vector<ChartInterval>& intervals, Ink ink,
                         std::string_view label) {
  constexpr double kCap = 4;
  std::vector<ChartPoint> values;
  std::string path;
  for (const ChartInterval& interval : intervals) {
    const double x = X(interval.x);
    const double low = Y(interval.low);
    const double high = Y(interval.high);
    path += fmt::format("M{0} {2}V{3}M{1} {2}h{4}M{1} {3}h{4}", Px(x), Px(x - kCap), Px(low),
                        Px(high), Px(2 * kCap));
    values.push_back({interval.x, interval.value});
  }
  if (!path.empty())
    marks_ += fmt::format("<path d=\"{}\" class=\"thin s{}\" stroke-width=\"1.4\"/>\n", path,
                          IndexOf(ink));
  AddDots(values, ink, 4, label);
}

void Chart::AddBars(const std::vector<ChartBox>& bars, Ink ink, std::string_view label) {
  std::string path;
  for (const ChartBox& bar : bars) {
    const double left = X(bar.x_low);
    const double right = X(bar.x_high);
    const double y1 = Y(bar.y_low);
    const double y2 = Y(bar.y_high);
    path += fmt::format("M{} {}H{}V{}H{}z", Px(left), Px(y1), Px(right), Px(y2), Px(left));
  }
  if (!path.empty())
    marks_ += fmt::format("<path d=\"{}\" class=\"bar f{}\"/>\n", path, IndexOf(ink));
  AddEntry(Mark::kBox, ink, label);
}

void Chart::AddCell(const ChartBox& cell, double share, std::string_view text) {
  const double left = X(cell.x_low);
  const double right = X(cell.x_high);
  const double top = std::min(Y(cell.y_low), Y(cell.y_high));
  const double bottom = std::max(Y(cell.y_low), Y(cell.y_high));
  marks_ += fmt::format(
      "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" class=\"cell\" "
      "fill-opacity=\"{:.2f}\"/>\n",
      Px(left + 1), Px(top + 1), Px(std::max(right - left - 2, 1.0)),
      Px(std::max(bottom - top - 2, 1.0)), std::clamp(share, 0.0, 1.0));
  marks_ += TextAt((left + right) / 2, (top + bottom) / 2 + 4.5,
                   share > 0.55 ? "small over" : "small ink", "middle", text);
}

void Chart::AddNote(std::string_view text) { AddEntry(Mark::kNone, Ink::kGrey, text); }

std::string Chart::XAxisSvg() const {
  constexpr int kTicks = 8;
  const bool named = !frame_.x.names.empty();
  std::string svg;
  for (const Tick& tick : TicksOf(frame_.x, kTicks)) {
    const double x = X(tick.value);
    if (!named) svg += LineAt(x, at_.top, x, at_.bottom, "thin grid");
    const std::string text = Clipped(tick.text, kNameCharacters);
    svg += at_.slanted ? fmt::format(
                             "<text transform=\"translate({} {})rotate(-40)\" class=\"small soft\" "
                             "text-anchor=\"end\">{}</text>\n",
                             Px(x + 4), Px(at_.bottom + 14), XmlText(text))
                       : TextAt(x, at_.bottom + 18, "small soft", "middle", text);
  }
  return svg + TextAt((at_.left + at_.right) / 2, at_.title, "ink", "middle", frame_.x.title);
}

std::string Chart::YAxisSvg() const {
  constexpr int kTicks = 7;
  const std::vector<Tick> ticks = TicksOf(frame_.y, kTicks);
  std::string svg;
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    const double y = Y(ticks[i].value);
    if (frame_.y.names.empty()) svg += LineAt(at_.left, y, at_.right, y, "thin grid");
    svg +=
        TextAt(at_.left - 8, y + 4.5, "small soft", "end", Clipped(ticks[i].text, kNameCharacters));
    if (i < frame_.notes.size())
      svg += TextAt(at_.right + 8, y + 4.5, "small soft", "start", frame_.notes[i]);
  }
  if (frame_.y.title.empty()) return svg;
  return svg + fmt::format(
                   "<text transform=\"translate(20 {})rotate(-90)\" class=\"ink\" "
                   "text-anchor=\"middle\">{}</text>\n",
                   Px((at_.top + at_.bottom) / 2), XmlText(frame_.y.title));
}

std::string Chart::LegendSvg(double y) const {
  constexpr double kLeft = 30;
  constexpr double kMarkWidth = 24;
  std::string svg;
  for (const Entry& entry : legend_) {
    const std::size_t ink = IndexOf(entry.ink);
    switch (entry.mark) {
      case Mark::kNone: break;
      case Mark::kLine:
      case Mark::kDashed:
        svg += LineAt(kLeft, y - 4, kLeft + kMarkWidth, y - 4,
                      fmt::format("{} s{}", entry.mark == Mark::kLine ? "line" : "dash", ink));
        break;
      case Mark::kDot:
        svg += fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"4\" class=\"f{}\"/>\n",
                           Px(kLeft + kMarkWidth / 2), Px(y - 4), ink);
        break;
      case Mark::kBox:
        svg +=
            fmt::format("<rect x=\"{}\" y=\"{}\" width=\"16\" height=\"11\" class=\"bar f{}\"/>\n",
                        Px(kLeft + 4), Px(y - 10), ink);
    }
    svg += TextAt(entry.mark == Mark::kNone ? kLeft : kLeft + kMarkWidth + 8, y, "small ink",
                  "start", entry.label);
    y += kLegendLine;
  }
  return svg;
}

std::string Chart::ToSvg() const {
  const double legend = at_.title + kLegendLine + 6;
  const double height = legend + kLegendLine * static_cast<double>(legend_.size()) - 4;
  const std::string title = Clipped(frame_.title, kTitleCharacters);
  return fmt::format(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 "
             "{0} {1}\" role=\"img\">\n<title>{2}</title>\n<desc>{3}</desc>\n",
             Px(kWidth), Px(height), XmlText(title), XmlText(frame_.subtitle)) +
         Style() + "<rect width=\"100%\" height=\"100%\" class=\"paper\"/>\n" +
         TextAt(30, 28, "title ink", "start", title) +
         TextAt(30, 48, "small soft", "start", Clipped(frame_.subtitle, kLabelCharacters)) +
         XAxisSvg() + YAxisSvg() + marks_ +
         LineAt(at_.left, at_.bottom, at_.right, at_.bottom, "thin axis") +
         LineAt(at_.left, at_.top, at_.left, at_.bottom, "thin axis") + LegendSvg(legend) +
         "</svg>\n";
}

}  // namespace skerry
