#include "http/router.h"

#include <set>

#include "http/url.h"

namespace skerry {
namespace {

// Decoded segments of a path; nothing when it is no absolute path, too long or badly encoded.
std::optional<std::vector<std::string>> SplitPath(std::string_view path) {
  if (!path.starts_with('/')) return std::nullopt;
  std::vector<std::string> segments;
  path.remove_prefix(1);
  while (true) {
    const std::size_t slash = path.find('/');
    auto decoded = PercentDecode(path.substr(0, slash));
    if (!decoded || segments.size() >= limits::kPathSegments) return std::nullopt;
    segments.push_back(std::move(*decoded));
    if (slash == std::string_view::npos) return segments;
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
                   const std::vector<std::string>& path, std::size_t from,
                   std::map<std::string, std::string, std::less<>>& params) {
  if (at == segments.size()) return from == path.size();
  if (from == path.size()) return false;
  const Segment& segment = segments[at];
  if (segment.kind == Segment::Kind::kLiteral)
    return segment.text == path[from] && Match(segments, at + 1, path, from + 1, params);
  // Shortest first; the literals behind decide where it ends. An empty segment is no value.
  std::string value;
  const std::size_t last =
      segment.kind == Segment::Kind::kOne ? from : path.size() - (segments.size() - at);
  for (std::size_t end = from; end <= last && end < path.size(); ++end) {
    if (path[end].empty()) return false;
    value += (end > from ? "/" : "") + path[end];
    if (!Match(segments, at + 1, path, end + 1, params)) continue;
    params.emplace(segment.text, value);
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
    const auto segments = SplitPath(path);
    std::map<std::string, std::string, std::less<>> found;
    for (const Pattern& pattern : patterns_) {
      if (!segments || seen.exact != kNone) break;
      if (segments->size() < pattern.segments.size()) continue;
      const std::size_t get_before = seen.get;
      found.clear();
      if (!Match(pattern.segments, 0, *segments, 0, found)) continue;
      Note(pattern.route, method, seen);
      if (seen.exact == pattern.route || (method == "HEAD" && get_before != seen.get))
        params = found;
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
