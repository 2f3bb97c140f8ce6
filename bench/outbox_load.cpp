// What bench/outbox measures inside one process: the disk's own sync rate, durable capture in
// batches and of single rows, and how an outbox with a large backlog starts. Prints a line of JSON.
//
//   outbox_load sync DIR SECONDS
//   outbox_load batches|single|loop DIR SECONDS
//   outbox_load fill DIR ROWS
//   outbox_load start DIR
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <semaphore>
#include <thread>

#include "base/log.h"
#include "outbox/outbox.h"
#include "policy/tests/milling_rows.h"

namespace skerry {
namespace {

constexpr int kWriters = 64;
constexpr std::size_t kBatchRows = 500;
constexpr std::ptrdiff_t kBatchesUnderWay = 32;
using SteadyClock = std::chrono::steady_clock;

double SecondsSince(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

[[noreturn]] void Die(const Error& error) {
  std::fprintf(stderr, "%s\n", error.ToString().c_str());
  std::exit(1);
}

double ResidentMegabytes() {
  long pages = 0;
  long resident = 0;
  if (std::FILE* file = std::fopen("/proc/self/statm", "r"); file != nullptr) {
    if (std::fscanf(file, "%ld %ld", &pages, &resident) != 2) resident = 0;
    std::fclose(file);
  }
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1e6;
}

// Every row leaves, in class sample, as bench/site.py has it.
std::shared_ptr<const CompiledPolicy> Policy(const ModelPackage& package) {
  const auto document = PolicyDocument::Parse(
      "skerry: policy/1\nname: all\nversion: 1\n"
      "fields: {type: keep, air_temperature_k: keep, process_temperature_k: keep, "
      "rotational_speed_rpm: keep, "
      "torque_nm: keep, tool_wear_min: keep}\n"
      "derived: {prediction: keep, score: {action: round, to: 0.0001}, event_time: keep}\n"
      "classes: {anomaly: {when: anomaly}, sample: {rate: 1}}\n");
  if (!document) Die(document.error());
  const auto policy = CompiledPolicy::Compile(*document, package.schema, std::string(32, 'k'));
  if (!policy) Die(policy.error());
  return *policy;
}

struct Bench {
  explicit Bench(const char* directory) {
    OutboxOptions options;
    options.directory = directory;
    options.site = "north";
    options.key = *PrivateKey::Generate();
    options.clock = &clock;
    options.metrics = &metrics;
    options.quota_bytes = std::uint64_t{1} << 40U;
    auto opened = Outbox::Open(std::move(options));
    if (!opened) Die(opened.error());
    outbox = std::move(*opened);
  }
  // Rows made once, with numbers of their own each time.
  std::shared_ptr<RowBatch> Numbered(const RowBatch& rows) {
    auto batch = std::make_shared<RowBatch>(rows);
    batch->first_n = next_n.fetch_add(rows.rows);
    batch->event_time_us = clock.UtcMicros();
    return batch;
  }
  SystemClock clock;
  MetricRegistry metrics;
  std::shared_ptr<ModelPackage> package = testing_rows::MillingPackage();
  std::shared_ptr<const CompiledPolicy> policy = Policy(*package);
  InstanceId instance = InstanceId::Random();
  std::atomic<std::uint64_t> next_n{1};
  std::unique_ptr<Outbox> outbox;
};

int Sync(const char* directory, double seconds) {
  const std::string path = std::string(directory) + "/sync";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return 1;
  const std::string page(4096, 'x');
  std::uint64_t syncs = 0;
  const auto start = SteadyClock::now();
  while (SecondsSince(start) < seconds) {
    if (write(fd, page.data(), page.size()) != 4096 || fdatasync(fd) != 0) return 1;
    ++syncs;
  }
  std::printf("{\"syncs_per_s\": %.1f}\n", static_cast<double>(syncs) / SecondsSince(start));
  close(fd);
  unlink(path.c_str());
  return 0;
}

// `rows` at a time, as many as fit under way, until `more` says no; the durable rows.
std::uint64_t Submit(Bench& bench, const std::function<bool(std::uint64_t)>& more) {
  std::vector<std::shared_ptr<RowBatch>> made;
  for (std::uint64_t seed = 1; seed <= 64; ++seed)
    made.push_back(testing_rows::MillingRows(bench.package, kBatchRows, 1, seed, bench.instance));
  std::counting_semaphore<kBatchesUnderWay> room(kBatchesUnderWay);
  std::uint64_t submitted = 0;
  std::atomic<std::uint64_t> durable{0};
  for (std::size_t i = 0; more(submitted); ++i) {
    room.acquire();
    submitted += kBatchRows;
    bench.outbox->Submit(bench.Numbered(*made[i % made.size()]), bench.policy,
                         [&](const Status& status) {
                           if (!status) Die(status.error());
                           durable += kBatchRows;
                           room.release();
                         });
  }
  if (const Status flushed = bench.outbox->Flush(); !flushed) Die(flushed.error());
  return durable;
}

int Batches(const char* directory, double seconds) {
  Bench bench(directory);
  const auto start = SteadyClock::now();
  const std::uint64_t rows =
      Submit(bench, [&](std::uint64_t) { return SecondsSince(start) < seconds; });
  std::printf("{\"rows_per_s\": %.0f}\n", static_cast<double>(rows) / SecondsSince(start));
  return 0;
}

void PrintSingle(Bench& bench, std::uint64_t rows, double took) {
  const std::uint64_t commits = bench.metrics.AddCounter("skerry_outbox_commits_total", "").value();
  std::printf("{\"rows_per_s\": %.0f, \"commits_per_s\": %.1f}\n", static_cast<double>(rows) / took,
              static_cast<double>(commits) / took);
}

int Single(const char* directory, double seconds) {
  Bench bench(directory);
  std::atomic<std::uint64_t> rows{0};
  const auto start = SteadyClock::now();
  std::vector<std::thread> writers;
  for (int i = 0; i < kWriters; ++i)
    writers.emplace_back([&, i] {
      const auto made = testing_rows::MillingRows(bench.package, 1, 1,
                                                  static_cast<std::uint64_t>(i), bench.instance);
      // Not a std::binary_semaphore: libstdc++'s yields before it sleeps, and 64 that yield take
      // the processors from the thread that commits.
      std::mutex mutex;
      std::condition_variable woken;
      bool done = false;
      while (SecondsSince(start) < seconds) {
        bench.outbox->Submit(bench.Numbered(*made), bench.policy, [&](const Status& status) {
          if (!status) Die(status.error());
          const std::scoped_lock lock(mutex);
          done = true;
          woken.notify_one();
        });
        std::unique_lock lock(mutex);
        woken.wait(lock, [&] { return done; });
        done = false;
        ++rows;
      }
    });
  for (std::thread& writer : writers) writer.join();
  PrintSingle(bench, rows, SecondsSince(start));
  return 0;
}

// The same 64 writers as a server has them: connections of one event loop, which submits the next
// row of those that have their answer. What is measured is the outbox, and not how fast a machine
// of few cores changes between 64 threads.
int Loop(const char* directory, double seconds) {
  std::mutex mutex;
  std::condition_variable woken;
  Bench bench(directory);
  std::vector<std::shared_ptr<RowBatch>> made;
  for (std::uint64_t i = 0; i < kWriters; ++i)
    made.push_back(testing_rows::MillingRows(bench.package, 1, 1, i, bench.instance));
  std::vector<std::size_t> answered;  // guarded by mutex; the writers whose row is durable
  std::uint64_t rows = 0;
  std::size_t waiting = 0;
  const auto submit = [&](std::size_t writer) {
    ++waiting;
    bench.outbox->Submit(bench.Numbered(*made[writer]), bench.policy,
                         [&, writer](const Status& status) {
                           if (!status) Die(status.error());
                           const std::scoped_lock lock(mutex);
                           answered.push_back(writer);
                           if (answered.size() == 1) woken.notify_one();
                         });
  };
  const auto start = SteadyClock::now();
  for (std::size_t writer = 0; writer < kWriters; ++writer) submit(writer);
  while (waiting > 0) {
    std::vector<std::size_t> ready;
    {
      std::unique_lock lock(mutex);
      woken.wait(lock, [&] { return !answered.empty(); });
      ready.swap(answered);
    }
    waiting -= ready.size();
    rows += ready.size();
    if (SecondsSince(start) < seconds)
      for (const std::size_t writer : ready) submit(writer);
  }
  PrintSingle(bench, rows, SecondsSince(start));
  return 0;
}

int Fill(const char* directory, std::uint64_t rows) {
  Bench bench(directory);
  const auto start = SteadyClock::now();
  const double before = ResidentMegabytes();
  Submit(bench, [&](std::uint64_t submitted) { return submitted < rows; });
  const double captured = SecondsSince(start);
  if (const Status sealed = bench.outbox->SealNow(); !sealed) Die(sealed.error());
  const auto facts = bench.outbox->facts();
  if (!facts) Die(facts.error());
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf(
      "{\"seconds\": %.1f, \"sealed_seconds\": %.1f, \"segment_bytes\": %llu, \"database_bytes\": "
      "%llu, \"start_mb\": %.0f, "
      "\"end_mb\": %.0f, \"peak_mb\": %.0f}\n",
      captured, SecondsSince(start), static_cast<unsigned long long>(facts->segment_bytes),
      static_cast<unsigned long long>(facts->database_bytes), before, ResidentMegabytes(),
      static_cast<double>(usage.ru_maxrss) / 1e3);
  return 0;
}

// Until the first row is durable.
int Start(const char* directory) {
  const auto start = SteadyClock::now();
  Bench bench(directory);
  const double opened = SecondsSince(start);
  const auto made = testing_rows::MillingRows(bench.package, 1, 1, 1, bench.instance);
  bench.outbox->Submit(bench.Numbered(*made), bench.policy, {});
  if (const Status flushed = bench.outbox->Flush(); !flushed) Die(flushed.error());
  std::printf("{\"opened_s\": %.3f, \"first_row_s\": %.3f, \"mb\": %.0f}\n", opened,
              SecondsSince(start), ResidentMegabytes());
  return 0;
}

}  // namespace
}  // namespace skerry

int main(int argc, char** argv) {
  using namespace skerry;
  const std::string_view what = argc > 2 ? argv[1] : "";
  const double number = argc > 3 ? std::atof(argv[3]) : 0;
  if (what == "sync") return Sync(argv[2], number);
  if (what == "batches") return Batches(argv[2], number);
  if (what == "single") return Single(argv[2], number);
  if (what == "loop") return Loop(argv[2], number);
  if (what == "fill") return Fill(argv[2], static_cast<std::uint64_t>(number));
  if (what == "start") return Start(argv[2]);
  std::fprintf(stderr,
               "usage: outbox_load sync|batches|single|loop|fill|start DIR [SECONDS|ROWS]\n");
  return 2;
}
