// Whether a challenger may replace the champion: paired comparison of packages on labelled tables,
// and the verdict with its reasons.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "codec/json.h"
#include "model/package.h"
#include "train/metrics.h"

namespace skerry {

struct CompareReport {
  std::uint64_t rows = 0, positives = 0;
  double champion = 0, challenger = 0;  // average precision
  Interval gain;                        // challenger - champion, paired bootstrap
  Json ToJson() const;
};

Result<CompareReport> ComparePaired(const std::filesystem::path& champion,
                                    const std::filesystem::path& challenger, const Table& table,
                                    const BootstrapOptions& bootstrap);

struct GateOptions {
  std::filesystem::path champion{}, challenger{};  // package directories
  std::map<std::string, const Table*> holdouts{};  // by name; rows that neither was trained on
  // The hold-out on which the lower 95 % bound of the gain must be above 0.
  std::string gain_on{};
  // (A challenger from Retrain must also have learnt something from the labels that came back: the
  // lower 95 % bound of its report's `released.auc` must be above 0.5. Else labels that mean
  // nothing could pass, since rows of new conditions help even with wrong labels.) By hold-out: how
  // much average precision may be lost there (the point estimate).
  std::map<std::string, double> max_loss{};
  BootstrapOptions bootstrap{};
};

struct GateReport {
  bool passed = false;
  std::vector<std::string> reasons{};  // one sentence a condition, those that failed first
  std::map<std::string, CompareReport> holdouts{};
  Json ToJson() const;
  std::string ToText() const;
};

// An unmet condition is a verdict, not an error. kInvalidArgument: a hold-out that is named but not
// given, or that ComparePaired would refuse.
Result<GateReport> Gate(const GateOptions& options);

}  // namespace skerry
