// The `data` of a tensor in JSON, decoded in one pass. Inside serve only.
#pragma once

#include <simdjson.h>

#include "base/error.h"
#include "model/tensor.h"

namespace skerry {

// `tensor` has its name and has been sized by its type and shape. `data` may be flat or nested; its
// element count must be the shape's. null is NaN in FP32 and FP64 and refused elsewhere. FP16
// cannot travel as JSON. kInvalidArgument names the tensor and the element.
Status ReadElements(simdjson::ondemand::value& data, Tensor& tensor);

}  // namespace skerry
