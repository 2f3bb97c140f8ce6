// The power is cut at every moment of an outbox's life, and every call to the system fails once: no
// acknowledged row is lost, none is there twice, and the sums hold.
//
// A sample runs by default; SKERRY_WHOLE=1 takes every moment and every call (make soak).
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <set>

#include "codec/text.h"
#include "outbox/tests/fault_cycle.h"
#include "storage/tests/faultfs/disk_model.h"

namespace skerry {
namespace {

constexpr const char* kCycle = "--cycle";

bool Whole() { return std::getenv("SKERRY_WHOLE") != nullptr; }

// Memory, where there is a file system of it: tens of thousands of states are written.
std::filesystem::path Scratch() {
  return std::filesystem::is_directory("/dev/shm") ? "/dev/shm"
                                                   : std::filesystem::temp_directory_path();
}

struct Acknowledged {
  InstanceId instance;
  std::uint64_t first_n;
  std::uint64_t rows;
};

// What the child had told the world at some moment.
struct Told {
  std::vector<Acknowledged> rows;
  std::string receipt;

  void Take(const std::string& mark) {
    if (mark.starts_with("receipt ")) {
      receipt = mark.substr(8);
      return;
    }
    std::istringstream words(mark);
    std::string kind;
    std::string instance;
    Acknowledged row{};
    words >> kind >> instance >> row.first_n >> row.rows;
    ASSERT_EQ(kind, "acked");
    row.instance = *InstanceId::Parse(instance);
    rows.push_back(row);
  }
};

class PowerTest : public OutboxTest {
 protected:
  void SetUp() override {
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP()
        << "minutes under ThreadSanitizer, and about disks: outbox_tests are about threads";
#endif
    ASSERT_TRUE(WriteFileDurably(keys() / "site.pem", *key_.ToPem(), 0600));
    ASSERT_TRUE(WriteFileDurably(keys() / "hub.pem", *hub_key_.ToPem(), 0600));
    // The states are many, and no sync has to reach a disk.
    options_.segment_age = std::chrono::hours(1);
    options_.grace_bytes = 1U << 20U;
  }
  std::filesystem::path keys() const { return directory_.path(); }
  std::filesystem::path root() const { return scratch_.path() / "outbox"; }
  std::filesystem::path trace() const { return scratch_.path() / "trace"; }

  // Runs a cycle in `root()`; its exit status, or minus the signal that ended it.
  int RunCycle(std::vector<std::string> settings) {
    std::error_code ignored;
    std::filesystem::remove_all(root(), ignored);
    std::filesystem::remove(trace(), ignored);
    std::filesystem::create_directory(root());
    settings.insert(settings.end(),
                    {std::string("LD_PRELOAD=") + FAULT_SHIM, "SKERRY_SHIM_ROOT=" + root().string(),
                     "SKERRY_SHIM_TRACE=" + trace().string(),
                     "SKERRY_SHIM_COUNT=" + (scratch_.path() / "count").string(),
                     "ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0"});
    for (char** variable = environ; *variable != nullptr; ++variable)
      if (!std::string_view(*variable).starts_with("ASAN_OPTIONS="))
        settings.emplace_back(*variable);
    std::vector<char*> environment;
    for (std::string& setting : settings) environment.push_back(setting.data());
    environment.push_back(nullptr);
    std::string program = "outbox_power_tests";
    std::string cycle = kCycle;
    std::string at = root().string();
    std::string with = keys().string();
    char* arguments[] = {program.data(), cycle.data(), at.data(), with.data(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    const std::string log = (scratch_.path() / "log").string();
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log.c_str(),
                                     O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    pid_t child = -1;
    EXPECT_EQ(
        posix_spawn(&child, "/proc/self/exe", &actions, nullptr, arguments, environment.data()), 0);
    posix_spawn_file_actions_destroy(&actions);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  std::string Log() { return ReadFile(scratch_.path() / "log", 1 << 20).value_or("no log"); }
  std::uint64_t Calls() {
    const std::string bytes = ReadFile(scratch_.path() / "count", 8).value_or("");
    std::uint64_t calls = 0;
    if (bytes.size() == sizeof calls) std::memcpy(&calls, bytes.data(), sizeof calls);
    return calls;
  }

  // What is wrong with an outbox that was left like this after that had been told, a sentence each.
  std::vector<std::string> Wrong(const std::filesystem::path& directory, const Told& told,
                                 bool drain) {
    auto opened = Outbox::Open(OptionsAt(directory));
    if (!opened) return {"does not open: " + opened.error().ToString()};
    Outbox& outbox = **opened;
    std::vector<std::string> wrong;
    const auto note = [&](std::string what) { wrong.push_back(std::move(what)); };
    const auto look = [&] {
      const auto findings = outbox.Verify();
      if (!findings) return note("verify: " + findings.error().ToString());
      for (const std::string& finding : *findings) note(finding);
    };
    look();
    Receipt hub;
    if (!told.receipt.empty()) {
      const std::vector<PublicKey> keys = {hub_key_.public_key()};
      hub = *VerifyReceipt(told.receipt, keys);
      // A hub that was restored says so again: what it has lost is still here, or was shed.
      if (hub.hub_restores > 0)
        if (const auto applied = outbox.ApplyReceipt(told.receipt, keys); !applied)
          note("receipt: " + applied.error().ToString());
    }
    CheckRows(outbox, told, hub, note);
    if (drain && wrong.empty()) {
      Drain(outbox, hub, note);
      look();
    }
    return wrong;
  }

 private:
  template <typename Note>
  void CheckRows(Outbox& outbox, const Told& told, const Receipt& hub, const Note& note) {
    std::set<std::string> places;
    std::uint64_t acknowledged = 0;
    for (const Acknowledged& rows : told.rows) {
      std::vector<RowId> ids;
      for (std::uint64_t i = 0; i < rows.rows; ++i)
        ids.push_back({rows.instance, rows.first_n + i});
      acknowledged += ids.size();
      const auto fates = outbox.LookupRows(ids);
      if (!fates) return note("look-up: " + fates.error().ToString());
      for (std::size_t i = 0; i < ids.size(); ++i) {
        const std::optional<RowFate>& fate = (*fates)[i];
        if (!fate) {
          note(fmt::format("acknowledged row {}:{} is lost", ids[i].instance.Short(), ids[i].n));
          return;
        }
        if (!fate->cls) continue;
        if (!places
                 .insert(fmt::format("{}/{}/{}", fate->epoch.ToString(),
                                     RecordClassName(*fate->cls), fate->seq))
                 .second)
          note(fmt::format("row {}:{} shares its record with another", ids[i].instance.Short(),
                           ids[i].n));
        if (fate->place == RowPlace::kLost)
          note(fmt::format("row {} is lost by the hub and not here any more", ids[i].n));
        if (fate->place == RowPlace::kDamaged) note(fmt::format("row {} is damaged", ids[i].n));
        if (fate->place == RowPlace::kReceived && !Holds(hub, *fate))
          note(fmt::format("row {} was deleted and the hub does not have it", ids[i].n));
      }
    }
    const auto facts = outbox.facts();
    if (facts && facts->counters.scored < acknowledged)
      note(fmt::format("{} rows are counted and {} were acknowledged", facts->counters.scored,
                       acknowledged));
  }
  static bool Holds(const Receipt& hub, const RowFate& fate) {
    for (const StreamReceipt& stream : hub.streams)
      if (stream.epoch == fate.epoch && stream.cls == *fate.cls)
        return stream.received.Contains(fate.seq);
    return false;
  }
  // All that is left goes to the hub, whose receipt then closes the sum.
  template <typename Note>
  void Drain(Outbox& outbox, const Receipt& before, const Note& note) {
    hub_.clear();
    for (const StreamReceipt& stream : before.streams) hub_[{stream.epoch, stream.cls}] = stream;
    receipt_counter_ = before.counter;
    if (!before.hub_incarnation.empty()) incarnation_ = before.hub_incarnation;
    restores_ = before.hub_restores;
    if (const Status sealed = outbox.SealNow(); !sealed)
      return note("seal: " + sealed.error().ToString());
    const auto shipments = outbox.PendingShipments();
    if (!shipments) return note("shipments: " + shipments.error().ToString());
    for (const Shipment& shipment : *shipments) HubTakes(shipment);
    const std::vector<PublicKey> keys = {hub_key_.public_key()};
    if (const auto applied = outbox.ApplyReceipt(HubReceipt(), keys); !applied)
      return note("receipt: " + applied.error().ToString());
    const auto facts = outbox.facts();
    if (!facts) return note("facts: " + facts.error().ToString());
    const Counters& counters = facts->counters;
    if (facts->segment_bytes != 0 || facts->open_gaps != 0)
      note("something is left after the hub took everything");
    if (counters.scored != facts->receipted_primary_rows + counters.withheld +
                               counters.not_selected + counters.shed + counters.recalled +
                               counters.not_captured + facts->damaged_primary_rows)
      note("the sum does not hold after the hub took everything");
  }

 protected:
  // In memory, since nothing here asks what a disk does.
  TemporaryDirectory scratch_ = *TemporaryDirectory::Create("power", Scratch());
};

// The states after each change of the trace, three a moment and more where `draws` says so; returns
// what was found wrong.
struct Findings {
  std::uint64_t states = 0;
  std::uint64_t bad = 0;
  std::string first;
};

class PowerCutTest : public PowerTest {
 protected:
  Findings CutEverywhere(std::size_t step, int draws) {
    Findings findings;
    auto model = DiskModel::Read(trace());
    EXPECT_TRUE(model) << model.error().ToString();
    if (!model) return findings;
    SeededRandom random(7);
    Told told;
    std::size_t moment = 0;
    while (model->Advance()) {
      if (model->change() == DiskModel::Change::kMark) told.Take(model->text());
      if (++moment % step != 0 && model->at() != model->changes()) continue;
      for (int draw = -2; draw < draws; ++draw) {
        const DiskModel::Cut cut = draw == -2   ? DiskModel::Cut::kOnlySynced
                                   : draw == -1 ? DiskModel::Cut::kEverything
                                                : DiskModel::Cut::kSome;
        const std::filesystem::path state = scratch_.path() / "state";
        EXPECT_TRUE(model->WriteState(state, cut, random));
        const auto wrong = Wrong(state, told, findings.states % 25 == 0);
        std::filesystem::remove_all(state);
        ++findings.states;
        if (wrong.empty()) continue;
        ++findings.bad;
        if (findings.first.empty())
          findings.first = fmt::format("after change {} of {}, draw {}: {}", model->at(),
                                       model->changes(), draw, wrong.front());
      }
    }
    return findings;
  }
};

TEST_F(PowerCutTest, AtEveryMomentLosesNothing) {
  ASSERT_EQ(RunCycle({}), FaultCycle::kWell) << Log();
  const Findings findings = CutEverywhere(Whole() ? 1 : 23, Whole() ? 6 : 2);
  std::printf("power cuts: %llu states, %llu with a fault\n",
              static_cast<unsigned long long>(findings.states),
              static_cast<unsigned long long>(findings.bad));
  EXPECT_GT(findings.states, 100U);
  EXPECT_EQ(findings.bad, 0U) << findings.first;
}

// The test itself is worth something only if it finds a store that does not sync.
TEST_F(PowerCutTest, AStoreThatForgetsToSyncIsFound) {
  ASSERT_EQ(RunCycle({"SKERRY_SHIM_NO_SYNC=1"}), FaultCycle::kWell) << Log();
  const Findings findings = CutEverywhere(97, 2);
  EXPECT_GT(findings.bad, findings.states / 4);
}

// A sync that fails once: what it was to write is gone, and the next one says nothing of it (the
// kernel's pages are clean). Then the power is cut.
TEST_F(PowerCutTest, AfterASyncThatFailedLosesNothing) {
  ASSERT_EQ(RunCycle({"SKERRY_SHIM_SYNCS_ALONE=1"}), FaultCycle::kWell) << Log();
  const std::uint64_t syncs = Calls();
  ASSERT_GT(syncs, 40U);
  std::uint64_t states = 0;
  for (std::uint64_t n = 3; n <= syncs; n += Whole() ? 1 : 17) {
    const int end =
        RunCycle({"SKERRY_SHIM_SYNCS_ALONE=1", fmt::format("SKERRY_SHIM_FAIL={}:{}", n, EIO)});
    EXPECT_EQ(end, FaultCycle::kWell) << "sync " << n << " of " << syncs << ": " << Log();
    const Findings findings = CutEverywhere(Whole() ? 31 : 83, 1);
    states += findings.states;
    EXPECT_EQ(findings.bad, 0U) << "sync " << n << " of " << syncs << ": " << findings.first << "\n"
                                << Log();
  }
  std::printf("power cuts after a failed sync: %llu states\n",
              static_cast<unsigned long long>(states));
}

class SyscallTest : public PowerTest {
 protected:
  // Every call fails once in a run of its own.
  void FailEach(int error, std::uint64_t step) {
    ASSERT_EQ(RunCycle({}), FaultCycle::kWell) << Log();
    const std::uint64_t calls = Calls();
    ASSERT_GT(calls, 100U);
    std::uint64_t runs = 0;
    for (std::uint64_t n = 1 + static_cast<std::uint64_t>(error + 1) % step; n <= calls;
         n += step) {
      ++runs;
      const std::string wrong = WrongAfterFailing(n, error);
      EXPECT_EQ(wrong, "") << "call " << n << " of " << calls << ": " << Log();
    }
    std::printf("failed calls: %llu of %llu, errno %d\n", static_cast<unsigned long long>(runs),
                static_cast<unsigned long long>(calls), error);
  }
  std::string WrongAfterFailing(std::uint64_t call, int error) {
    const int end = RunCycle({fmt::format("SKERRY_SHIM_FAIL={}:{}", call, error)});
    if (end != FaultCycle::kWell) return fmt::format("the process ended with {}", end);
    Told told;
    auto model = DiskModel::Read(trace());
    if (!model) return model.error().ToString();
    while (model->Advance())
      if (model->change() == DiskModel::Change::kMark) told.Take(model->text());
    const auto wrong = Wrong(root(), told, true);
    return wrong.empty() ? "" : wrong.front();
  }
  static std::uint64_t Step() { return Whole() ? 1 : 131; }
};

TEST_F(SyscallTest, EachFailsOnceWithAnInputOutputError) { FailEach(EIO, Step()); }
TEST_F(SyscallTest, EachFailsOnceForWantOfSpace) { FailEach(ENOSPC, Step()); }
TEST_F(SyscallTest, EachIsInterruptedOnce) { FailEach(EINTR, Step()); }
TEST_F(SyscallTest, EachWriteIsShortOnce) { FailEach(-1, Step()); }

}  // namespace
}  // namespace skerry

int main(int argc, char** argv) {
  if (argc == 4 && std::strcmp(argv[1], skerry::kCycle) == 0) {
    testing::InitGoogleTest();
    skerry::FaultCycle().RunAt(argv[2], argv[3]);
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
