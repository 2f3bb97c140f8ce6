#include "image/layer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <memory>

#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;

class LayerTest : public testing::Test {
 protected:
  fs::path Source(const std::string& name, const std::string& text) {
    const fs::path path = directory_.path() / name;
    EXPECT_TRUE(WriteFileDurably(path, text));
    return path;
  }
  fs::path Out() { return directory_.path() / fmt::format("layer-{}", ++written_); }
  // What tar itself finds in it, a line an entry.
  static std::string Listed(const fs::path& layer) {
    const std::string command =
        fmt::format("TZ=UTC tar --full-time --numeric-owner -tvzf {}", layer.string());
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), &pclose);
    std::array<char, 4096> piece{};
    std::string text;
    while (const std::size_t got = fread(piece.data(), 1, piece.size(), pipe.get()))
      text.append(piece.data(), got);
    return text;
  }

  TemporaryDirectory directory_ = TemporaryDirectory::Create("skerry-layer").value();
  int written_ = 0;
};

TEST_F(LayerTest, HoldsWhatWasAddedInOrderWithoutTimes) {
  LayerTree tree("test");
  tree.AddFile("usr/lib/b", Source("b", std::string(1'000, 'b')), 0755);
  tree.AddText("usr/lib/a", "text");
  tree.AddLink("lib", "usr/lib");
  tree.AddDirectory("var/data", 0700, 65'532);
  const fs::path out = Out();
  const Layer layer = tree.Write(out).value();
  EXPECT_EQ(Listed(out),
            "lrwxrwxrwx 0/0               0 1970-01-01 00:00:00 lib -> usr/lib\n"
            "drwxr-xr-x 0/0               0 1970-01-01 00:00:00 usr/\n"
            "drwxr-xr-x 0/0               0 1970-01-01 00:00:00 usr/lib/\n"
            "-rw-r--r-- 0/0               4 1970-01-01 00:00:00 usr/lib/a\n"
            "-rwxr-xr-x 0/0            1000 1970-01-01 00:00:00 usr/lib/b\n"
            "drwxr-xr-x 0/0               0 1970-01-01 00:00:00 var/\n"
            "drwx------ 65532/65532       0 1970-01-01 00:00:00 var/data/\n");
  EXPECT_EQ(layer.blob.descriptor.digest, DigestOfFile(out).value());
  EXPECT_EQ(layer.blob.descriptor.size, fs::file_size(out));
}

TEST_F(LayerTest, TheOrderOfAddingAndTheTimesOfFilesChangeNothing) {
  const fs::path a = Source("a", "one"), b = Source("b", "two");
  LayerTree first("test"), second("test");
  first.AddFile("x/a", a);
  first.AddFile("x/b", b);
  const Layer one = first.Write(Out()).value();
  fs::last_write_time(a, fs::file_time_type::clock::now() - hours(1'000));
  fs::permissions(a, fs::perms::owner_read);
  second.AddFile("x/b", b);
  second.AddText("x/a", "replaced");
  second.AddFile("x/a", a);
  const Layer two = second.Write(Out()).value();
  EXPECT_EQ(one.blob.descriptor.digest, two.blob.descriptor.digest);
  EXPECT_EQ(one.diff_id, two.diff_id);
  ASSERT_TRUE(WriteFileDurably(b, "2wo"));
  EXPECT_NE(second.Write(Out()).value().diff_id, two.diff_id);
}

TEST_F(LayerTest, LongNamesAreSplitOrRefused) {
  const std::string folder(90, 'd'), file(99, 'f');
  LayerTree tree("test");
  tree.AddText(folder + "/" + file, "deep");
  const fs::path out = Out();
  ASSERT_TRUE(tree.Write(out));
  EXPECT_THAT(Listed(out), testing::HasSubstr(folder + "/" + file));
  tree.AddText(std::string(101, 'x'), "no slash to split at");
  const auto refused = tree.Write(Out());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kTooLarge);
}

TEST_F(LayerTest, ASourceThatIsGoneIsNamed) {
  LayerTree tree("test");
  tree.AddFile("usr/lib/gone", directory_.path() / "gone");
  const auto refused = tree.Write(Out());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kNotFound);
  EXPECT_THAT(refused.error().message(), testing::HasSubstr("usr/lib/gone"));
}

}  // namespace
}  // namespace skerry
