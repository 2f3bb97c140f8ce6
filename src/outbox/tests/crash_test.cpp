// kill -9 at random moments: every row whose commit was acknowledged has its fate after the
// restart, nothing is there twice, and the sums hold.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/random.h"
#include "outbox/tests/outbox_fixture.h"

namespace skerry {
namespace {

class CrashTest : public OutboxTest {
 protected:
  void SetUp() override {}  // the child opens it

  // Submits rows for ever, seals now and then, and writes the number of every acknowledged row to
  // `pipe`. Runs in the child; never returns.
  [[noreturn]] void SubmitForEver(int pipe) {
    outbox_ = OpenAt(directory_.path());
    if (outbox_ == nullptr) _exit(1);
    const auto policy = Policy(testing_rows::MillingYaml());
    for (std::uint64_t i = 0;; ++i) {
      const auto batch = Rows(1 + i % 7);
      const std::uint64_t last = batch->first_n + batch->rows - 1;
      outbox_->Submit(batch, policy, [pipe, last](Status status) {
        // An atomic write below PIPE_BUF: whole or not at all.
        if (status && write(pipe, &last, sizeof last) != sizeof last) _exit(2);
      });
      if (i % 40 == 39 && !outbox_->SealNow()) _exit(3);
      if (i % 60 == 59 && !outbox_->PendingShipments()) _exit(4);
    }
  }

  // The largest row number acknowledged before the child was killed.
  std::uint64_t RunAndKill(std::uint64_t acknowledgements) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      close(ends[0]);
      SubmitForEver(ends[1]);
    }
    close(ends[1]);
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
    next_n_ = 1;
    const std::uint64_t last = RunAndKill(1 + random.NextBelow(250));
    // Checked in this process, which opened no thread before the fork.
    outbox_ = OpenAt(directory_.path());
    ASSERT_NE(outbox_, nullptr);
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
  outbox_ = OpenAt(directory_.path());
  ASSERT_TRUE(outbox_->SealNow());
  for (const Shipment& shipment : Pending()) HubTakes(shipment);
  Apply(HubReceipt());
  ExpectSound();
  const OutboxFacts facts = Facts();
  EXPECT_EQ(facts.counters.scored, facts.receipted_primary_rows + facts.counters.not_selected);
  EXPECT_EQ(SegmentFiles(), 0U);
}

}  // namespace
}  // namespace skerry
