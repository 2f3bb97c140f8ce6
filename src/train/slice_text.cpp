// How slices are told to people.
#include <fmt/format.h>

#include <algorithm>

#include "base/limits.h"
#include "train/slices.h"
#include "train/task_report.h"

namespace skerry {
namespace {

std::string IntervalText(const Interval& interval) {
  return fmt::format("{:.3g} [{:.3g}, {:.3g}]", interval.value, interval.low, interval.high);
}

// The figures that any of the table's groups has, by name.
std::vector<std::string> FiguresOf(const SliceTable& table) {
  std::vector<std::string> names;
  for (const SliceGroup& group : table.groups)
    if (group.figures.figures.size() > names.size()) {
      names.clear();
      for (const auto& [name, interval] : group.figures.figures) names.push_back(name);
    }
  return names;
}

std::string FigureText(const SliceGroup& group, const std::string& name) {
  for (const auto& [own, interval] : group.figures.figures)
    if (own == name) return IntervalText(interval);
  return "-";
}

// A cell of a Markdown table: what would end it is replaced.
std::string MarkdownCell(std::string_view text) {
  std::string cell;
  for (const char c : text) {
    if (c == '|') cell += '\\';
    cell += c == '\n' || c == '\r' ? ' ' : c;
  }
  return cell;
}

std::string LeftOutWords(const SliceTable& table) {
  if (table.left_out_rows == 0) return {};
  return fmt::format("{} rows in groups of fewer than {} are not judged", table.left_out_rows,
                     limits::kLeastSliceRows);
}

bool HasPositives(const SliceTable& table) {
  return std::ranges::any_of(table.groups, [](const SliceGroup& g) { return g.positives > 0; });
}

}  // namespace

std::string SlicesText(const std::vector<SliceTable>& slices) {
  constexpr std::size_t kShownFigures = 2;  // fit into a terminal's line; the card has all
  std::string text;
  for (const SliceTable& table : slices) {
    std::vector<std::string> figures = FiguresOf(table);
    figures.resize(std::min(figures.size(), kShownFigures));
    const bool positives = HasPositives(table);
    text += fmt::format("\n{:<28.28} {:>8}{}", "by " + table.column, "rows",
                        positives ? "  class 1" : "");
    for (const std::string& figure : figures) text += fmt::format("  {:<22}", FigureName(figure));
    while (text.back() == ' ') text.pop_back();
    for (const SliceGroup& group : table.groups) {
      text += fmt::format("\n  {:<26.26} {:>8}", group.name, group.rows);
      if (positives) text += fmt::format(" {:>8}", group.positives);
      for (const std::string& figure : figures)
        text += fmt::format("  {:<22}", FigureText(group, figure));
      while (text.back() == ' ') text.pop_back();
    }
    if (const std::string words = LeftOutWords(table); !words.empty()) text += "\n  " + words;
    text += '\n';
  }
  return text;
}

std::string SlicesSection(const std::vector<SliceTable>& slices) {
  if (slices.empty()) return {};
  std::string text = fmt::format(
      "## Slices\n\nThe same figures on parts of the rows, with 95 % intervals of 200 resamples; "
      "groups of fewer than {} rows are judged together.\n\n",
      limits::kLeastSliceRows);
  for (const SliceTable& table : slices) {
    const std::vector<std::string> figures = FiguresOf(table);
    const bool positives = HasPositives(table);
    text += fmt::format("| {} | rows |", MarkdownCell(table.column));
    std::string rule = "\n| --- | --- |";
    if (positives) text += " of class 1 |";
    if (positives) rule += " --- |";
    for (const std::string& figure : figures) {
      text += fmt::format(" {} |", FigureName(figure));
      rule += " --- |";
    }
    text += rule + "\n";
    for (const SliceGroup& group : table.groups) {
      text += fmt::format("| {} | {} |", MarkdownCell(group.name), group.rows);
      if (positives) text += fmt::format(" {} |", group.positives);
      for (const std::string& figure : figures)
        text += fmt::format(" {} |", FigureText(group, figure));
      text += "\n";
    }
    if (const std::string words = LeftOutWords(table); !words.empty()) text += "\n" + words + ".\n";
    text += "\n";
  }
  return text;
}

}  // namespace skerry
