// Finds the route of a request. Immutable after Make; every thread may call Find.
#pragma once

#include <array>
#include <list>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/limits.h"
#include "http/server.h"

namespace skerry {

class Router {
 public:
  // kInvalidArgument for a pattern that does not begin with "/", has an unnamed or unclosed
  // parameter, or a name twice.
  static Result<Router> Make(std::vector<Route> routes);

  struct Found {
    const Route* route = nullptr;  // null: none for this method
    std::size_t index = 0;         // of the route in routes()
    bool path_known = false;
    std::string allow;  // the methods that the path has, when none fits
  };
  using Params = std::map<std::string, std::string, std::less<>>;
  // `path` is raw; parameters are decoded into `params`. HEAD falls back to GET. Nothing but the
  // parameters is allocated for a path without percent signs.
  Found Find(std::string_view method, std::string_view path, Params& params) const;
  const std::vector<Route>& routes() const { return routes_; }

  // The decoded segments of a path: views into it, or into `decoded`.
  struct Path {
    std::array<std::string_view, limits::kPathSegments> segments;
    std::size_t count = 0;
    std::list<std::string> decoded;
  };

 private:
  struct Segment {
    enum class Kind { kLiteral, kOne, kMany } kind;
    std::string text;  // literal, or the parameter's name
  };
  struct Pattern {
    std::size_t route;
    std::vector<Segment> segments;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  struct Seen {
    std::size_t get = kNone;
    std::size_t exact = kNone;
    std::string allow;
  };
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  static Result<std::vector<Segment>> ParsePattern(std::string_view pattern);
  static bool Match(const std::vector<Segment>& segments, std::size_t at,
                    std::span<const std::string_view> path, Params& params);
  void Note(std::size_t route, std::string_view method, Seen& seen) const;

  std::vector<Route> routes_;
  std::unordered_map<std::string, std::vector<std::size_t>, Hash, std::equal_to<>> literal_;
  std::vector<Pattern> patterns_;
};

}  // namespace skerry
