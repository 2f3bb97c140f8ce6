#include "launcher/slots.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

namespace skerry {
namespace {

Candidate Wanted() { return {"0123abcd", Slot::kB, "0.2.0", "sha256:ff", 7}; }

LauncherState FullState() {
  LauncherState state;
  state.active = Slot::kA;
  state.trial = Wanted();
  state.attempts = 2;
  state.handled = "0123abcd";
  state.given_back = GivenBack{{"ffff", Slot::kB, "0.1.9", "sha256:ee", 6}, "exited with status 3"};
  state.installed = "17-4.5";
  return state;
}

TEST(LauncherStateTest, IsReadAsItWasWritten) {
  EXPECT_EQ(ParseState(StateText(FullState())), FullState());
  EXPECT_EQ(ParseState(StateText({})), LauncherState());
  EXPECT_EQ(ParseRequest(RequestText(Wanted())), Wanted());
}

TEST(LauncherStateTest, EveryCutTextIsRefused) {
  const std::string state = StateText(FullState());
  const std::string request = RequestText(Wanted());
  for (std::size_t size = 0; size < state.size(); ++size)
    EXPECT_FALSE(ParseState(state.substr(0, size))) << size;
  for (std::size_t size = 0; size < request.size(); ++size)
    EXPECT_FALSE(ParseRequest(request.substr(0, size))) << size;
}

TEST(LauncherStateTest, AnotherMajorVersionAndWrongWordsAreRefused) {
  EXPECT_FALSE(ParseState("skerry-launcher/2\nactive a\nend\n"));
  EXPECT_FALSE(ParseState("skerry-launcher/1\nactive c\nend\n"));
  EXPECT_FALSE(ParseState("skerry-launcher/1\nactive a\nattempts many\nend\n"));
  EXPECT_FALSE(ParseState("skerry-launcher/1\ntrial x installed 0.2.0 sha256:ff 7\nend\n"));
  EXPECT_FALSE(ParseRequest("skerry-launcher/1\nrequest x installed 0.2.0 sha256:ff 7\n"));
  // A line of a later version is no concern of this one.
  EXPECT_TRUE(ParseState("skerry-launcher/1\nactive a\ncolour blue\nend\n"));
}

TEST(LauncherStateTest, AReasonOfSeveralLinesStaysOne) {
  LauncherState state = FullState();
  state.given_back->reason = "died:\nactive b\n";
  const auto read = ParseState(StateText(state));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->active, Slot::kA);
  EXPECT_EQ(read->given_back->reason, "died: active b ");
}

TEST(LauncherStateTest, TheSlotThatIsFreeIsNeitherInUseNorOnTrial) {
  EXPECT_EQ(FreeSlot({}), Slot::kA);
  LauncherState state;
  state.active = Slot::kA;
  EXPECT_EQ(FreeSlot(state), Slot::kB);
  state.active = Slot::kB;
  EXPECT_EQ(FreeSlot(state), Slot::kA);
  state.active = Slot::kInstalled;
  state.trial = Candidate{"x", Slot::kA, "1", "sha256:ff", 1};
  EXPECT_EQ(FreeSlot(state), Slot::kB);
}

TEST(LauncherFileTest, ReplacesAFileAsAWholeAndSaysWhatIsWrong) {
  std::string name = (std::filesystem::temp_directory_path() / "skerry-slots-XXXXXX").string();
  ASSERT_NE(mkdtemp(name.data()), nullptr);
  const std::filesystem::path directory = name;
  const auto file = directory / "state";
  EXPECT_FALSE(ReadSmallFile(file));
  EXPECT_EQ(ReplaceFile(file, "one\n"), "");
  EXPECT_EQ(ReplaceFile(file, "two\n"), "");
  EXPECT_EQ(ReadSmallFile(file), "two\n");
  EXPECT_NE(ReplaceFile(directory / "none/state", "x").find("none"), std::string::npos);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace skerry
