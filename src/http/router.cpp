#include "http/router.h"

#include <set>
#include <utility>

#include "http/url.h"

namespace skerry {
namespace {

bool SplitPath(std::string_view path, Router::Path& out) {
  out.count = 0;
  if (!path.starts_with('/')) return false;
  path.remove_prefix(1);
  while (true) {
    if (out.count == out.segments.size()) return false;
    const std::size_t slash = path.find('/');
    std::string_view segment = path.substr(0, slash);
    if (segment.find('%') != std::string_view::npos) {
      auto decoded = PercentDecode(segment);
      if (!decoded) return false;
      segment = out.decoded.emplace_back(std::move(*decoded));
    }
    out.segments[out.count++] = segment;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

}  // namespace

Result<std::vector<Router::Segment>> Router::ParsePattern(std::string_view pattern) {
  std::vector<Segment> segments;
  std::set<std::string> names;
  std::string_view rest = pattern;
  while (!rest.empty()) {
    rest.remove_prefix(1);
    std::string_view piece = rest.substr(0, rest.find('/'));
    rest.remove_prefix(piece.size());
    if (!piece.starts_with('{')) {
      segments.push_back({Segment::Kind::kLiteral, std::string(piece)});
      continue;
    }
    const bool closed = piece.ends_with('}');
    piece = closed ? piece.substr(1, piece.size() - 2) : piece;
    const bool many = piece.ends_with("...");
    if (many) piece.remove_suffix(3);
    if (!closed || piece.empty() || !names.insert(std::string(piece)).second)
      return Fail(ErrorCode::kInvalidArgument, "route pattern '{}' has a bad parameter", pattern);
    segments.push_back({many ? Segment::Kind::kMany : Segment::Kind::kOne, std::string(piece)});
  }
  return segments;
}

Result<Router> Router::Make(std::vector<Route> routes) {
  Router router;
  router.routes_ = std::move(routes);
  for (std::size_t i = 0; i < router.routes_.size(); ++i) {
    const std::string& pattern = router.routes_[i].pattern;
    if (!pattern.starts_with('/'))
      return Fail(ErrorCode::kInvalidArgument, "route pattern '{}' does not begin with '/'",
                  pattern);
    if (pattern.find('{') == std::string::npos) {
      router.literal_[pattern].push_back(i);
      continue;
    }
    SKERRY_ASSIGN_OR_RETURN(auto segments, ParsePattern(pattern));
    router.patterns_.push_back({i, std::move(segments)});
  }
  return router;
}

bool Router::Match(const std::vector<Segment>& segments, std::size_t at,
                   std::span<const std::string_view> path, Params& params) {
  if (at == segments.size()) return path.empty();
  if (path.empty()) return false;
  const Segment& segment = segments[at];
  if (segment.kind == Segment::Kind::kLiteral)
    return segment.text == path[0] && Match(segments, at + 1, path.subspan(1), params);
  // Shortest first; the literals behind decide where it ends. An empty segment is no value.
  const std::size_t behind = segments.size() - at - 1;
  if (path.size() <= behind) return false;
  const std::size_t most = segment.kind == Segment::Kind::kOne ? 1 : path.size() - behind;
  for (std::size_t count = 1; count <= most; ++count) {
    if (path[count - 1].empty()) return false;
    if (!Match(segments, at + 1, path.subspan(count), params)) continue;
    params.emplace(segment.text, fmt::format("{}", fmt::join(path.first(count), "/")));
    return true;
  }
  return false;
}

void Router::Note(std::size_t route, std::string_view method, Seen& seen) const {
  const std::string& has = routes_[route].method;
  if (has == method && seen.exact == kNone) seen.exact = route;
  if (has == "GET" && seen.get == kNone) seen.get = route;
  if (seen.exact == kNone && seen.allow.find(has) == std::string::npos)
    seen.allow += (seen.allow.empty() ? "" : ", ") + has;
}

Router::Found Router::Find(std::string_view method, std::string_view path,
                           std::map<std::string, std::string, std::less<>>& params) const {
  Seen seen;
  const auto literal = literal_.find(path);
  if (literal != literal_.end())
    for (const std::size_t route : literal->second) Note(route, method, seen);
  if (seen.exact == kNone) {
    Path split;
    const bool whole = SplitPath(path, split);
    Params found;
    for (const Pattern& pattern : patterns_) {
      if (!whole || seen.exact != kNone) break;
      const std::size_t get_before = seen.get;
      found.clear();
      if (!Match(pattern.segments, 0, std::span(split.segments).first(split.count), found))
        continue;
      Note(pattern.route, method, seen);
      if (seen.exact == pattern.route || (method == "HEAD" && get_before != seen.get))
        params = std::move(found);
    }
  }
  Found result;
  result.path_known = seen.exact != kNone || !seen.allow.empty();
  const std::size_t route = seen.exact == kNone && method == "HEAD" ? seen.get : seen.exact;
  if (route == kNone) {
    result.allow = std::move(seen.allow);
    return result;
  }
  result.route = &routes_[route];
  result.index = route;
  return result;
}

}  // namespace skerry
