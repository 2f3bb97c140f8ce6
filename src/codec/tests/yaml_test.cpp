#include "codec/yaml.h"

#include <gtest/gtest.h>

namespace skerry {
namespace {

TEST(ParseYaml, ReadsScalarsByTheCoreSchemaAndKeepsQuotedStrings) {
  const auto document = ParseYaml("a: 1\nb: '1'\nc: 1.5\nd: yes\ne: true\nf: ~\ng: [x, {h: 2}]\n");
  ASSERT_TRUE(document) << document.error().ToString();
  EXPECT_EQ(DumpJson(document->value),
            R"({"a":1,"b":"1","c":1.5,"d":"yes","e":true,"f":null,"g":["x",{"h":2}]})");
}

TEST(ParseYaml, KnowsWhereEachValueStands) {
  const auto document = ParseYaml("fields:\n  torque: {round: 1}\n");
  ASSERT_TRUE(document);
  EXPECT_EQ(document->Where("/fields/torque"), "line 2, column 11");
  EXPECT_EQ(document->Where("/fields/torque/nothing/here"), "line 2, column 11");
}

TEST(ParseYaml, RefusesDuplicatesAliasesAndBrokenTextWithLineAndColumn) {
  for (const char* bad : {"a: 1\na: 2\n", "a: &x 1\nb: *x\n", "a: [1\n", "? {a: 1}\n: 2\n"}) {
    const auto document = ParseYaml(bad);
    ASSERT_FALSE(document) << bad;
    EXPECT_NE(document.error().message().find("line "), std::string::npos);
  }
}

}  // namespace
}  // namespace skerry
