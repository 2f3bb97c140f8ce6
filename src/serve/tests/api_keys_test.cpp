#include "serve/api_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "storage/file.h"

namespace skerry {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class ApiKeysTest : public testing::Test {
 protected:
  void Write(const std::string& text) const { ASSERT_TRUE(WriteFileDurably(path_, text, 0600)); }
  Error LoadError() const { return ApiKeys::Load(path_).error(); }

  TemporaryDirectory directory_ = TemporaryDirectory::Create("skerry-keys").value();
  std::filesystem::path path_ = directory_.path() / "scoring.keys";
};

// The digest is what `printf skerry_test | sha256sum` prints.
constexpr std::string_view kGolden =
    "# the press shop\n\n"
    "line-3 sha256:a2c45e06d20c79f1b83b5d5e321fa29e3b499ba53a42ca6a3fef1e7203ea7c9c\n";

TEST_F(ApiKeysTest, AFileWrittenByHandIsRead) {
  Write(std::string(kGolden));
  const ApiKeys keys = ApiKeys::Load(path_).value();
  EXPECT_TRUE(keys.Check("Bearer skerry_test"));
  EXPECT_TRUE(keys.Check("bearer skerry_test"));  // RFC 9110 11.1: any case
  for (const char* bad : {"", "Bearer", "Bearer ", "Bearer  skerry_test", "Bearer skerry_tes",
                          "Bearer skerry_test ", "Basic skerry_test", "skerry_test"})
    EXPECT_EQ(keys.Check(bad).error().code(), ErrorCode::kUnauthenticated) << bad;
}

TEST_F(ApiKeysTest, EachAddedKeyIsKnownAndTheFileHasNone) {
  const std::string first = AddApiKey(path_, "line-3").value();
  const std::string second = AddApiKey(path_, "line-4").value();
  EXPECT_THAT(first, StartsWith("skerry_"));
  EXPECT_EQ(first.size(), 7U + 64U);
  EXPECT_NE(first, second);
  const ApiKeys keys = ApiKeys::Load(path_).value();
  EXPECT_TRUE(keys.Check("Bearer " + first));
  EXPECT_TRUE(keys.Check("Bearer " + second));
  const std::string text = ReadFile(path_, 1 << 16).value();
  EXPECT_THAT(text, testing::Not(HasSubstr(first)));
  EXPECT_THAT(text, testing::Not(HasSubstr(first.substr(7))));
  struct stat facts{};
  ASSERT_EQ(::stat(path_.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0600U);
}

TEST_F(ApiKeysTest, AddingKeepsWhatIsThere) {
  Write(std::string(kGolden.substr(0, kGolden.size() - 1)));  // no line feed at the end
  ASSERT_TRUE(AddApiKey(path_, "line-4"));
  EXPECT_THAT(ReadFile(path_, 1 << 16).value(),
              StartsWith(std::string(kGolden) + "line-4 sha256:"));
  EXPECT_TRUE(ApiKeys::Load(path_).value().Check("Bearer skerry_test"));
}

TEST_F(ApiKeysTest, ANameThatIsThereOrBreaksTheGrammarIsRefusedAndNothingChanges) {
  Write(std::string(kGolden));
  EXPECT_EQ(AddApiKey(path_, "line-3").error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(AddApiKey(path_, "Line 3").error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(ReadFile(path_, 1 << 16).value(), kGolden);
}

TEST_F(ApiKeysTest, AFileThatOthersMayReadIsRefusedForBothUses) {
  Write(std::string(kGolden));
  ASSERT_EQ(chmod(path_.c_str(), 0640), 0);
  EXPECT_EQ(LoadError().code(), ErrorCode::kPermissionDenied);
  EXPECT_THAT(LoadError().message(), HasSubstr("chmod 600"));
  EXPECT_EQ(AddApiKey(path_, "line-4").error().code(), ErrorCode::kPermissionDenied);
}

TEST_F(ApiKeysTest, BadFilesAreRefusedWithTheLine) {
  EXPECT_EQ(LoadError().code(), ErrorCode::kNotFound);
  Write("# nobody yet\n");
  EXPECT_EQ(LoadError().code(), ErrorCode::kFailedPrecondition);
  EXPECT_THAT(LoadError().message(), HasSubstr("skerry api-key"));
  const std::string hex(64, 'a');
  for (const std::string& bad :
       {std::string("line-4"), "line-4 " + hex, "line-4 sha256:" + hex + " x",
        "line-4 sha512:" + hex + hex, "Line sha256:" + hex, "line-3 sha256:" + hex,
        std::string("skerry_0123456789")}) {
    Write(std::string(kGolden) + bad + "\n");
    EXPECT_EQ(LoadError().code(), ErrorCode::kInvalidArgument) << bad;
    EXPECT_THAT(LoadError().message(), HasSubstr("line 4")) << bad;
  }
}

TEST_F(ApiKeysTest, LimitsAreKept) {
  std::string text;
  for (std::size_t i = 0; i < limits::kApiKeys; ++i)
    text += fmt::format("key-{} sha256:{:064x}\n", i, i);
  Write(text);
  EXPECT_TRUE(ApiKeys::Load(path_));
  EXPECT_EQ(AddApiKey(path_, "another").error().code(), ErrorCode::kTooLarge);
  Write(text + fmt::format("another sha256:{:064x}\n", 0));
  EXPECT_EQ(LoadError().code(), ErrorCode::kTooLarge);
  Write(std::string(limits::kApiKeyFileBytes + 1, '#'));
  EXPECT_EQ(LoadError().code(), ErrorCode::kTooLarge);
  const std::string longest(limits::kApiKeyBytes, 'k');
  Write(fmt::format("long {}\nlonger {}\n", Digest::Sha256(longest).ToString(),
                    Digest::Sha256(longest + "k").ToString()));
  EXPECT_TRUE(ApiKeys::Load(path_).value().Check("Bearer " + longest));
  EXPECT_FALSE(ApiKeys::Load(path_).value().Check("Bearer " + longest + "k"));
}

}  // namespace
}  // namespace skerry
