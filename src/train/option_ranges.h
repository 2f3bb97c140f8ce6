// Which numbers the options of a training take, whoever is told them: the command line, and the
// hub's API.
#pragma once

#include "base/limits.h"

namespace skerry {

struct OptionRange {  // both ends belong to it
  double least = 0, most = 0;
};

namespace option_ranges {
constexpr OptionRange kTrees{1, 100'000};
constexpr OptionRange kDepth{1, 20};
constexpr OptionRange kLearningRate{1e-4, 1};
constexpr OptionRange kBins{2, limits::kFeatureBins};
constexpr OptionRange kThreads{1, 1'024};
constexpr OptionRange kDerive{0, limits::kDerivedFeatures};
constexpr OptionRange kSearch{2, limits::kSearchConfigurations};
constexpr OptionRange kHoldout{0, 0.9};
constexpr OptionRange kAlarmRate{0, 0.5};  // of the detector
}  // namespace option_ranges

}  // namespace skerry
