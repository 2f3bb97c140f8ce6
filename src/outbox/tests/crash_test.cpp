// kill -9 at random moments: every row whose commit was acknowledged has its fate after the
// restart, nothing is there twice, and the sums hold.
//
// The process that is killed is this program again, started by posix_spawn rather than forked: a
// fork of a process that has opened DuckDB runs the library's own handlers.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>

#include "base/random.h"
#include "outbox/tests/outbox_fixture.h"

namespace skerry {
namespace {

constexpr const char* kSubmitForEver = "--submit-for-ever";
constexpr int kAcknowledgementsFd = 3;

class CrashTest : public OutboxTest {
 public:
  // The child: submits rows for ever, seals now and then, and writes the number of every
  // acknowledged row to its file 3.
  [[noreturn]] void SubmitForEver(const std::filesystem::path& directory, InstanceId instance) {
    instance_ = instance;
    key_ = *PrivateKey::Load(directory / "key.pem");
    outbox_ = OpenAt(directory / "outbox");
    if (outbox_ == nullptr) _exit(1);
    const auto policy = Policy(testing_rows::MillingYaml());
    for (std::uint64_t i = 0;; ++i) {
      const auto batch = Rows(1 + i % 7);
      const std::uint64_t last = batch->first_n + batch->rows - 1;
      outbox_->Submit(batch, policy, [last](Status status) {
        // A write below PIPE_BUF is whole or not at all.
        if (status && write(kAcknowledgementsFd, &last, sizeof last) != sizeof last) _exit(2);
      });
      if (i % 40 == 39 && !outbox_->SealNow()) _exit(3);
      if (i % 60 == 59 && !outbox_->PendingShipments()) _exit(4);
    }
  }

 protected:
  void SetUp() override {  // the child opens the outbox first
    key_ = *PrivateKey::LoadOrCreate(directory_.path() / "key.pem");
  }
  void Open() {
    outbox_ = OpenAt(directory_.path() / "outbox");
    ASSERT_NE(outbox_, nullptr);
  }

  pid_t Spawn(int acknowledgements) {
    const std::string directory = directory_.path().string();
    const std::string instance = instance_.ToString();
    const std::array<const char*, 5> arguments = {"outbox_fault_tests", kSubmitForEver,
                                                  directory.c_str(), instance.c_str(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, acknowledgements, kAcknowledgementsFd);
    pid_t child = -1;
    EXPECT_EQ(posix_spawn(&child, "/proc/self/exe", &actions, nullptr,
                          const_cast<char* const*>(arguments.data()), environ),
              0);
    posix_spawn_file_actions_destroy(&actions);
    return child;
  }

  // The largest row number acknowledged before the child was killed.
  std::uint64_t RunAndKill(std::uint64_t acknowledgements) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    // A number of its own, since dup2 onto itself would leave close-on-exec set.
    const int to_parent = fcntl(ends[1], F_DUPFD_CLOEXEC, 100);
    const pid_t child = Spawn(to_parent);
    close(ends[1]);
    close(to_parent);
    std::uint64_t last = 0;
    std::uint64_t value = 0;
    while (acknowledgements > 0 && read(ends[0], &value, sizeof value) == sizeof value) {
      last = std::max(last, value);
      --acknowledgements;
    }
    EXPECT_EQ(acknowledgements, 0U) << "the child ended by itself";
    kill(child, SIGKILL);
    // What the child had written before it died counts as well.
    while (read(ends[0], &value, sizeof value) == sizeof value) last = std::max(last, value);
    close(ends[0]);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return last;
  }
};

TEST_F(CrashTest, KilledAtRandomItLosesNoAcknowledgedRow) {
  SeededRandom random(2026);
  std::uint64_t acknowledged = 0;
  for (int round = 0; round < 20; ++round) {
    instance_ = InstanceId::Random();
    const std::uint64_t last = RunAndKill(1 + random.NextBelow(250));
    Open();
    std::vector<RowId> rows;
    for (std::uint64_t n = 1; n <= last; ++n) rows.push_back({instance_, n});
    const auto fates = outbox_->LookupRows(rows);
    ASSERT_TRUE(fates) << fates.error().ToString();
    for (std::size_t i = 0; i < rows.size(); ++i)
      ASSERT_TRUE((*fates)[i]) << "round " << round << ": acknowledged row " << i + 1 << " is lost";
    acknowledged += last;
    EXPECT_GE(Facts().counters.scored, acknowledged);
    EXPECT_EQ(Facts().counters.not_captured, 0U);
    ExpectSound();
    outbox_.reset();
  }
  // Everything goes to the hub, and the sum is exact.
  Open();
  ASSERT_TRUE(outbox_->SealNow());
  for (const Shipment& shipment : Pending()) HubTakes(shipment);
  Apply(HubReceipt());
  ExpectSound();
  const OutboxFacts facts = Facts();
  EXPECT_EQ(facts.counters.scored, facts.receipted_primary_rows + facts.counters.not_selected);
  EXPECT_EQ(facts.segment_bytes, 0U);
}

class Child final : public CrashTest {
  void TestBody() override {}
};

}  // namespace
}  // namespace skerry

int main(int argc, char** argv) {
  if (argc == 4 && std::strcmp(argv[1], skerry::kSubmitForEver) == 0) {
    testing::InitGoogleTest();
    skerry::Child().SubmitForEver(argv[2], *skerry::InstanceId::Parse(argv[3]));
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
