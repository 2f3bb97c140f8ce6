#include "s3/xml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"

namespace skerry {
namespace {

using testing::HasSubstr;

constexpr const char* kList = R"(<?xml version="1.0" encoding="UTF-8"?>
<!-- a page -->
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/" a='>'><Name>lake</Name><IsTruncated>false</IsTruncated>
  <Contents><Key>runs/a&amp;b &#x3bc;&#955;&lt;.csv</Key><ETag>&quot;0f&quot;</ETag><Size>12</Size><Owner/></Contents>
  <Contents><Key>runs/2</Key><Size>0</Size></Contents>
</ListBucketResult>
)";

TEST(Xml, ElementsTextAndReferences) {
  const auto page = ParseXml(kList);
  ASSERT_TRUE(page) << page.error().message();
  EXPECT_EQ(page->name, "ListBucketResult");
  ASSERT_EQ(page->children.size(), 4U);
  EXPECT_EQ(page->TextOf("Name"), "lake");
  EXPECT_EQ(page->TextOf("Prefix"), "");
  EXPECT_EQ(page->Find("Prefix"), nullptr);
  EXPECT_EQ(page->children[2].TextOf("Key"), "runs/a&b \u03bc\u03bb<.csv");
  EXPECT_EQ(page->children[2].TextOf("ETag"), "\"0f\"");
  EXPECT_EQ(page->children[3].TextOf("Key"), "runs/2");
}

TEST(Xml, WhatIsCutAnywhereIsRefused) {
  const std::string whole(kList);
  const std::size_t end = whole.rfind('>');
  for (std::size_t bytes = 0; bytes <= end; ++bytes)
    EXPECT_FALSE(ParseXml(std::string_view(whole).substr(0, bytes))) << bytes;
}

TEST(Xml, WhatItDoesNotHaveIsRefusedWithThePlace) {
  for (const char* text : {"", "{\"a\": 1}", "<a></b>", "<a>&nbsp;</a>", "<a>&#0;</a>",
                           "<a>&#xD800;</a>", "<a>&#x110000;</a>", "<a>&</a>", "<a/><b/>",
                           "<!DOCTYPE a><a/>", "<a><![CDATA[x]]></a>", "<a b=\"></a>", "< a/>"}) {
    const auto page = ParseXml(text);
    ASSERT_FALSE(page) << text;
    EXPECT_THAT(page.error().message(), HasSubstr("at byte ")) << text;
  }
}

TEST(Xml, DepthIsBounded) {
  const auto nested = [](int depth) {
    std::string text;
    for (int i = 0; i < depth; ++i) text += "<a>";
    for (int i = 0; i < depth; ++i) text += "</a>";
    return text;
  };
  EXPECT_TRUE(ParseXml(nested(limits::kXmlDepth)));
  EXPECT_THAT(ParseXml(nested(limits::kXmlDepth + 1)).error().message(), HasSubstr("kXmlDepth"));
  EXPECT_FALSE(ParseXml(nested(100'000)));
}

}  // namespace
}  // namespace skerry
