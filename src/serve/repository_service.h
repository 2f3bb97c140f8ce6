// What the routes of the protocol's extensions do: the model repository (index, load, unload),
// statistics, model configuration. Inside serve; the routes hold it shared, since the server keeps
// handlers as copies. Source: Triton Inference Server, protocol extensions "model repository",
// "statistics" and "model configuration".
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/server.h"
#include "serve/inference.h"
#include "serve/scoring_routes.h"

namespace skerry {

// What the server's metadata names, over any protocol.
constexpr std::array<std::string_view, 5> kExtensions = {"classification", "binary_tensor_data",
                                                         "model_repository", "model_configuration",
                                                         "statistics"};

// Thread-safe. Load and Unload block; the others do not.
class RepositoryService {
 public:
  explicit RepositoryService(ScoringParts parts) : parts_(parts), inference_(std::move(parts)) {}

  void Index(HttpRequest& request, Responder responder) const;
  void Load(HttpRequest& request, Responder responder) const;
  void Unload(HttpRequest& request, Responder responder) const;
  void Statistics(HttpRequest& request, Responder responder) const;
  void Config(HttpRequest& request, Responder responder) const;

 private:
  ScoringParts parts_;
  Inference inference_;
};

// The index over any protocol: the library's, or without one what the repository serves.
std::vector<ModelState> RepositoryIndex(const ScoringParts& parts);
// Load and unload over any protocol, blocking. kPermissionDenied unless this server was told to
// obey them; kUnimplemented for a parameter (by name) that would bring the model itself; else the
// library's errors.
Status LoadOnRequest(const ScoringParts& parts, const std::string& name,
                     std::span<const std::string> parameters);
Status UnloadOnRequest(const ScoringParts& parts, const std::string& name);

}  // namespace skerry
