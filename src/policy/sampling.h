// Which rows a rate selects: a hash of the row's id and the class, so that the choice is uniform
// over rows, independent from class to class, and the same whenever it is asked again.
#pragma once

#include "base/ids.h"
#include "policy/record_class.h"

namespace skerry {

// In [0, 1), a multiple of 2^-53. A rate r selects the row when this is below r. The hash is
// written down in docs/formats/policy.md, "Sampling"; it never changes within policy/1.
double SampleDraw(const RowId& row, RecordClass cls);

}  // namespace skerry
