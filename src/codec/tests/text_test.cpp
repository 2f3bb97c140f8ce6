#include "codec/text.h"

#include <gtest/gtest.h>

namespace skerry {
namespace {

TEST(Base64, MatchesRfc4648Vectors) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : vectors) {
    EXPECT_EQ(EncodeBase64(plain), coded);
    EXPECT_EQ(DecodeBase64(coded).value(), plain);
  }
}

TEST(Base64, RefusesForeignCharactersAndCutText) {
  EXPECT_FALSE(DecodeBase64("Zm9v!"));
  EXPECT_FALSE(DecodeBase64("Z"));
  EXPECT_FALSE(DecodeBase64("Zh=="));  // bits beyond the last byte
}

TEST(Hex, RoundTripsEveryByteAndRefusesTheRest) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  EXPECT_EQ(DecodeHex(EncodeHex(bytes)).value(), bytes);
  EXPECT_FALSE(DecodeHex("0"));
  EXPECT_FALSE(DecodeHex("0G"));
}

}  // namespace
}  // namespace skerry
