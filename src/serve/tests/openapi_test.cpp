#include "serve/openapi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "codec/json.h"
#include "serve/tests/serving_fixture.h"

namespace skerry {
namespace {

class OpenApiTest : public ScoringHttpTest {
 protected:
  const Json document_ = ParseJson(OpenApiDocument()).value();
};

TEST_F(OpenApiTest, HasEveryRouteAndNoOther) {
  std::set<std::string> routes;
  for (const Route& route : ScoringRoutes(Parts()))
    routes.insert(fmt::format("{} {}", route.method, route.pattern));
  std::set<std::string> documented;
  for (const auto& [path, operations] : document_["paths"].items())
    for (const auto& [name, operation] : operations.items()) {
      std::string method = name;
      std::transform(method.begin(), method.end(), method.begin(),
                     [](char c) { return static_cast<char>(c - 'a' + 'A'); });
      documented.insert(fmt::format("{} {}", method, path));
    }
  EXPECT_EQ(documented, routes);
}

// Calls `seen` with every member of that name, however deep.
void ForEach(const Json& json, std::string_view name,
             const std::function<void(const Json&)>& seen) {
  if (json.is_object())
    for (const auto& [key, value] : json.items()) {
      if (key == name) seen(value);
      ForEach(value, name, seen);
    }
  if (json.is_array())
    for (const Json& value : json) ForEach(value, name, seen);
}

TEST_F(OpenApiTest, EveryReferenceIsThere) {
  std::size_t references = 0;
  ForEach(document_, "$ref", [&](const Json& reference) {
    ++references;
    const std::string text = reference.get<std::string>();
    ASSERT_TRUE(text.starts_with("#/")) << text;
    EXPECT_TRUE(document_.contains(Json::json_pointer(text.substr(1)))) << text;
  });
  EXPECT_GT(references, 50U);
}

TEST_F(OpenApiTest, ParametersOfAPathAreDeclaredAndOperationsHaveNamesOfTheirOwn) {
  std::set<std::string> ids;
  for (const auto& [path, operations] : document_["paths"].items())
    for (const auto& [method, operation] : operations.items()) {
      EXPECT_TRUE(ids.insert(operation["operationId"].get<std::string>()).second) << path;
      std::set<std::string> declared;
      if (operation.contains("parameters"))
        for (const Json& parameter : operation["parameters"])
          if (parameter.contains("$ref")) declared.insert(parameter["$ref"].get<std::string>());
      for (const char* name : {"model", "version"})
        EXPECT_EQ(path.find(fmt::format("{{{}}}", name)) != std::string::npos,
                  declared.contains(fmt::format("#/components/parameters/{}", name)))
            << path;
    }
}

TEST_F(OpenApiTest, IsServed) {
  StartServer(Parts());
  const HttpReply reply = Call("GET", "/openapi.json");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, OpenApiDocument());
}

}  // namespace
}  // namespace skerry
