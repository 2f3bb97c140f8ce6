#include "model/format_version.h"

#include <charconv>
#include <string>

namespace skerry {

Status CheckFormat(const JsonObject& object, std::string_view name, unsigned major) {
  SKERRY_ASSIGN_OR_RETURN(const std::string format, object.String("format"));
  const std::string expected = fmt::format("{}/{}", name, major);
  const std::size_t slash = format.find('/');
  if (slash == std::string::npos || std::string_view(format).substr(0, slash) != name)
    return Fail(ErrorCode::kInvalidArgument, "{}.format is \"{}\", expected \"{}\"", object.path(),
                format, expected);
  unsigned found = 0;
  const char* end = format.data() + format.size();
  const auto [rest, error] = std::from_chars(format.data() + slash + 1, end, found);
  if (error != std::errc() || (rest != end && *rest != '.'))
    return Fail(ErrorCode::kInvalidArgument, "{}.format is \"{}\", expected \"{}\"", object.path(),
                format, expected);
  if (found != major)
    return Fail(
        ErrorCode::kUnimplemented,
        "{}.format is \"{}\"; this version of skerry reads \"{}\": update skerry or make the "
        "package again",
        object.path(), format, expected);
  return {};
}

}  // namespace skerry
