#include "http/query.h"

#include <algorithm>

namespace skerry {

std::vector<std::string> QueryAll(const HttpRequest& request, std::string_view name) {
  std::vector<std::string> values;
  const std::size_t mark = request.target.find('?');
  if (mark == std::string::npos) return values;
  HttpRequest one;  // a request of one parameter, so that there is one way of decoding
  std::string_view rest = std::string_view(request.target).substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    one.target = "?" + std::string(item);
    if (one.HasQuery(name)) values.push_back(one.Query(name));
  }
  return values;
}

}  // namespace skerry
