#include "oci/reference.h"

#include <gtest/gtest.h>

namespace skerry {
namespace {

TEST(CheckRepository, TakesTheGrammarAndNothingElse) {
  for (const char* good : {"a", "models/milling", "sites/north/outbox", "a.b_c__d-e---f/0"})
    EXPECT_TRUE(CheckRepository(good)) << good;
  for (const char* bad :
       {"", "/", "a/", "/a", "a//b", "A", "a/.", "..", "a/../b", "_tags", "a/_blobs", "a_", "-a",
        "a..b", "a___b", "a b", "a:b", "a\nb", "\xc3\xa4"})
    EXPECT_FALSE(CheckRepository(bad)) << bad;
  EXPECT_TRUE(CheckRepository(std::string(255, 'a')));
  EXPECT_FALSE(CheckRepository(std::string(256, 'a')));
}

TEST(Reference, ReadsEveryForm) {
  const std::string digest = Digest::Sha256("x").ToString();
  struct Case {
    std::string text, registry, repository, tag;
    bool has_digest;
  };
  for (const Case& c :
       {Case{"milling", "", "milling", "", false},
        Case{"models/milling:1", "", "models/milling", "1", false},
        Case{"localhost/a:b", "localhost", "a", "b", false},
        Case{"hub.example:8443/models/m:2", "hub.example:8443", "models/m", "2", false},
        Case{"[::1]:8443/m", "[::1]:8443", "m", "", false}, Case{"m@" + digest, "", "m", "", true},
        Case{"127.0.0.1:5000/a/b:1@" + digest, "127.0.0.1:5000", "a/b", "1", true}}) {
    const auto reference = Reference::Parse(c.text);
    ASSERT_TRUE(reference) << c.text << reference.error().ToString();
    EXPECT_EQ(reference->registry, c.registry);
    EXPECT_EQ(reference->repository, c.repository);
    EXPECT_EQ(reference->tag, c.tag);
    EXPECT_EQ(reference->digest.has_value(), c.has_digest);
    EXPECT_EQ(reference->Locator(), c.has_digest ? digest : c.tag);
    EXPECT_EQ(reference->ToString(), c.text);
  }
}

TEST(Reference, RefusesWhatIsNone) {
  for (const char* bad : {"", ":1", "a:", "a:b:c", "a@sha256:xyz", "A/b", "host:1/", "a:-x"})
    EXPECT_FALSE(Reference::Parse(bad)) << bad;
}

}  // namespace
}  // namespace skerry
