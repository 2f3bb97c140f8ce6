#include "train/metrics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/random.h"

namespace skerry {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Row indexes by falling score, rows of one score by rising index.
std::vector<std::uint32_t> ByFallingScore(std::span<const float> scores) {
  constexpr std::uint32_t kSign = 0x8000'0000U;
  std::vector<std::uint64_t> keys;  // above the index bits that fall as the score rises
  keys.reserve(scores.size());
  for (std::size_t row = 0; row < scores.size(); ++row) {
    const auto bits = std::bit_cast<std::uint32_t>(scores[row] + 0.0F);  // -0 is 0
    const std::uint32_t falling = (bits & kSign) != 0 ? bits : ~(bits | kSign);
    keys.push_back(std::uint64_t{falling} << 32U | row);
  }
  std::sort(keys.begin(), keys.end());
  std::vector<std::uint32_t> order;
  order.reserve(keys.size());
  for (const std::uint64_t key : keys) order.push_back(static_cast<std::uint32_t>(key));
  return order;
}

// Counts rows by score, given how often each row is taken.
class Ranking {
 public:
  explicit Ranking(std::span<const float> scores) : group_(scores.size()) {
    const std::vector<std::uint32_t> order = ByFallingScore(scores);
    for (const std::uint32_t row : order) {
      if (counts_.scores.empty() || counts_.scores.back() != scores[row])
        counts_.scores.push_back(scores[row]);
      group_[row] = static_cast<std::uint32_t>(counts_.scores.size() - 1);
    }
  }

  const ScoreCounts& Count(std::span<const std::uint8_t> labels,
                           std::span<const std::uint32_t> times) {
    counts_.positives.assign(counts_.scores.size(), 0);
    counts_.negatives.assign(counts_.scores.size(), 0);
    for (std::size_t row = 0; row < labels.size(); ++row)
      (labels[row] != 0 ? counts_.positives : counts_.negatives)[group_[row]] += times[row];
    return counts_;
  }
  // By row: which of the distinct scores, falling, it has.
  std::span<const std::uint32_t> groups() const { return group_; }

 private:
  std::vector<std::uint32_t> group_;  // by row: index into counts_.scores
  ScoreCounts counts_;
};

double Sum(const std::vector<std::uint32_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), 0.0);
}

// How often each row is drawn in a resample that has both classes; false when none can be had.
bool DrawRows(std::span<const std::uint8_t> labels, SeededRandom& random,
              std::vector<std::uint32_t>& times) {
  constexpr int kTries = 100;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    std::fill(times.begin(), times.end(), 0U);
    std::size_t positives = 0;
    for (std::size_t i = 0; i < times.size(); ++i) {
      const std::uint64_t row = random.NextBelow(labels.size());
      ++times[row];
      positives += labels[row] != 0;
    }
    if (positives > 0 && positives < times.size()) return true;
  }
  return false;
}

// A threshold that the rows of the first `groups` scores reach and no others. Requires a score.
double ThresholdAfter(const ScoreCounts& counts, std::size_t groups) {
  if (groups == counts.scores.size()) return counts.scores.back();
  if (groups > 0) return Between(counts.scores[groups - 1], counts.scores[groups]);
  return std::nextafter(counts.scores[0], std::numeric_limits<float>::infinity());
}

// Neighbouring scores counted together as one of them, as BootstrapOptions says.
struct Together {
  ScoreCounts counts{};
  std::vector<std::uint32_t> place{};  // in `counts`, by distinct score
};

Together CountTogether(const ScoreCounts& counts, double shares,
                       const std::optional<double>& threshold) {
  const double most_positives = Sum(counts.positives) / shares;
  const double most_negatives = Sum(counts.negatives) / shares;
  const auto reaches = [&](float score) {
    return threshold && static_cast<double>(score) >= *threshold;
  };
  Together together;
  ScoreCounts& merged = together.counts;
  for (std::size_t i = 0; i < counts.scores.size(); ++i) {
    const bool fits = !merged.scores.empty() &&
                      merged.positives.back() + counts.positives[i] <= most_positives &&
                      merged.negatives.back() + counts.negatives[i] <= most_negatives &&
                      reaches(merged.scores.back()) == reaches(counts.scores[i]);
    if (!fits) {
      merged.scores.push_back(counts.scores[i]);
      merged.positives.push_back(0);
      merged.negatives.push_back(0);
    }
    merged.positives.back() += counts.positives[i];
    merged.negatives.back() += counts.negatives[i];
    together.place.push_back(static_cast<std::uint32_t>(merged.scores.size() - 1));
  }
  return together;
}

// Each count becomes a Poisson number of its mean, till both classes are there.
bool DrawCounts(const ScoreCounts& from, SeededRandom& random, ScoreCounts& drawn) {
  constexpr int kTries = 100;
  const auto draw = [&](const std::vector<std::uint32_t>& means, std::vector<std::uint32_t>& to) {
    for (std::size_t i = 0; i < means.size(); ++i)
      to[i] = means[i] == 0 ? 0 : static_cast<std::uint32_t>(random.NextPoisson(means[i]));
  };
  for (int attempt = 0; attempt < kTries; ++attempt) {
    draw(from.positives, drawn.positives);
    draw(from.negatives, drawn.negatives);
    if (Sum(drawn.positives) > 0 && Sum(drawn.negatives) > 0) return true;
  }
  return false;
}

std::vector<Interval> BootstrapCounts(const ScoreCounts& counts, std::span<const Metric> metrics,
                                      const BootstrapOptions& options) {
  constexpr double kShares = 512;
  const ScoreCounts together = CountTogether(counts, kShares, options.threshold).counts;
  SeededRandom random(options.seed);
  ScoreCounts drawn = together;
  std::vector<std::vector<double>> values(metrics.size());
  for (int i = 0; i < options.resamples && DrawCounts(together, random, drawn); ++i)
    for (std::size_t m = 0; m < metrics.size(); ++m) values[m].push_back(metrics[m](drawn));
  std::vector<Interval> intervals;
  for (std::size_t m = 0; m < metrics.size(); ++m) {
    const double value = metrics[m](counts);
    const double moved = value - metrics[m](together);
    for (double& one : values[m]) one += moved;
    intervals.push_back(PercentileInterval(value, std::move(values[m])));
  }
  return intervals;
}

// Rows that two models' counts take together, by label.
struct PairedCell {
  std::uint32_t champion, challenger, positive;  // places in the counts, and the label
  std::uint32_t rows;
};

std::vector<PairedCell> CellsOf(std::span<const std::uint32_t> champion,
                                std::span<const std::uint32_t> challenger,
                                std::span<const std::uint8_t> labels) {
  std::vector<std::uint64_t> keys;
  keys.reserve(labels.size());
  for (std::size_t row = 0; row < labels.size(); ++row)
    keys.push_back(std::uint64_t{champion[row]} << 32U | std::uint64_t{challenger[row]} << 1U |
                   (labels[row] != 0 ? 1U : 0U));
  std::sort(keys.begin(), keys.end());
  std::vector<PairedCell> cells;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (i == 0 || keys[i] != keys[i - 1])
      cells.push_back({static_cast<std::uint32_t>(keys[i] >> 32U),
                       static_cast<std::uint32_t>(keys[i]) >> 1U,
                       static_cast<std::uint32_t>(keys[i] & 1U), 0});
    ++cells.back().rows;
  }
  return cells;
}

// One of the two models, and where each row is in its counts.
struct PairedSide {
  explicit PairedSide(std::span<const float> scores, std::span<const std::uint8_t> labels) {
    constexpr double kShares = 128;  // there are as many cells as pairs of places
    Ranking ranking(scores);
    const std::vector<std::uint32_t> once(labels.size(), 1);
    all = ranking.Count(labels, once);
    Together merged = CountTogether(all, kShares, {});
    together = std::move(merged.counts);
    for (const std::uint32_t group : ranking.groups()) places.push_back(merged.place[group]);
  }
  void Clear() {
    std::ranges::fill(together.positives, 0U);
    std::ranges::fill(together.negatives, 0U);
  }
  void Add(std::uint32_t place, bool positive, std::uint32_t rows) {
    (positive ? together.positives : together.negatives)[place] += rows;
  }

  ScoreCounts all{}, together{};
  std::vector<std::uint32_t> places{};  // by row
};

Interval BootstrapPairedCounts(std::span<const float> champion, std::span<const float> challenger,
                               std::span<const std::uint8_t> labels, const Metric& metric,
                               const BootstrapOptions& options) {
  PairedSide old_side(champion, labels);
  PairedSide new_side(challenger, labels);
  const std::vector<PairedCell> cells = CellsOf(old_side.places, new_side.places, labels);
  const auto gain = [&] { return metric(new_side.together) - metric(old_side.together); };
  const double value = metric(new_side.all) - metric(old_side.all);
  const double moved = value - gain();
  SeededRandom random(options.seed);
  std::vector<double> values;
  for (int i = 0; i < options.resamples; ++i) {
    old_side.Clear();
    new_side.Clear();
    for (const PairedCell& cell : cells) {
      const auto rows = static_cast<std::uint32_t>(random.NextPoisson(cell.rows));
      old_side.Add(cell.champion, cell.positive != 0, rows);
      new_side.Add(cell.challenger, cell.positive != 0, rows);
    }
    const double drawn = gain() + moved;
    if (!std::isnan(drawn)) values.push_back(drawn);
  }
  return PercentileInterval(value, std::move(values));
}

}  // namespace

Interval PercentileInterval(double value, std::vector<double> values) {
  if (values.empty()) return {value, kNan, kNan};
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    const double position = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(position);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    const double fraction = position - static_cast<double>(below);
    return values[below] + (values[above] - values[below]) * fraction;
  };
  return {value, at(0.025), at(0.975)};
}

ScoreCounts CountScores(const ScoredRows& rows) {
  const std::vector<std::uint32_t> once(rows.labels.size(), 1);
  return Ranking(rows.scores).Count(rows.labels, once);
}

double AreaUnderRoc(const ScoreCounts& counts) {
  const double positives = Sum(counts.positives);
  const double negatives = Sum(counts.negatives);
  if (positives == 0 || negatives == 0) return kNan;
  double below = negatives;  // negatives with a lower score
  double wins = 0;
  for (std::size_t i = 0; i < counts.scores.size(); ++i) {
    below -= counts.negatives[i];
    wins += counts.positives[i] * (below + 0.5 * counts.negatives[i]);
  }
  return wins / (positives * negatives);
}

double AveragePrecision(const ScoreCounts& counts) {
  const double positives = Sum(counts.positives);
  if (positives == 0) return kNan;
  double found = 0;
  double taken = 0;
  double sum = 0;
  for (std::size_t i = 0; i < counts.scores.size(); ++i) {
    found += counts.positives[i];
    taken += counts.positives[i] + counts.negatives[i];
    if (counts.positives[i] > 0) sum += counts.positives[i] / positives * (found / taken);
  }
  return sum;
}

double Confusion::precision() const {
  const std::uint64_t predicted = true_positive + false_positive;
  return predicted == 0 ? 0 : static_cast<double>(true_positive) / static_cast<double>(predicted);
}

double Confusion::recall() const {
  const std::uint64_t actual = true_positive + false_negative;
  return actual == 0 ? 0 : static_cast<double>(true_positive) / static_cast<double>(actual);
}

double Confusion::f1() const {
  const std::uint64_t sum = 2 * true_positive + false_positive + false_negative;
  return sum == 0 ? 0 : 2 * static_cast<double>(true_positive) / static_cast<double>(sum);
}

double Confusion::alarm_rate() const {
  const std::uint64_t rows = true_positive + false_positive + true_negative + false_negative;
  return rows == 0
             ? 0
             : static_cast<double>(true_positive + false_positive) / static_cast<double>(rows);
}

double Confusion::false_alarm_rate() const {
  const std::uint64_t negatives = false_positive + true_negative;
  return negatives == 0 ? 0 : static_cast<double>(false_positive) / static_cast<double>(negatives);
}

double Confusion::cost(const ThresholdGoal& goal) const {
  const std::uint64_t rows = true_positive + false_positive + true_negative + false_negative;
  const double cost = goal.false_positive_cost * static_cast<double>(false_positive) +
                      goal.false_negative_cost * static_cast<double>(false_negative);
  return rows == 0 ? 0 : cost / static_cast<double>(rows);
}

Json Confusion::ToJson() const {
  return {{"true_negative", true_negative},   {"false_positive", false_positive},
          {"false_negative", false_negative}, {"true_positive", true_positive},
          {"precision", precision()},         {"recall", recall()}};
}

double Between(float upper, float lower) {
  const float middle = lower + (upper - lower) / 2;
  return middle > lower ? middle : upper;
}

Confusion ConfusionAt(const ScoreCounts& counts, double threshold) {
  Confusion confusion;
  for (std::size_t i = 0; i < counts.scores.size(); ++i) {
    const bool predicted = static_cast<double>(counts.scores[i]) >= threshold;
    (predicted ? confusion.true_positive : confusion.false_negative) += counts.positives[i];
    (predicted ? confusion.false_positive : confusion.true_negative) += counts.negatives[i];
  }
  return confusion;
}

Confusion ConfusionOf(const ScoredRows& rows, double threshold) {
  Confusion confusion;
  for (std::size_t row = 0; row < rows.scores.size(); ++row) {
    const bool predicted = static_cast<double>(rows.scores[row]) >= threshold;
    if (rows.labels[row] != 0)
      ++(predicted ? confusion.true_positive : confusion.false_negative);
    else
      ++(predicted ? confusion.false_positive : confusion.true_negative);
  }
  return confusion;
}

double ThresholdOfMaxF1(const ScoreCounts& counts) {
  const double positives = Sum(counts.positives);
  if (positives == 0) return 0.5;
  double found = 0;
  double taken = 0;
  double best_f1 = -1;
  std::size_t best = 0;
  for (std::size_t i = 0; i < counts.scores.size(); ++i) {
    found += counts.positives[i];
    taken += counts.positives[i] + counts.negatives[i];
    const double f1 = 2 * found / (taken + positives);
    if (f1 <= best_f1) continue;
    best_f1 = f1;
    best = i;
  }
  return ThresholdAfter(counts, best + 1);
}

double ThresholdOfAlarmRate(const ScoreCounts& counts, double alarm_rate) {
  // A share of a whole number of rows is that number, whatever the product was rounded to.
  const double allowed = alarm_rate * (Sum(counts.positives) + Sum(counts.negatives)) * (1 + 1e-12);
  double taken = 0;
  std::size_t groups = 0;
  for (; groups < counts.scores.size(); ++groups) {
    taken += counts.positives[groups] + counts.negatives[groups];
    if (taken > allowed) break;
  }
  return ThresholdAfter(counts, groups);
}

double ThresholdFor(const ThresholdGoal& goal, const ScoreCounts& counts) {
  if (goal.kind == ThresholdGoal::Kind::kF1) return ThresholdOfMaxF1(counts);
  if (goal.kind == ThresholdGoal::Kind::kAlarmRate)
    return ThresholdOfAlarmRate(counts, goal.alarm_rate);
  double cost = goal.false_negative_cost * Sum(counts.positives);
  double least = cost;
  std::size_t groups = 0;
  for (std::size_t i = 0; i < counts.scores.size(); ++i) {
    cost += goal.false_positive_cost * counts.negatives[i] -
            goal.false_negative_cost * counts.positives[i];
    if (!(cost < least)) continue;
    least = cost;
    groups = i + 1;
  }
  return ThresholdAfter(counts, groups);
}

Json Interval::ToJson() const { return {{"value", value}, {"low", low}, {"high", high}}; }

std::vector<Interval> BootstrapIntervals(const ScoredRows& rows, std::span<const Metric> metrics,
                                         const BootstrapOptions& options) {
  if (rows.scores.size() > options.drawn_rows)
    return BootstrapCounts(CountScores(rows), metrics, options);
  SeededRandom random(options.seed);
  Ranking ranking(rows.scores);
  std::vector<std::uint32_t> times(rows.labels.size());
  std::vector<std::vector<double>> values(metrics.size());
  for (int i = 0; i < options.resamples && DrawRows(rows.labels, random, times); ++i) {
    const ScoreCounts& counts = ranking.Count(rows.labels, times);
    for (std::size_t m = 0; m < metrics.size(); ++m) values[m].push_back(metrics[m](counts));
  }
  const ScoreCounts counts = CountScores(rows);
  std::vector<Interval> intervals;
  for (std::size_t m = 0; m < metrics.size(); ++m)
    intervals.push_back(PercentileInterval(metrics[m](counts), std::move(values[m])));
  return intervals;
}

Interval PairedBootstrap(std::span<const float> champion, std::span<const float> challenger,
                         std::span<const std::uint8_t> labels, const Metric& metric,
                         const BootstrapOptions& options) {
  if (labels.size() > options.drawn_rows)
    return BootstrapPairedCounts(champion, challenger, labels, metric, options);
  SeededRandom random(options.seed);
  Ranking old_ranking(champion);
  Ranking new_ranking(challenger);
  const auto gain = [&](std::span<const std::uint32_t> times) {
    return metric(new_ranking.Count(labels, times)) - metric(old_ranking.Count(labels, times));
  };
  std::vector<std::uint32_t> times(labels.size());
  std::vector<double> values;
  for (int i = 0; i < options.resamples && DrawRows(labels, random, times); ++i)
    values.push_back(gain(times));
  std::fill(times.begin(), times.end(), 1U);
  return PercentileInterval(gain(times), std::move(values));
}

}  // namespace skerry
