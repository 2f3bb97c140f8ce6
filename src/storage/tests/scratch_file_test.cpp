#include "storage/scratch_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/resource.h>

#include <csignal>
#include <numeric>

#include "storage/file.h"

namespace skerry {
namespace {

using ::testing::HasSubstr;

TEST(ScratchFile, GivesBackWhatWasAppendedAndHasNoName) {
  const auto directory = TemporaryDirectory::Create("scratch");
  ASSERT_TRUE(directory);
  auto file = ScratchFile::Create(directory->path());
  ASSERT_TRUE(file) << file.error().ToString();
  std::vector<std::uint32_t> numbers(600'000);
  std::iota(numbers.begin(), numbers.end(), 0U);
  const std::span all(numbers);
  for (std::size_t first = 0; first < numbers.size(); first += 60'000)
    ASSERT_TRUE(file->Append(std::as_bytes(all.subspan(first, 60'000))));
  EXPECT_EQ(file->bytes(), numbers.size() * sizeof(std::uint32_t));
  std::vector<std::uint32_t> some(1'000);
  ASSERT_TRUE(file->Read(599'000 * sizeof(std::uint32_t), std::as_writable_bytes(std::span(some))));
  EXPECT_EQ(some.front(), 599'000U);
  EXPECT_EQ(some.back(), 599'999U);
  EXPECT_FALSE(
      file->Read(599'001 * sizeof(std::uint32_t), std::as_writable_bytes(std::span(some))));
  EXPECT_TRUE(std::filesystem::is_empty(directory->path()));
}

TEST(ScratchFile, AFullDiskIsNamed) {
  const auto directory = TemporaryDirectory::Create("scratch");
  ASSERT_TRUE(directory);
  auto file = ScratchFile::Create(directory->path());
  ASSERT_TRUE(file);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{.rlim_cur = 1U << 20U, .rlim_max = before.rlim_max};
  std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  const std::vector<std::byte> bytes(3U << 20U);
  const Status status = file->Append(bytes);
  setrlimit(RLIMIT_FSIZE, &before);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), ErrorCode::kResourceExhausted);
  EXPECT_THAT(status.error().message(), HasSubstr(directory->path().string()));
}

}  // namespace
}  // namespace skerry
