// Parameters that a request may give several times.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace skerry {

// All query parameters of that name, in their order, decoded as HttpRequest::Query decodes one.
std::vector<std::string> QueryAll(const HttpRequest& request, std::string_view name);

}  // namespace skerry
