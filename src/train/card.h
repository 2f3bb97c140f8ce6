// card.md of a model package: for people. Inside train.
#pragma once

#include <string>
#include <vector>

#include "train/model_fit.h"

namespace skerry {

// Purpose, data, fields, figures with intervals, limits. `data` says where the rows are from, a
// line each. Depends on nothing but its arguments.
std::string RenderCard(const FittedPackage& package, const std::vector<std::string>& data);

}  // namespace skerry
